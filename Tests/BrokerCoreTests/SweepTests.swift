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
            #expect(rig.core.queues[0].window.holdsMemory)
            for _ in 0..<3 { rig.tick() }
            #expect(!rig.core.queues[0].window.holdsMemory && rig.core.queues[0].consumers.capacity == 0)
            #expect(rig.core.rested == UInt64(round + 1))
        }
        #expect(rig.stored("/queue/q").isEmpty)
    }

    /// What few queues have goes when nothing is in it any more; what operators said of the queue stays.
    @Test func whatIsRareIsThereOnlyWhileItIsOfUse() {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.send("q", "x"), of: session)
        rig.settleDown()
        #expect(!rig.core.queues[0].rare.isMade)
        #expect(rig.subscribe(1, "q", selector: "size = 'large'", of: session) == nil)
        rig.settleDown()
        #expect(rig.core.queues[0].rare.isMade)
        rig.apply(.unsubscribe(1), of: session)
        for _ in 0..<3 { rig.tick() }
        #expect(!rig.core.queues[0].rare.isMade)
        #expect(rig.core.pause(bytes("/queue/q"), delivery: true, sending: nil, into: &rig.effects))
        for _ in 0..<3 { rig.tick() }
        #expect(rig.core.queues[0].rare.isDeliveryPaused)
        #expect(rig.stored("/queue/q") == ["": ["x"]])
    }

    /// Queues with the same settings have them together, and a queue that gets others leaves those alone.
    @Test func settingsAreShared() throws {
        var rig = Rig()
        let session = rig.open()
        rig.apply([.send("a", "x"), .send("b", "x")], of: session)
        let shared = rig.core.queues[0].settings
        #expect(rig.core.queues[1].settings === shared)
        let name = bytes("/queue/b")
        #expect(try rig.core.changeSettings(of: name, set: ["delivery_limit": "3"], unset: [], into: &rig.effects))
        #expect(rig.core.queues[1].settings.value.deliveryLimit == 3)
        #expect(rig.core.queues[0].settings === shared && shared.value.deliveryLimit == 0)
        #expect(try rig.core.changeSettings(of: name, set: [:], unset: ["delivery_limit"], into: &rig.effects))
        #expect(rig.core.queues[1].settings === shared)
    }

    /// Subscriptions that are over leave no places behind when they were most; others keep theirs.
    @Test func theTableOfSubscriptionsShrinks() {
        var rig = Rig()
        let (stays, goes) = (rig.open(), rig.open())
        rig.apply(.subscribe(1, "q", .auto), of: stays)
        for number in 0..<200 { rig.apply(.subscribe(UInt32(number), "q\(number)", .auto), of: goes) }
        rig.apply(.subscribe(2, "p", .auto), of: stays)
        rig.tick()
        #expect(rig.core.subscriptions.count == 202)
        rig.close(goes)
        // One that is in use at the end keeps all before it.
        rig.tick()
        #expect(rig.core.subscriptions.count == 202)
        rig.apply(.unsubscribe(2), of: stays)
        rig.tick()
        #expect(rig.core.subscriptions.count == 1 && rig.core.freeSubscriptions.isEmpty)
        rig.apply([.subscribe(3, "p", .auto), .send("p", "a"), .send("q", "b")], of: stays)
        rig.settleDown()
        #expect(rig.take().bodies == ["a", "b"])
        #expect(rig.core.subscriptionCount == 2)
    }

    /// The tables of queues are long: a state that grows makes each idle queue cost more.
    @Test func aQueueTakesLittleMemory() {
        #expect(MemoryLayout<QueueState>.stride <= 296)
    }

    /// Rates are found from totals of which only a part is remembered.
    @Test func ratesAreRightWhereATotalPasses32Bits() {
        var rates = QueueRates()
        let total = UInt64(UInt32.max) - 5
        #expect(rates.look(come: total, gone: 0, seconds: 1) == true)
        #expect(rates.look(come: total + 10, gone: 4, seconds: 2) == true)
        #expect(rates.coming == 5 && rates.going == 2)
        #expect(rates.look(come: total + 10, gone: 4, seconds: 1) == false)
        #expect(rates.coming == 0 && rates.going == 0)
    }
}
