import Base
import STOMP

extension Client {
    /// Sends text, as `text/plain;charset=utf-8` unless `headers` say otherwise, and waits for the reply.
    /// See the other `request`.
    nonisolated(nonsending) public func request(
        _ text: String, to destination: String, headers: Headers = [:], persistent: Bool = false,
        timeout: Duration? = nil, retry: RetryPolicy = .never
    ) async throws(ClientError) -> Message {
        try await request(
            Array(text.utf8), to: destination, headers: headers.asText, persistent: persistent, timeout: timeout,
            retry: retry)
    }

    /// Sends a request and returns the reply to it: the first message that comes back with its `correlation-id`.
    ///
    ///     let reply = try await client.request("bicycle", to: "/queue/prices", timeout: .seconds(2))
    ///
    /// Whoever answers sends to the `reply-to` of the request, as `serve` does. `timeout` is for all of it: waiting for
    /// a connection and for its turn (`ClientOptions.requestsInFlight`), the way there, the work, the way back. It
    /// travels as `ttl`, so that the broker drops a request whose asker has given up. A reply that comes
    /// later is dropped and counted in `requestCounters`.
    ///
    /// Throws `requestFailed` if the service says that it failed, `timedOut` if nothing came in time, and
    /// `outcomeUnknown` if the connection was lost meanwhile: replies cannot find their way then. In both of these
    /// cases the request may have been worked on, so repeat only what can be done twice. It is not persistent unless
    /// you say so, since no asker survives what persistence is for. A reply needs no acknowledgement.
    ///
    /// `retry` is for requests that may be worked on twice: after one of these two errors, or one of the broker's that will
    /// pass, another request goes out, as often as it says and within `timeout`, of which each has an equal share. All
    /// bring the same `request-id`, by which a service can know them. Throws `circuitOpen` as `send` does.
    nonisolated(nonsending) public func request(
        _ body: [UInt8], to destination: String, headers: Headers = [:], persistent: Bool = false,
        timeout: Duration? = nil, retry: RetryPolicy = .never
    ) async throws(ClientError) -> Message {
        var headers = headers
        if retry.attempts > 1, headers["request-id"] == nil { headers["request-id"] = engine.newDedupID() }
        let ask = Ask(frame: try Self.request(body, destination, headers, persistent))
        let engine = engine
        return try await engine.retrying(retry, engine.deadline(timeout), if: \.isWorthAnotherRequest) {
            deadline throws(ClientError) in
            try await engine.circuits.run(destination) { () throws(ClientError) in
                try await engine.request(ask, deadline)
            }
        }
    }

    /// How requests fare, those that gather included.
    public var requestCounters: RequestCounters { engine.requestCounters }

    static func request(
        _ body: [UInt8], _ destination: String, _ headers: Headers, _ persistent: Bool
    ) throws(ClientError) -> Frame {
        try headers.check(
            reserved: ["reply-to", "correlation-id", "ttl", "expires", "expiration", "JMSExpiration"])
        return try frame(body, destination, headers, persistent)
    }
}

extension Engine {
    /// One request and its reply.
    nonisolated(nonsending) fileprivate func request(
        _ ask: Ask, _ deadline: Instant
    ) async throws(ClientError) -> Message {
        guard case .replies(let replies, _) = try await call({ $0.ask(ask, as: $1, deadline: deadline, at: $2) }),
            let reply = replies.first
        else { throw .outcomeUnknown }
        if let failure = RequestFailure(reply.frame) { throw .requestFailed(failure) }
        return Message(reply, self)
    }
}

/// How the requests of one client fare.
public struct RequestCounters: Sendable, Equatable {
    /// Sent, and neither answered nor given up.
    public var inFlight = 0
    /// Replies that came when their asker had given up, or had enough.
    public var lateReplies: UInt64 = 0
    /// Messages on the reply channel that no request of this client can have asked for.
    public var unknownReplies: UInt64 = 0

    /// All at zero, to compare with.
    public init() {}
}

extension RequestCounters {
    init(_ book: AskBook) {
        inFlight = book.inFlight
        lateReplies = book.lateReplies
        unknownReplies = book.unknownReplies
    }
}
