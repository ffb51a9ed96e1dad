import Base
import BrokerCore
import Synchronization

/// The broker's own time of day. It starts as the wall clock, goes on with the monotonic one and is led
/// back to the wall clock slowly, so that a clock that jumps neither ends the life of everything at once
/// nor keeps what is delayed for ever. (The idea is that of NTP's slewing, adjtime(3).)
final class BrokerClock: Sendable {
    /// Milliseconds from the monotonic clock to the broker's time.
    private let offset: Atomic<Int64>

    /// By how much it is led to the wall clock in one call of `follow`, which comes once a second.
    static let stepMost: Int64 = 50
    /// A difference that is worth a word.
    static let jump: Int64 = 10_000

    init() { offset = Atomic(Self.distance) }

    private static var distance: Int64 {
        distance(wall: { wallClockMilliseconds() }, monotonic: { Instant.now })
    }

    /// From the monotonic clock to the wall clock, in milliseconds. They are read one after the other, and the
    /// thread may stand still in between; so of a few tries the quickest counts.
    static func distance(wall: () -> UInt64, monotonic: () -> Instant) -> Int64 {
        var best = (gap: UInt64.max, distance: Int64(0))
        for _ in 0..<8 where best.gap > quick {
            let before = monotonic().nanoseconds
            let time = wall()
            let gap = monotonic().nanoseconds &- before
            if gap < best.gap {
                best = (gap, Int64(clamping: time) &- Int64(clamping: (before &+ gap / 2) / 1_000_000))
            }
        }
        return best.distance
    }

    /// Nanoseconds between two readings of which nobody has to ask whether they are of the same moment.
    private static let quick: UInt64 = 100_000

    @inline(__always)
    func moment(at instant: Instant) -> Moment {
        let milliseconds = Int64(clamping: instant.nanoseconds / 1_000_000) &+ offset.load(ordering: .relaxed)
        return Moment(instant, wall: UInt64(max(0, milliseconds)))
    }

    var now: Moment { moment(at: .now) }

    /// Goes a step towards the wall clock; returns how far it was off, in milliseconds.
    func follow() -> Int64 { follow(distance: Self.distance) }

    func follow(distance: Int64) -> Int64 {
        let off = distance - offset.load(ordering: .relaxed)
        offset.add(min(max(off, -Self.stepMost), Self.stepMost), ordering: .relaxed)
        return off
    }
}
