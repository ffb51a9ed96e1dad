import Base
import Testing

@testable import BrokerCore

/// Topics: who gets what, and what becomes of those who are slow.
struct TopicTests {
    private func slow(_ way: QueueSettings.SlowSubscriber) -> Rig {
        var limits = CoreLimits()
        limits.backlogBytes = 30
        var settings = QueueSettings.calm
        settings.slowSubscriber = way
        return Rig(limits: limits, defaults: settings)
    }

    /// Ten messages of three bytes for one that takes none, and one that takes all. The bound is 30 bytes.
    private func flood(_ rig: inout Rig) -> (slow: SessionID, quick: SessionID) {
        let (slow, quick, sender) = (rig.open(), rig.open(), rig.open())
        rig.apply(.subscribe(1, "/topic/a", .individual, count: 1), of: slow)
        rig.apply(.subscribe(1, "/topic/*", .auto), of: quick)
        for number in 0..<20 { rig.apply(.send("/topic/a", "\(number % 10)"), of: sender) }
        return (slow, quick)
    }

    private func takeAll(_ rig: inout Rig, of session: SessionID) -> [String] {
        for tag in 1...40 { rig.apply([.accept(1, UInt64(tag))], of: session) }
        return rig.take().filter { $0.connection == 1 }.bodies
    }

    @Test func aSlowSubscriberIsCutOffAndNobodyElseNotices() {
        var rig = slow(.disconnect)
        _ = flood(&rig)
        #expect(rig.take().filter { $0.connection == 2 }.count == 20)
        #expect(rig.kicks.map(\.address.connection) == [1])
        #expect(rig.kicks.first?.refusal.kind == .slowConsumer)
    }

    @Test func theNewestAreDroppedWhereTheSettingsSaySo() {
        var rig = slow(.dropNewest)
        let (slow, _) = flood(&rig)
        #expect(rig.kicks.isEmpty)
        let view = rig.core.subscriptionViews().first { $0.address.connection == 1 }
        #expect(view?.dropped == 10)
        #expect(rig.core.topicViews().first { $0.name == bytes("/topic/a") }?.droppedTotal == 10)
        #expect(takeAll(&rig, of: slow) == (0..<10).map { "\($0)" })
    }

    @Test func theOldestAreDroppedWhereTheSettingsSaySo() {
        var rig = slow(.dropOldest)
        let (slow, _) = flood(&rig)
        #expect(rig.kicks.isEmpty)
        #expect(rig.core.subscriptionViews().first { $0.address.connection == 1 }?.dropped == 10)
        // The first is with the client and cannot be taken back.
        #expect(takeAll(&rig, of: slow) == ["0"] + (1..<10).map { "\($0)" })
    }

    @Test func whatIsHeldUnacknowledgedIsNeverDropped() {
        var rig = slow(.dropOldest)
        let (subscriber, sender) = (rig.open(), rig.open())
        rig.apply(.subscribe(1, "/topic/a", .individual), of: subscriber)
        for number in 0..<12 { rig.apply(.send("/topic/a", "\(number % 10)"), of: sender) }
        #expect(rig.take().count == 10)
        #expect(rig.core.subscriptionViews().first?.dropped == 2)
        rig.apply([.unsubscribe(1)], of: subscriber)
    }

    @Test func noLocalLeavesOutWhatTheConnectionItselfSends() {
        var rig = Rig()
        let (session, other) = (rig.open(), rig.open())
        rig.subscribe(1, "/topic/a", .auto, of: session) { $0.noLocal = true }
        rig.apply(.subscribe(2, "/topic/a", .auto), of: session)
        rig.apply(.send("/topic/a", "mine"), of: session)
        rig.apply(.send("/topic/a", "theirs"), of: other)
        let all = rig.take()
        #expect(all.filter { $0.slot == 1 }.bodies == ["theirs"])
        #expect(all.filter { $0.slot == 2 }.bodies == ["mine", "theirs"])
    }

    @Test func noLocalHoldsForTransactionsToo() {
        var rig = Rig()
        let session = rig.open()
        rig.subscribe(1, "/topic/a", .auto, of: session) { $0.noLocal = true }
        rig.apply([.begin(1), .send("/topic/a", "mine", transaction: 1), .commit(1)], of: session)
        #expect(rig.take().isEmpty)
    }

    @Test func aMessageWhoseTimeIsOverDoesNotReachASlowSubscriber() {
        var rig = Rig()
        let (subscriber, sender) = (rig.open(), rig.open())
        rig.apply(.subscribe(1, "/topic/a", .individual, count: 1), of: subscriber)
        rig.apply(.send("/topic/a", "1"), of: sender)
        rig.send("/topic/a", "2", of: sender) { $0.timeToLive = 1000 }
        rig.apply(.send("/topic/a", "3"), of: sender)
        rig.wall += 2000
        rig.apply(.accept(1, 1), of: subscriber)
        #expect(rig.take().bodies == ["1", "3"])
    }

    @Test func aDelayedMessageIsPublishedWhenItIsDue() {
        var rig = Rig()
        let (early, sender) = (rig.open(), rig.open())
        rig.apply(.subscribe(1, "/topic/a", .auto), of: early)
        rig.subscribe(1, "/topic/a", .auto, of: rig.open()) { $0.durableName = bytes("d") }
        #expect(rig.send("/topic/a", "x", of: sender) { $0.delay = 5000 } == nil)
        #expect(rig.batches.count == 1)
        rig.settleDown()
        rig.pass(3000)
        #expect(rig.take().isEmpty)
        #expect(rig.core.queueViews().map(\.name) == [bytes("/dsub/d")])
        rig.apply(.subscribe(1, "/topic/*", .auto), of: rig.open())
        rig.pass(2500)
        let all = rig.take()
        #expect(all.bodies == ["x", "x", "x"])
        #expect(all.allSatisfy { $0.content.bytes.first == 10 })
        for _ in 0..<30 { rig.tick() }
        #expect(rig.storage.durable.queues.values.map(\.name) == [bytes("/dsub/d")])
        #expect(rig.storage.wrong.isEmpty)
    }

    @Test func aDelayedMessageSurvivesARestartAndReachesADurableSubscriptionOnce() {
        var rig = Rig()
        let sender = rig.open()
        rig.subscribe(1, "/topic/a", .individual, of: sender) { $0.durableName = bytes("d") }
        rig.send("/topic/a", "low", of: sender) { ($0.delay, $0.timeToLive) = (5000, 60_000) }
        rig.apply(.begin(1), of: sender)
        rig.send("/topic/a", "x", of: sender, transaction: 1) { $0.delay = 5000 }
        rig.apply(.commit(1), of: sender)
        rig.settleDown()
        rig.restart()
        #expect(rig.core.queueViews().map(\.name) == [bytes("/dsub/d")])
        for _ in 0..<10 { rig.tick() }
        #expect(rig.stored("/dsub/d") == ["": ["low", "x"]])
        #expect(rig.stored("/topic/a").isEmpty)
        rig.restart()
        for _ in 0..<10 { rig.tick() }
        #expect(rig.stored("/dsub/d") == ["": ["low", "x"]])
        #expect(rig.storage.wrong.isEmpty)
    }

    /// A sender that got no RECEIPT sends its delayed message again, when the first has been published already.
    @Test(arguments: [5000, 0] as [UInt64]) func aDelayedMessageIsKnownAgainAfterItWasPublished(secondDelay: UInt64) {
        var rig = Rig()
        let sender = rig.open()
        rig.subscribe(1, "/topic/a", .individual, of: sender, count: 1) { $0.durableName = bytes("d") }
        for delay in [5000, secondDelay] {
            var more = SendExtras()
            (more.delay, more.dedupID) = (delay, bytes("m:1"))
            rig.extras.sends = [more]
            rig.send(head: "destination:/topic/a\ndedup-id:m\\c1\n", "/topic/a", "x", of: sender)
            for _ in 0..<10 { rig.tick() }
        }
        rig.settleDown()
        #expect(rig.stored("/dsub/d") == ["": ["x"]])
        #expect(rig.storage.wrong.isEmpty)
    }

    /// Goal: a message that cannot be published for want of space stays, and is tried again.
    @Test func aDueMessageWaitsForSpace() {
        var settings = QueueSettings.calm
        settings.lengthMost = 1
        var rig = Rig(defaults: settings)
        let session = rig.open()
        rig.subscribe(1, "/topic/a", .individual, of: session, count: 1) { $0.durableName = bytes("d") }
        rig.apply(.send("/topic/a", "1"), of: session)
        rig.send("/topic/a", "2", of: session) { $0.delay = 1000 }
        rig.settleDown()
        for _ in 0..<5 { rig.tick() }
        #expect(rig.take().bodies == ["1"])
        rig.apply(.accept(1, 1), of: session)
        rig.tick()
        #expect(rig.take().bodies == ["2"])
    }

    @Test func whatIsRetainedCannotBeDelayed() {
        var rig = Rig()
        let kind = rig.send("/topic/a", "x", of: rig.open()) { ($0.delay, $0.retain) = (1000, .set) }
        #expect(kind == .contradictoryWishes)
    }
}
