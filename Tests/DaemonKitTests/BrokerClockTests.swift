import Base
import BrokerCore
import Testing

@testable import DaemonKit

/// The broker's time of day.
struct BrokerClockTests {
    /// Two clocks, and a thread that does not always run.
    private final class Clocks {
        var nanoseconds: UInt64 = 5_000_000_000
        /// Milliseconds that pass behind each reading of the wall clock.
        var pauses: [UInt64]

        init(pauses: [UInt64]) { self.pauses = pauses }

        func wall() -> UInt64 {
            let time = 1_000_000 + nanoseconds / 1_000_000
            nanoseconds += (pauses.isEmpty ? 0 : pauses.removeFirst()) * 1_000_000
            return time
        }
    }

    /// A pause between the two readings must not be taken for a clock that is off: what is delayed would come so
    /// much too early when the clock is right again.
    @Test(arguments: [[], [10], [10, 300, 7], [1, 0, 50]] as [[UInt64]])
    func aPauseBetweenTwoReadingsDoesNotCount(pauses: [UInt64]) {
        let clocks = Clocks(pauses: pauses)
        let distance = BrokerClock.distance(
            wall: { clocks.wall() }, monotonic: { Instant(nanoseconds: clocks.nanoseconds) })
        #expect(distance == 1_000_000)
    }

    @Test func whoIsNeverLetRunTakesTheShortestPause() {
        let clocks = Clocks(pauses: [40, 30, 20, 2, 30, 40, 50, 60])
        let distance = BrokerClock.distance(
            wall: { clocks.wall() }, monotonic: { Instant(nanoseconds: clocks.nanoseconds) })
        #expect(distance == 1_000_000 - 1)
    }

    @Test func aClockThatJumpsIsFollowedSlowly() {
        let clock = BrokerClock()
        let before = clock.now.wall
        #expect(clock.follow(distance: Int64(clamping: before) + 3_600_000) > 3_000_000)
        #expect(clock.now.wall &- before < 10_000)
    }
}
