import STOMP

/// A MESSAGE frame as it came.
struct MessageFrame: Sendable {
    let headers: Headers
    let body: [UInt8]
    /// As the broker says it; nil if it does not, as 1.0 allows, or if it is none of ours.
    let subscription: SubscriptionID?
    /// What ACK must name: `ack` in 1.2, `message-id` before. Empty if the broker does not say.
    let acknowledgementID: String

    /// The frame that a parser found in `bytes`. Throws if something in it is escaped in a way that there is not.
    init(
        layout: borrowing FrameLayout, bytes: UnsafeBufferPointer<UInt8>, version: Version
    ) throws(FrameError) {
        let named: (subscription: String?, ack: String?, messageID: String?)
        if layout.isPlain, !layout.headers.contains(where: \.hasEscape) {
            headers = Headers(lines: HeaderLines(Array(bytes[layout.headersStart..<layout.headersEnd])))
            body = Array(bytes[layout.body])
            named = (
                Self.text(layout.value(.subscription, in: bytes)), Self.text(layout.value(.ack, in: bytes)),
                Self.text(layout.value(.messageID, in: bytes))
            )
        } else {
            let frame = try Frame.decode(layout: layout, bytes: bytes, version: version)
            headers = Headers(fields: frame.headers)
            body = frame.body
            named = (frame["subscription"], frame["ack"], frame["message-id"])
        }
        subscription = named.subscription.flatMap { UInt64($0) }.map { SubscriptionID(number: $0) }
        acknowledgementID = (version == .v12 ? named.ack : nil) ?? named.messageID ?? ""
    }

    private static func text(_ bytes: UnsafeBufferPointer<UInt8>?) -> String? {
        bytes.map { String(decoding: $0, as: UTF8.self) }
    }

    subscript(name: String) -> String? { headers[name] }

    /// The body as text; what is not UTF-8 is replaced.
    var text: String { String(decoding: body, as: UTF8.self) }
}
