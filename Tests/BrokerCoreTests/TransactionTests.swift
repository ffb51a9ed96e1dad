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
}
