/// Which trace a message belongs to: the headers `traceparent` and `tracestate` of W3C Trace Context.
///
/// The client makes no spans of its own; it passes on what came. Everything that is sent (`send`, `request`, `gather`, in
/// transactions, as a reply) carries `current`, unless it has a `traceparent` already. In handlers of `consume`, `pipe`,
/// `serve`, `once` and a `MessageRouter`, `current` is the trace of the message. Where messages are taken from a
/// subscription by hand, put it there: `TraceContext.$current.withValue(TraceContext(of: message)) { … }`. For the spans
/// of a tracing library see `ClientObserver.span`.
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
        // The standard lets one drop what is too long to pass on.
        if let tracestate, tracestate.utf8.count <= Self.mostBytes { self.tracestate = tracestate }
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

    /// What came from outside goes on in all that is sent, beside headers that have their own limit.
    private static let mostBytes = 512

    /// VERSION-TRACE-SPAN-FLAGS in lower-case hexadecimal; version ff, and ids of zeros only, are none. A later version
    /// may have more behind it.
    private static func isRight(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard (55...mostBytes).contains(bytes.count),
            bytes.count == 55 || (bytes[55] == UInt8(ascii: "-") && bytes[..<2] != [48, 48])
        else {
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

extension Headers {
    /// With the trace that is being worked on, if there is one.
    var traced: Headers {
        guard let trace = TraceContext.current else { return self }
        var headers = self
        trace.add(to: &headers)
        return headers
    }
}
