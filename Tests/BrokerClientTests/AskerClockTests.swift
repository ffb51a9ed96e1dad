import Base
import Testing

@testable import BrokerClient

@Suite struct AskerClockTests {
    /// The broker's clock minus ours, in milliseconds.
    private let skew: Int64 = 1_700_000_000_000

    private func instant(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    /// A request that came to the broker at `sent` by our clock, and to us at `received`.
    private func isOver(
        _ clock: inout AskerClock, sent: Int64, life: Int64, received: UInt64, now: UInt64
    ) -> Bool {
        clock.isOver(
            expires: sent + skew + life, life: life, receivedAt: instant(received), now: instant(now))
    }

    @Test func aRequestThatCameAtOnceIsOverWhenItsTimeIs() {
        var clock = AskerClock()
        let over1 = isOver(&clock, sent: 10_000, life: 500, received: 10_000, now: 10_499)
        #expect(!over1)
        let over2 = isOver(&clock, sent: 10_000, life: 500, received: 10_000, now: 10_500)
        #expect(over2)
    }

    @Test func theFirstRequestGetsAllItsTimeFromHere() {
        var clock = AskerClock()
        // It waited at the broker for 400 ms, which nobody here can know.
        let over3 = isOver(&clock, sent: 10_000, life: 500, received: 10_400, now: 10_899)
        #expect(!over3)
        let over4 = isOver(&clock, sent: 10_000, life: 500, received: 10_400, now: 10_900)
        #expect(over4)
    }

    @Test func aQuickOneTellsHowLongTheOthersWaited() {
        var clock = AskerClock()
        let over5 = isOver(&clock, sent: 10_000, life: 500, received: 10_001, now: 10_001)
        #expect(!over5)
        let over6 = isOver(&clock, sent: 10_100, life: 500, received: 10_400, now: 10_600)
        #expect(!over6)
        let over7 = isOver(&clock, sent: 10_100, life: 500, received: 10_400, now: 10_601)
        #expect(over7)
    }

    @Test func whatWasLearntIsForgottenAfterAWhile() {
        var clock = AskerClock()
        let over8 = isOver(&clock, sent: 10_000, life: 500, received: 10_000, now: 10_000)
        #expect(!over8)
        // Since then our clock went ahead by 300 ms as the broker sees it.
        for minute: UInt64 in 1...3 {
            let now = 10_000 + minute * 60_000
            _ = isOver(&clock, sent: Int64(now) - 300, life: 500, received: now, now: now)
        }
        let over9 = isOver(&clock, sent: 199_700, life: 500, received: 200_000, now: 200_300)
        #expect(!over9)
    }

    @Test func neverTooEarlyWhateverWasUnderWayHowLong() {
        for seed: UInt64 in 0..<100 {
            var random = SplitMix64(seed: seed)
            var clock = AskerClock()
            var now: UInt64 = 1_000
            for _ in 0..<100 {
                let sent = Int64(now)
                now += UInt64(random.below(1_000))
                let received = now
                now += UInt64(random.below(1_000))
                let life = Int64(random.below(1_500) + 1)
                let isOver = isOver(&clock, sent: sent, life: life, received: received, now: now)
                if isOver, Int64(now) < sent + life { Issue.record("seed \(seed): dropped too early") }
            }
        }
    }

    @Test func nonsenseIsNotOver() {
        var clock = AskerClock()
        let over10 = clock.isOver(expires: .min, life: .max, receivedAt: instant(1), now: instant(2))
        #expect(!over10)
        let over11 = clock.isOver(expires: .max, life: .min, receivedAt: instant(1), now: instant(2))
        #expect(!over11)
    }
}
