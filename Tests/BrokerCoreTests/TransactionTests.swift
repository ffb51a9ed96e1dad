import Base
import Testing

@testable import BrokerCore

/// BEGIN, COMMIT and ABORT (STOMP 1.2, the points C9 of the design).
struct TransactionTests {
    /// Goal: a session that is being closed gets nothing more. Method: one of its subscriptions is over
    /// but for what an open transaction has decided; to abort that must not hand the message to another.
    @Test func aCloseWithAnOpenTransactionHandsNothingToTheClosedSession() {
        var rig = Rig()
        let (session, other) = (rig.open(), rig.open())
        rig.apply(.temporary("/reply-queue/x"), of: session)
        rig.apply(.subscribe(1, "/reply-queue/x", .individual), of: session)
        rig.apply(.send("/reply-queue/x", "one"), of: other)
        rig.apply([.begin(1), .accept(1, 1, transaction: 1), .unsubscribe(1)], of: session)
        rig.apply(.subscribe(2, "/reply-queue/x", .individual), of: session)
        #expect(rig.take().bodies == ["one"])
        rig.close(session)
        #expect(rig.take().bodies == [])
    }

    /// Goal: who asks and leaves must not make the answerer's transaction fail for ever.
    @Test func aReplyToAClientThatLeftDoesNotStopTheCommit() {
        var rig = Rig()
        let (asker, answerer) = (rig.open(), rig.open())
        rig.apply(.temporary("/reply-queue/x"), of: asker)
        rig.apply(
            [.begin(1), .send("/reply-queue/x", "answer", transaction: 1), .send("q", "note", transaction: 1)],
            of: answerer)
        rig.close(asker)
        #expect(rig.apply(.commit(1), of: answerer) == nil)
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 1)
        #expect(rig.core.totals.repliesDropped == 1)
    }

    /// Goal: topics are only remembered, so forgetting one between SEND and COMMIT changes nothing.
    @Test func aTopicThatWasForgottenMeanwhileStillGetsItsMessages() {
        var limits = CoreLimits()
        limits.topics = 2
        var rig = Rig(limits: limits)
        let (session, listener) = (rig.open(), rig.open())
        rig.apply(.subscribe(1, "/topic/>", .auto), of: listener)
        rig.apply([.begin(1), .send("/topic/a", "news", memo: 0, transaction: 1)], of: session)
        for name in ["b", "c", "d", "e"] { rig.apply(.send("/topic/\(name)", name), of: session) }
        #expect(rig.apply(.commit(1), of: session) == nil)
        #expect(rig.take().bodies == ["b", "c", "d", "e", "news"])
    }

    @Test func aCommitIntoAQueueThatWasDeletedDoesNothingAtAll() throws {
        var rig = Rig()
        let session = rig.open()
        rig.apply([.begin(1), .send("a", "1", transaction: 1), .send("b", "2", transaction: 1)], of: session)
        _ = try rig.core.deleteQueue(named: bytes("b"), force: true, into: &rig.effects)
        rig.carryOut()
        #expect(rig.apply(.commit(1), of: session) == .transactionTargetGone)
        #expect(rig.core.queueView(named: bytes("a"))?.messages == 0)
    }

    @Test func sendsAreInvisibleUntilCommitAndThenLieInOneBatchInOrder() {  // 120, 123
        var rig = Rig()
        let session = rig.open()
        rig.apply([.subscribe(1, "q", .auto), .subscribe(2, "/topic/t", .auto), .begin(1)], of: session)
        rig.apply([.send("q", "1", transaction: 1), .send("/topic/t", "t", transaction: 1)], of: session)
        rig.apply([.send("q", "2", transaction: 1), .send("other", "3", transaction: 1)], of: session)
        rig.apply(.send("q", "0"), of: session)
        rig.sync()
        #expect(rig.take().bodies == ["0"])
        rig.apply(.commit(1), of: session)
        #expect(rig.batches.map { $0.records.count { $0.kind == .append } } == [3])
        rig.sync()
        #expect(rig.take().bodies == ["t", "1", "2"])
        #expect(rig.storage.wrong == [])
    }

    @Test func acknowledgementsTakeEffectAtCommit() {  // 121
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 3), of: session)
        for number in 1...3 { rig.apply(.send("q", "\(number)"), of: session) }
        rig.sync()
        _ = rig.take()
        rig.apply([.begin(1), .accept(1, 1, transaction: 1), .reject(1, 2, transaction: 1)], of: session)
        #expect(rig.batches.isEmpty)
        #expect(rig.apply(.accept(1, 1), of: session) == .unknownDelivery)
        rig.apply(.commit(1), of: session)
        rig.settleDown()
        #expect(rig.take().map { "\($0.body) \($0.count)" } == ["2 2"])
        #expect(rig.core.queueViews()[0].messages == 2)
    }

    @Test func abortMakesMessagesAckableAgainByTheSameClient() {  // 121
        var rig = Rig()
        let session = rig.open()
        rig.apply([.subscribe(1, "q", .individual), .send("q", "1", durable: false)], of: session)
        rig.apply([.begin(1), .accept(1, 1, transaction: 1), .send("q", "2", transaction: 1), .abort(1)], of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["1"])
        #expect(rig.core.queueViews()[0].unacknowledged == 1)
        #expect(rig.apply(.accept(1, 1), of: session) == nil)
        #expect(rig.core.queueViews()[0].messages == 0)
    }

    @Test func losingTheConnectionAborts() {  // 122
        var rig = Rig()
        let session = rig.open()
        rig.apply([.subscribe(1, "q", .individual), .send("q", "1", durable: false)], of: session)
        rig.apply([.begin(1), .accept(1, 1, transaction: 1), .send("q", "2", transaction: 1)], of: session)
        rig.close(session)
        #expect(rig.core.queueViews()[0].ready == 1)
        #expect(rig.storage.appended.queues[QueueID(rawValue: 1)]?.live[1]?.attempts == 1)
    }

    @Test func aNumberMayBeUsedAgain() {  // 118
        var rig = Rig()
        let session = rig.open()
        for _ in 0..<3 { rig.apply([.begin(1), .send("q", "x", transaction: 1), .commit(1)], of: session) }
        rig.apply([.begin(1), .send("q", "x", transaction: 1), .abort(1)], of: session)
        #expect(rig.core.queueViews()[0].messages == 3)
    }

    @Test func aTransactionThatGrowsTooLargeIsRefused() {  // 125
        var limits = CoreLimits()
        limits.transactionBytes = 10
        limits.transactionOperations = 3
        var rig = Rig(limits: limits)
        let session = rig.open()
        rig.apply([.begin(1), .begin(2)], of: session)
        #expect(rig.apply(.send("q", "12345678", transaction: 1), of: session) == nil)
        #expect(rig.apply(.send("q", "", transaction: 1), of: session) == .transactionTooLarge)
        for _ in 0..<3 { #expect(rig.apply(.send("q", "", transaction: 2), of: session) == nil) }
        #expect(rig.apply(.send("q", "", transaction: 2), of: session) == .transactionTooLarge)
    }

    /// Goal: a subscription may end while a transaction still has what it decided there.
    @Test func whatATransactionDecidedOutlivesTheSubscription() {
        var rig = Rig()
        let (session, other) = (rig.open(), rig.open())
        rig.apply(
            [.subscribe(1, "q", .individual), .send("q", "1", durable: false), .send("q", "2", durable: false)],
            of: session)
        rig.apply([.begin(1), .accept(1, 1, transaction: 1), .begin(2), .accept(1, 2, transaction: 2)], of: session)
        rig.apply(.unsubscribe(1), of: session)
        #expect(rig.core.queueViews()[0].unacknowledged == 2)
        rig.apply([.commit(1), .abort(2)], of: session)
        #expect(rig.core.subscriptionCount == 0)
        rig.apply(.subscribe(1, "q", .auto), of: other)
        rig.settleDown()
        #expect(rig.take().last?.body == "2")
        #expect(rig.core.queueViews()[0].messages == 0)
    }
}
