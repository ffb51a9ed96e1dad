import STOMP

extension Client {
    /// Sends text to everybody who listens and collects their replies. See the other `gather`.
    nonisolated(nonsending) public func gather(
        _ text: String, to destination: String, from expected: Set<String> = [], headers: Headers = [:],
        timeout: Duration? = nil, atMost: Int = 100
    ) async throws(ClientError) -> Gathered {
        try await gather(
            Array(text.utf8), to: destination, from: expected, headers: headers.asText, timeout: timeout,
            atMost: atMost)
    }

    /// Sends a message to everybody who listens, usually to a topic, and collects their replies until the first of
    /// these: `atMost` came, all of `expected` have spoken, or `timeout` is over.
    ///
    ///     let offers = try await client.gather("bicycle", to: "/topic/offers", timeout: .seconds(1), atMost: 10)
    ///     for offer in offers.replies { … }
    ///
    /// `expected` are the names under which services answer (`serve(name:)`, the header `replied-by`). What came in
    /// time is always returned, be it nothing; `missing` and `end` say what is not there. In memory are at most
    /// `atMost` replies of `ClientOptions.maxMessageBytes` each.
    ///
    /// Throws `timedOut` only if the message could not even be sent in time; besides that `refused`, `cancelled`, `closed`,
    /// `tooManyRequests` and `invalidHeader`. One that gathers counts as one request in
    /// `ClientOptions.requestsInFlight`.
    nonisolated(nonsending) public func gather(
        _ body: [UInt8], to destination: String, from expected: Set<String> = [], headers: Headers = [:],
        timeout: Duration? = nil, atMost: Int = 100
    ) async throws(ClientError) -> Gathered {
        var ask = Ask(frame: try Self.request(body, destination, headers, false))
        ask.atMost = max(1, atMost)
        ask.expected = expected
        ask.isGathering = true
        let deadline = engine.deadline(timeout)
        guard
            case .replies(let deliveries, let end) = try await engine.call({
                $0.ask(ask, as: $1, deadline: deadline, at: $2)
            })
        else { throw .outcomeUnknown }
        return Gathered(deliveries, expected: expected, end, engine)
    }
}

/// What came of a `gather`.
public struct Gathered: Sendable {
    /// In the order in which they came, those that say that the service failed left out.
    public let replies: [Message]
    /// What services answered that failed. Their names are in the header `replied-by`.
    public let failures: [RequestFailure]
    /// Those of the expected that did not answer in time, neither so nor so.
    public let missing: Set<String>
    /// Why the gathering ended, be it complete or not.
    public let end: GatheringEnd

    init(_ deliveries: [Delivery], expected: Set<String>, _ end: GatheringEnd, _ engine: Engine) {
        let split = Self.split(deliveries, expected: expected)
        replies = split.replies.map { Message($0, engine) }
        failures = split.failures
        missing = split.missing
        self.end = end
    }

    static func split(_ deliveries: [Delivery], expected: Set<String>) -> (
        replies: [Delivery], failures: [RequestFailure], missing: Set<String>
    ) {
        (
            deliveries.filter { RequestFailure($0.frame) == nil },
            deliveries.compactMap { RequestFailure($0.frame) },
            expected.subtracting(deliveries.compactMap { $0.frame["replied-by"] })
        )
    }
}

/// Why a gathering ended.
public enum GatheringEnd: Sendable, Equatable {
    /// As many replies came as were wanted, or all came that were expected.
    case complete
    /// The time was over: there may be more who would have answered.
    case timedOut
    /// What the broker still had for this connection is lost.
    case connectionLost(ConnectionLoss)
}
