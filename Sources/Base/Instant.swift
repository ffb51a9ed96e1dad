import Glibc

/// A point on the monotonic clock, in nanoseconds. Timers and heart-beats use this one; it never
/// jumps. Machines (see docs/architecture.md) are told it, they never ask.
public struct Instant: Comparable, Hashable, Sendable {
    public var nanoseconds: UInt64

    @inlinable public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Now, by `CLOCK_MONOTONIC`.
    public static var now: Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
    }

    @inlinable public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    /// Later by `milliseconds`; saturates instead of overflowing.
    @inlinable public func adding(milliseconds: UInt64) -> Instant {
        let (product, tooLong) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        let (sum, overflow) = nanoseconds.addingReportingOverflow(product)
        return Instant(nanoseconds: tooLong || overflow ? .max : sum)
    }

    /// Milliseconds from `earlier` to here, 0 if it is later.
    @inlinable public func milliseconds(since earlier: Instant) -> UInt64 {
        nanoseconds > earlier.nanoseconds ? (nanoseconds - earlier.nanoseconds) / 1_000_000 : 0
    }
}

/// Milliseconds since 1970 by the wall clock: for stamps and expiry only, since it can jump.
public func wallClockMilliseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(max(0, time.tv_sec)) &* 1000 &+ UInt64(time.tv_nsec) / 1_000_000
}
