import Base
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
    /// Throws `timedOut` only if the message could not even be sent in time, and `circuitOpen` as `request` does: silence
    /// counts as a failure of the destination if answers were `expected`. Besides that `refused`, `cancelled`, `closed`,
    /// `tooManyRequests` and `invalidHeader`. One that gathers counts as one request in
    /// `ClientOptions.requestsInFlight`.
    nonisolated(nonsending) public func gather(
        _ body: [UInt8], to destination: String, from expected: Set<String> = [], headers: Headers = [:],
        timeout: Duration? = nil, atMost: Int = 100
    ) async throws(ClientError) -> Gathered {
        let (engine, deadline) = (engine, engine.deadline(timeout))
        return try await engine.observed(.gather, ClientSpan(.gather, destination)) { () throws(ClientError) in
            var ask = Ask(frame: try Self.request(body, destination, headers, false))
            ask.atMost = max(1, atMost)
            ask.expected = expected
            ask.isGathering = true
            return try await engine.circuits.run(destination) { () throws(ClientError) in
                try await engine.gather(ask, deadline)
            } judge: {
                $0.verdict(expected)
            }
        } outcome: {
            $0.outcome
        }
    }
}

extension Engine {
    nonisolated(nonsending) fileprivate func gather(
        _ ask: Ask, _ deadline: Instant
    ) async throws(ClientError) -> Gathered {
        guard
            case .replies(let deliveries, let end) = try await call({ $0.ask(ask, as: $1, deadline: deadline, at: $2) })
        else { throw .outcomeUnknown }
        return Gathered(deliveries, expected: ask.expected, end, self)
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

    private var isSilent: Bool { replies.isEmpty && failures.isEmpty }

    /// A word for the observer.
    var outcome: String {
        if isSilent { return "unanswered" }
        return end == .complete ? "complete" : "incomplete"
    }

    /// What it says about the destination: see docs/client/gathering.md.
    func verdict(_ expected: Set<String>) -> Circuit.Result {
        if case .connectionLost = end, isSilent { return .failed }
        if isSilent { return expected.isEmpty ? .neither : .failed }
        let isAnswered = !replies.isEmpty || failures.contains { $0.code != RequestFailure.internalError }
        return isAnswered ? .succeeded : .failed
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
