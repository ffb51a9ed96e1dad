import Base

/// The tries of one call: when the next one is, and how long it may take. All of them together keep to one deadline.
struct Retry {
    private var backoff: Backoff
    private var triesLeft: Int
    private let deadline: Instant

    init(_ policy: RetryPolicy, deadline: Instant, seed: UInt64 = .random(in: .min ... .max)) {
        backoff = policy.backoff(seed: seed)
        triesLeft = max(1, policy.attempts)
        self.deadline = deadline
    }

    /// Begins a try: when it has to be over. It gets an equal share of what is left, so that the first one cannot take
    /// the time of all.
    mutating func begin(at now: Instant) -> Instant {
        let left = deadline.milliseconds(since: now)
        defer { triesLeft -= 1 }
        return triesLeft > 1 ? now.adding(milliseconds: left / UInt64(triesLeft)) : deadline
    }

    /// Milliseconds until the next try after this error; nil if there is none, so that the error is the outcome.
    mutating func pause(after error: ClientError, _ rule: (ClientError) -> Bool, at now: Instant) -> UInt64? {
        guard triesLeft > 0, rule(error), let pause = backoff.next() else { return nil }
        // A try that could only time out is none.
        return pause < deadline.milliseconds(since: now) ? pause : nil
    }
}

extension ClientError {
    /// The broker refused it for now. The words are those of docs/protocol.md.
    var isTransientRefusal: Bool {
        guard case .refused(let error) = self else { return false }
        return ["queue full", "queue is paused", "disk is short", "server shutting down"].contains(error.message)
    }

    /// A request that may have been worked on, or not, or cannot be just now.
    var isWorthAnotherRequest: Bool {
        switch self {
        case .timedOut, .outcomeUnknown, .connectionLost: true
        default: isTransientRefusal
        }
    }
}

extension Engine {
    /// Tries `body` as the policy says. It is told until when.
    nonisolated(nonsending) func retrying<Value>(
        _ policy: RetryPolicy, _ deadline: Instant, if rule: (ClientError) -> Bool,
        _ body: (Instant) async throws(ClientError) -> Value
    ) async throws(ClientError) -> Value {
        if policy.attempts <= 1 { return try await body(deadline) }
        var retry = Retry(policy, deadline: deadline)
        while true {
            do throws(ClientError) {
                return try await body(retry.begin(at: now))
            } catch {
                guard let pause = retry.pause(after: error, rule, at: now) else { throw error }
                do { try await clock.sleep(for: .milliseconds(Int64(clamping: pause))) } catch { throw .cancelled }
            }
        }
    }
}
