import Base

/// How much is being committed, as the keeper sees it from round to round: whether what can wait should.
struct CommitLoad {
    private var bytes: UInt64 = 0
    private var since: Instant
    /// So much that moving messages at the same time would take from commits.
    private(set) var isHigh = false

    /// Bytes a second from which on it is much.
    private static let high: UInt64 = 64 << 20
    /// Milliseconds: less says little.
    private static let shortest: UInt64 = 50

    init(now: Instant) { since = now }

    /// `written` is how many bytes were committed so far.
    mutating func note(written: UInt64, now: Instant) {
        let passed = now.milliseconds(since: since)
        if passed < Self.shortest { return }
        isHigh = (written - bytes) / passed >= Self.high / 1000
        bytes = written
        since = now
    }
}
