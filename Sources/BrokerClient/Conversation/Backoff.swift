import Base

/// How long to wait before the next attempt: a random part of a limit that doubles with every failure.
struct Backoff: Sendable {
    /// A connection that held for so long was a good one: the limit starts from the beginning.
    static let settledAfterMilliseconds: UInt64 = 10_000

    let policy: ReconnectPolicy
    /// Failed attempts since the last success.
    private(set) var failures = 0
    private var doublings = 0
    /// Seeded, so that a test can repeat it.
    private var random: SplitMix64

    init(_ policy: ReconnectPolicy, seed: UInt64) {
        self.policy = policy
        random = SplitMix64(seed: seed)
    }

    /// Milliseconds until the next attempt; nil if there is to be none.
    mutating func next() -> UInt64? {
        if let attempts = policy.attempts, failures >= attempts { return nil }
        failures += 1
        var limit = policy.first.wholeMilliseconds
        let longest = policy.longest.wholeMilliseconds
        for _ in 0..<doublings where limit < longest { limit = min(limit.addingSaturated(limit), longest) }
        if limit < longest { doublings += 1 }
        limit = min(limit, longest)
        return limit == .max ? random.next() : random.next() % (limit + 1)
    }

    /// An attempt succeeded.
    mutating func succeeded() { failures = 0 }

    /// A connection ended that had been good for `milliseconds`. One that breaks at once again and again
    /// must not be tried at full speed, so only a good while brings the first limit back.
    mutating func ended(afterMilliseconds milliseconds: UInt64) {
        if milliseconds >= Self.settledAfterMilliseconds { doublings = 0 }
    }
}

extension UInt64 {
    func addingSaturated(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
