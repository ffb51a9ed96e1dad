import Base
import Testing

@testable import BrokerCore

/// Core+Sweep.swift: what is done by the clock, a few queues at a time.
@Suite struct SweepTests {
    private func waiting(in queues: Int) -> Rig {
        var rig = Rig()
        let session = rig.open()
        for number in 0..<queues { rig.send("q\(number)", "x", of: session) { $0.timeToLive = 500 } }
        rig.settleDown()
        rig.wall += 1000
        return rig
    }

    private func look(_ rig: inout Rig, most: Int) -> Bool {
        let now = Moment(Instant(nanoseconds: rig.wall * 1_000_000), wall: rig.wall)
        let isUnderWay = rig.core.tick(now: now, most: most, into: &rig.effects)
        rig.carryOut()
        rig.settleDown()
        return isUnderWay
    }

    private func left(_ rig: Rig, of queues: Int) -> [Int] {
        (0..<queues).filter { !rig.stored("/queue/q\($0)").isEmpty }
    }

    @Test func eachCallLooksAtSomeQueuesAndTheLastSaysSo() {
        var rig = waiting(in: 7)
        #expect(left(rig, of: 7) == Array(0..<7))
        #expect(look(&rig, most: 3))
        #expect(left(rig, of: 7) == Array(3..<7))
        #expect(look(&rig, most: 3))
        #expect(!look(&rig, most: 3))
        #expect(left(rig, of: 7).isEmpty)
    }

    /// The next round begins at the front, with queues that came in between.
    @Test func whatComesBetweenTwoCallsIsSeen() {
        var rig = waiting(in: 3)
        #expect(look(&rig, most: 2))
        rig.send("q3", "x", of: rig.open()) { $0.timeToLive = 500 }
        rig.settleDown()
        rig.wall += 1000
        #expect(!look(&rig, most: 2))
        #expect(left(rig, of: 4).isEmpty)
    }

    /// What rests gives its memory back, and works as before when it is used again.
    @Test func aQueueThatRestsIsUsedAgain() {
        var rig = Rig()
        let session = rig.open()
        for round in 0..<3 {
            rig.apply(.subscribe(UInt32(round + 1), "q", .auto), of: session)
            rig.apply([.send("q", "a\(round)"), .send("q", "b\(round)")], of: session)
            rig.settleDown()
            #expect(rig.take().bodies == ["a\(round)", "b\(round)"])
            rig.apply(.unsubscribe(UInt32(round + 1)), of: session)
            for _ in 0..<3 { rig.tick() }
        }
        #expect(rig.stored("/queue/q").isEmpty)
    }
}
