import Base

/// How much is being committed, as the keeper sees it from round to round: whether what can wait should.
struct CommitLoad {
    private var bytes: UInt64 = 0
    private var since: Instant
    /// A journal segment is filled within a second.
    private(set) var isHigh = false

    /// Less says little.
    private static let shortest: UInt64 = 50

    init(now: Instant) { since = now }

    /// `written` is how many bytes were committed so far.
    mutating func note(written: UInt64, now: Instant, segmentBytes: Int) {
        let passed = now.milliseconds(since: since)
        if passed < Self.shortest { return }
        isHigh = (written - bytes) / passed >= UInt64(segmentBytes) / 1000
        bytes = written
        since = now
    }
}
