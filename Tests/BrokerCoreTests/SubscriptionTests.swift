import Base
import Testing

@testable import BrokerCore

/// SUBSCRIBE, UNSUBSCRIBE and what reaches a subscriber (the points C6 and C7 of the design, by number).
struct SubscriptionTests {
    @Test func aTopicWithoutSubscribersTakesMessages() {  // 85
        var rig = Rig()
        let session = rig.open()
        #expect(rig.apply(.send("/topic/nobody", "x"), of: session) == nil)
        #expect(rig.batches.isEmpty)
    }

    @Test func nothingIsDeliveredAfterUnsubscribe() {  // 99
        var rig = Rig()
        let session = rig.open()
        for (slot, name) in [(UInt32(1), "q"), (2, "/topic/a"), (3, "/topic/*")] {
            rig.apply(.subscribe(slot, name, .auto), of: session)
            rig.apply(.unsubscribe(slot), of: session)
        }
        rig.apply([.send("q", "1"), .send("/topic/a", "2")], of: session)
        rig.settleDown()
        #expect(rig.take().isEmpty)
    }

    @Test func whatUnsubscribeGivesBackGoesToAnotherSubscriptionAtOnce() {  // 100
        var rig = Rig()
        let (session, other) = (rig.open(), rig.open())
        rig.apply(.subscribe(1, "q", .individual), of: session)
        rig.apply([.send("q", "1"), .send("q", "2")], of: session)
        rig.sync()
        rig.apply(.subscribe(1, "q", .individual), of: other)
        _ = rig.take()
        rig.apply(.unsubscribe(1), of: session)
        rig.settleDown()
        let again = rig.take()
        #expect(again.bodies == ["1", "2"])
        #expect(again.allSatisfy { $0.connection == 2 && $0.count == 2 })
    }

    /// Goal: an old ACK cannot hit a message of a newer subscription. The session never uses a slot twice.
    @Test func anAckForAnEndedSubscriptionDoesNotReachItsSuccessor() {  // 101
        var rig = Rig()
        let session = rig.open()
        rig.apply([.subscribe(1, "q", .individual), .send("q", "1", durable: false)], of: session)
        rig.apply([.unsubscribe(1), .subscribe(2, "q", .individual)], of: session)
        rig.settleDown()
        #expect(rig.take().map(\.slot) == [1, 2])
        #expect(rig.apply(.accept(1, 1), of: session) == nil)
        #expect(rig.core.queueViews()[0].unacknowledged == 1)
    }

    @Test func aDurableMessageIsSeenOnlyWhenItIsOnDisk() {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .auto), of: session)
        rig.sync()
        rig.apply(.send("q", "1"), of: session)
        rig.apply(.send("q", "2"), of: session)
        #expect(rig.take().isEmpty)
        rig.sync(1)
        #expect(rig.take().bodies == ["1"])
        rig.sync(1)
        #expect(rig.take().bodies == ["2"])
    }

    @Test func aMessageThatNeedNotBeDurableIsSeenAtOnceUnlessBehindOneThatMust() {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .auto), of: session)
        rig.apply(.send("q", "1", durable: false), of: session)
        #expect(rig.take().bodies == ["1"])
        rig.apply([.send("q", "2"), .send("q", "3", durable: false)], of: session)
        #expect(rig.take().isEmpty)
        rig.sync()
        #expect(rig.take().bodies == ["2", "3"])
    }

    @Test func oneMessageReachesEachMatchingSubscriptionOnce() {
        var rig = Rig()
        let session = rig.open()
        for (slot, name) in ["/topic/a.b", "/topic/a.*", "/topic/a.>", "/topic/x", "/topic/*"].enumerated() {
            rig.apply(.subscribe(UInt32(slot + 1), name, .auto), of: session)
        }
        rig.apply(.send("/topic/a.b", "x"), of: session)
        #expect(rig.take().map(\.slot) == [1, 2, 3])
    }

    @Test func aReplyChannelIsForItsOwner() {
        var rig = Rig()
        let (owner, other) = (rig.open(), rig.open())
        rig.apply(.temporary("/reply-queue/t"), of: owner)
        #expect(rig.apply(.subscribe(1, "/reply-queue/t", .auto), of: other) == .notYourTemporary)
        #expect(rig.apply(.subscribe(1, "/reply-queue/u", .auto), of: owner) == .noSuchTemporary)
        #expect(rig.apply(.send("/reply-queue/t", "early"), of: other) == nil)
        #expect(rig.apply(.subscribe(1, "/reply-queue/t", .auto), of: owner) == nil)
        #expect(rig.take().bodies == ["early"])
        #expect(rig.core.totals.messagesIn == 1)
        rig.close(owner)
        #expect(rig.apply(.send("/reply-queue/t", "late"), of: other) == nil)
        #expect(rig.reports.last == .repliesDropped(name: bytes("/reply-queue/t")))
    }

    @Test func aSlowSubscriberOfATopicIsCutOffOnceAndOthersGetEverything() {
        var limits = CoreLimits()
        limits.backlogBytes = 100
        var rig = Rig(limits: limits)
        let (slow, quick) = (rig.open(), rig.open())
        rig.apply(.subscribe(1, "/topic/t", .individual, count: 1), of: slow)
        rig.apply(.subscribe(1, "/topic/t", .auto), of: quick)
        for _ in 0..<50 { rig.apply(.send("/topic/t", "12345678"), of: quick) }
        #expect(rig.kicks.map(\.refusal.kind) == [.slowConsumer])
        #expect(rig.kicks.map(\.address.connection) == [1])
        #expect(rig.take().count { $0.connection == 2 } == 50)
    }

    /// Goal: a memo never leads to a place that is somebody else's now. Method: delete a queue and let its
    /// place be used again; send with the old memo.
    @Test func aMemoOfADeletedQueueDoesNotHitTheOneInItsPlace() throws {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.send("old", "1", memo: 3), of: session)
        _ = try rig.core.deleteQueue(named: bytes("old"), force: true, into: &rig.effects)
        rig.carryOut()
        rig.apply(.send("new", "2", memo: 4), of: session)
        rig.apply(.send("old", "3", memo: 3), of: session)
        #expect(rig.core.queueView(named: bytes("new"))?.messages == 1)
        #expect(rig.core.queueView(named: bytes("old"))?.messages == 1)
        #expect(rig.core.queueView(named: bytes("old"))?.id == QueueID(rawValue: 3))
    }

    @Test func aMemoOfAForgottenTopicDoesNotHitTheOneInItsPlace() {
        var limits = CoreLimits()
        limits.topics = 2
        var rig = Rig(limits: limits)
        let session = rig.open()
        rig.apply([.subscribe(1, "/topic/a", .auto), .subscribe(2, "/topic/e", .auto)], of: session)
        for (memo, name) in ["b", "a", "c", "d", "e", "f"].enumerated() {
            rig.apply(.send("/topic/\(name)", name, memo: Int32(memo)), of: session)
        }
        rig.apply([.send("/topic/a", "again", memo: 1), .send("/topic/e", "again", memo: 4)], of: session)
        #expect(rig.take().map { "\($0.slot) \($0.body)" } == ["1 a", "2 e", "1 again", "2 again"])
        #expect(rig.core.topicCount <= 2)
    }

    @Test func theLimitOfQueuesIsKept() {
        var limits = CoreLimits()
        limits.queues = 2
        var rig = Rig(limits: limits)
        let session = rig.open()
        #expect(rig.apply([.send("a", ""), .send("b", ""), .send("c", "")], of: session).done == 2)
        #expect(rig.apply(.subscribe(1, "d", .auto), of: session) == .tooManyQueues)
        #expect(rig.apply(.send("a", ""), of: session) == nil)
    }

    @Test func theNumbersOfQueuesDoNotOverflow() {
        var rig = Rig()
        rig.core = Core(nextQueueID: .max)
        let session = rig.open()
        #expect(rig.apply(.send("a", ""), of: session) == .tooManyQueues)
    }
}
