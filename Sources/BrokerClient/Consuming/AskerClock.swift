import Base

/// Whether the asker of a request has given up, told without comparing two clocks that need not agree.
///
/// `expires` is by the clock of the broker, and so is the moment when the request came to it: `ttl` before. How far that
/// clock is from ours is not known, but every request bounds it: it cannot have come here before it came there. The
/// request that was quickest gives the best bound, which is late by as long as that one was under way and never early.
struct AskerClock {
    /// A bound may be as old as two of these: clocks drift.
    private static let window: UInt64 = 60_000

    /// Ours less the broker's, in milliseconds, at least; of this window and of the one before.
    private var least: Int64?
    private var leastBefore: Int64?
    private var windowBegan = Instant(nanoseconds: 0)

    mutating func isOver(expires: Int64, life: Int64, receivedAt: Instant, now: Instant) -> Bool {
        let received = Int64(clamping: receivedAt.nanoseconds / 1_000_000)
        let (came, isTooOld) = expires.subtractingReportingOverflow(life)
        let (offset, isTooFar) = received.subtractingReportingOverflow(came)
        guard !isTooOld, !isTooFar else { return false }
        turn(at: now)
        let known = min(least ?? offset, offset)
        least = known
        let (limit, isTooLate) = expires.addingReportingOverflow(min(known, leastBefore ?? known))
        return !isTooLate && Int64(clamping: now.nanoseconds / 1_000_000) >= limit
    }

    private mutating func turn(at now: Instant) {
        guard now.milliseconds(since: windowBegan) >= Self.window else { return }
        windowBegan = now
        leastBefore = least
        least = nil
    }
}
