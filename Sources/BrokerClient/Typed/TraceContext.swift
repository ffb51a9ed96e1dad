/// Which trace a message belongs to: the headers `traceparent` and `tracestate` of W3C Trace Context.
///
/// The client makes no spans of its own; it passes on what came. In a handler of a `MessageRouter` the context of the
/// message is `current`, and values sent there carry it. A tracing library that makes a span for the handler puts its own
/// in place: `TraceContext.$current.withValue(span) { … }`.
///
///     var headers = Headers()
///     TraceContext(of: message)?.add(to: &headers)
///     try await client.send("a bicycle", to: "/queue/parcels", headers: headers)
public struct TraceContext: Sendable, Equatable {
    /// The header of that name: version, trace, span and flags.
    public var traceparent: String
    /// The header of that name, as it came: what tracing systems add for themselves. nil: none.
    public var tracestate: String?

    /// What is being worked on in this task.
    @TaskLocal public static var current: TraceContext?

    /// nil if `traceparent` is not one: then, as the standard has it, there is no trace.
    public init?(traceparent: String, tracestate: String? = nil) {
        guard Self.isRight(traceparent) else { return nil }
        self.traceparent = traceparent
        self.tracestate = tracestate
    }

    /// What came with a message; nil if it has no `traceparent`, or a malformed one.
    public init?(of message: Message) {
        let headers = message.headers
        guard let traceparent = headers["traceparent"] else { return nil }
        self.init(traceparent: traceparent, tracestate: headers["tracestate"])
    }

    /// Adds the headers, unless there is a `traceparent` already.
    public func add(to headers: inout Headers) {
        if headers["traceparent"] != nil { return }
        headers.add("traceparent", traceparent)
        if let tracestate { headers["tracestate"] = tracestate }
    }

    /// VERSION-TRACE-SPAN-FLAGS in lower-case hexadecimal; version ff, and ids of zeros only, are none. A later version
    /// may have more behind it.
    private static func isRight(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count >= 55, bytes.count == 55 || (bytes[55] == UInt8(ascii: "-") && bytes[..<2] != [48, 48]) else {
            return false
        }
        for (at, byte) in bytes[..<55].enumerated() {
            let isDash = at == 2 || at == 35 || at == 52
            let isHex = (48...57).contains(byte) || (97...102).contains(byte)
            guard isDash ? byte == UInt8(ascii: "-") : isHex else { return false }
        }
        return bytes[..<2] != [102, 102] && !bytes[3..<35].allSatisfy { $0 == 48 }
            && !bytes[36..<52].allSatisfy { $0 == 48 }
    }
}
