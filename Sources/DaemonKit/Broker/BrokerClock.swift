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
        Int64(clamping: wallClockMilliseconds()) - Int64(clamping: Instant.now.nanoseconds / 1_000_000)
    }

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
