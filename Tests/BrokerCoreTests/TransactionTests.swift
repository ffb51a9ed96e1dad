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
}
