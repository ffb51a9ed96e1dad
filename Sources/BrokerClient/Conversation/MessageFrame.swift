import Glibc
import STOMP

/// A MESSAGE frame as it came. Its headers stay the bytes that they are until somebody asks for them: most programs look at few,
/// and to make strings of all would be most of what it costs to receive a message.
struct MessageFrame: Sendable {
    private enum Head: Sendable {
        /// Lines `name:value` in which nothing is escaped, each with its line feed.
        case plain([UInt8])
        case decoded([Frame.Header])
    }

    private let head: Head
    let body: [UInt8]
    /// As the broker says it; nil if it does not, as 1.0 allows, or if it is none of ours.
    let subscription: SubscriptionID?
    /// What ACK must name: `ack` in 1.2, `message-id` before. Empty if the broker does not say.
    let acknowledgementID: String

    /// The frame that a parser found in `bytes`. Throws if something in it is escaped in a way that there is not.
    init(
        layout: borrowing FrameLayout, bytes: UnsafeBufferPointer<UInt8>, version: Version
    ) throws(FrameError) {
        let named: (KnownHeader) -> String?
        if layout.isPlain, !layout.headers.contains(where: \.hasEscape) {
            head = .plain(Array(bytes[layout.headersStart..<layout.headersEnd]))
            body = Array(bytes[layout.body])
            let values = (
                layout.value(.subscription, in: bytes), layout.value(.ack, in: bytes),
                layout.value(.messageID, in: bytes)
            )
            named = { known in
                let value = known == .subscription ? values.0 : known == .ack ? values.1 : values.2
                return value.map { String(decoding: $0, as: UTF8.self) }
            }
        } else {
            let frame = try Frame.decode(layout: layout, bytes: bytes, version: version)
            head = .decoded(frame.headers)
            body = frame.body
            named = { known in frame["\(known.text)"] }
        }
        subscription = named(.subscription).flatMap { UInt64($0) }.map { SubscriptionID(number: $0) }
        acknowledgementID = (version == .v12 ? named(.ack) : nil) ?? named(.messageID) ?? ""
    }

    /// The value of the first header of this name, which is the one that counts.
    subscript(name: String) -> String? {
        switch head {
        case .decoded(let headers): headers.first { $0.name == name }?.value
        case .plain(let lines): lines.withUnsafeBufferPointer { Self.value(of: name, in: $0) }
        }
    }

    private static func value(of name: String, in lines: UnsafeBufferPointer<UInt8>) -> String? {
        guard let base = lines.baseAddress else { return nil }
        var name = name
        return name.withUTF8 { name in
            var at = 0
            while let end = endOfLine(base, at, lines.count) {
                let value = at + name.count + 1
                if value <= end, base[value - 1] == UInt8(ascii: ":"),
                    memcmp(base + at, name.baseAddress ?? base, name.count) == 0
                {
                    return text(base, value..<end)
                }
                at = end + 1
            }
            return nil
        }
    }

    /// All of them, in their order.
    var headers: [Frame.Header] {
        guard case .plain(let lines) = head else {
            if case .decoded(let headers) = head { return headers }
            return []
        }
        return lines.withUnsafeBufferPointer { lines in
            var headers: [Frame.Header] = []
            guard let base = lines.baseAddress else { return headers }
            var at = 0
            while let end = Self.endOfLine(base, at, lines.count) {
                let colon = (at..<end).first { base[$0] == UInt8(ascii: ":") } ?? end
                headers.append(Frame.Header(Self.text(base, at..<colon), Self.text(base, min(colon + 1, end)..<end)))
                at = end + 1
            }
            return headers
        }
    }

    /// Where the line feed of the line at `start` is; nil behind the last line.
    private static func endOfLine(_ base: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int? {
        guard start < count, let found = memchr(base + start, 10, count - start) else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(base)
    }

    private static func text(_ base: UnsafePointer<UInt8>, _ range: Range<Int>) -> String {
        String(decoding: UnsafeBufferPointer(start: base + range.lowerBound, count: range.count), as: UTF8.self)
    }

    /// The body as text; what is not UTF-8 is replaced.
    var text: String { String(decoding: body, as: UTF8.self) }
}
