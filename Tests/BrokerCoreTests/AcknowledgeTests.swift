import Base
import Testing

@testable import BrokerCore

/// ACK and NACK (STOMP 1.2, the points C8 of the design; the numbers are theirs).
struct AcknowledgeTests {
    /// A session that holds the bodies "1" to `count` of "q" on slot 1.
    private func holding(_ count: Int, _ mode: AcknowledgeMode) -> (Rig, SessionID) {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", mode), of: session)
        for number in 1...count { rig.apply(.send("q", "\(number)"), of: session) }
        rig.sync()
        return (rig, session)
    }

    private func messages(_ rig: Rig, _ name: String = "q") -> UInt64 {
        rig.core.queueView(named: bytes(name))?.messages ?? .max
    }

    @Test func aCumulativeAckCoversAllBeforeItOnItsOwnSubscriptionOnly() {  // 105
        var (rig, session) = holding(4, .cumulative)
        rig.apply(.subscribe(2, "other", .cumulative), of: session)
        rig.apply(.send("other", "x", durable: false), of: session)
        rig.apply(.accept(1, 3), of: session)
        #expect(messages(rig) == 1)
        #expect(messages(rig, "other") == 1)
    }

    @Test func anIndividualAckCoversOneMessage() {  // 106
        var (rig, session) = holding(4, .individual)
        rig.apply(.accept(1, 3), of: session)
        #expect(messages(rig) == 3)
        rig.close(session)
        let next = rig.open()
        rig.apply(.subscribe(1, "q", .auto), of: next)
        rig.settleDown()
        #expect(rig.take().suffix(3).map(\.body) == ["1", "2", "4"])
    }

    @Test func aCumulativeNackGivesBackAllBeforeItNotYetDecided() {  // 107
        var (rig, session) = holding(5, .cumulative)
        _ = rig.take()
        rig.apply(.accept(1, 2), of: session)
        rig.apply(.reject(1, 4), of: session)
        rig.settleDown()
        let again = rig.take()
        #expect(again.bodies == ["3", "4"])
        #expect(again.map(\.count) == [2, 2])
        #expect(again.map(\.tag) == [6, 7])
    }

    @Test func anAckOfAnUnknownOrSettledMessageIsRefused() {  // 109, 114
        var (rig, session) = holding(3, .cumulative)
        #expect(rig.apply(.accept(1, 4), of: session) == .unknownDelivery)
        #expect(rig.apply(.accept(1, 0), of: session) == .unknownDelivery)
        #expect(rig.apply(.accept(7, 1), of: session) == .unknownDelivery)
        #expect(rig.apply(.accept(0, 1), of: session) == .unknownDelivery)
        #expect(rig.apply(.accept(1, 2), of: session) == nil)
        #expect(rig.apply(.accept(1, 2), of: session) == .unknownDelivery)
        #expect(rig.apply(.accept(1, 1), of: session) == .unknownDelivery)
        #expect(rig.apply(.accept(1, .max), of: session) == .unknownDelivery)
    }

    @Test func anAckOnAnAutomaticSubscriptionIsRefused() {  // 110
        var (rig, session) = holding(1, .auto)
        #expect(rig.apply(.accept(1, 1), of: session) == .autoAcknowledged)
        #expect(rig.apply(.settle(slot: 1, queue: 1, sequence: 1, accept: true), of: session) == .autoAcknowledged)
    }

    @Test func theWrongSubscriptionForAMessageIsRefused() {  // 111
        var (rig, session) = holding(1, .individual)
        rig.apply(.subscribe(2, "other", .individual), of: session)
        #expect(rig.apply(.settle(slot: 2, queue: 1, sequence: 1, accept: true), of: session) == .unknownDelivery)
        #expect(rig.apply(.settle(slot: 1, queue: 1, sequence: 1, accept: true), of: session) == nil)
        #expect(messages(rig) == 0)
    }

    @Test func aMessageIsFoundByItsIdWithoutNamingTheSubscription() {
        var (rig, session) = holding(3, .individual)
        rig.apply(.subscribe(2, "other", .individual), of: session)
        #expect(rig.apply(.settle(slot: 0, queue: 1, sequence: 2, accept: true), of: session) == nil)
        #expect(messages(rig) == 2)
        #expect(rig.apply(.settle(slot: 0, queue: 1, sequence: 2, accept: true), of: session) == .unknownDelivery)
        #expect(rig.apply(.settle(slot: 0, queue: 9, sequence: 1, accept: true), of: session) == .unknownDelivery)
    }

    /// Goal: an ACK that crossed an UNSUBSCRIBE is no error, whichever version sent it.
    @Test func aLateAckAfterUnsubscribeChangesNothing() {  // 100
        var (rig, session) = holding(2, .individual)
        rig.apply(.unsubscribe(1), of: session)
        #expect(rig.apply(.accept(1, 1), of: session) == nil)
        #expect(rig.apply(.reject(1, 2), of: session) == nil)
        #expect(rig.apply(.settle(slot: 1, queue: 1, sequence: 1, accept: true), of: session) == nil)
        #expect(rig.apply(.settle(slot: 0, queue: 1, sequence: 1, accept: true), of: session) == nil)
        #expect(messages(rig) == 2)
    }

    @Test func whatALostClientHeldGoesToAnotherInItsOldPlaceMarkedRedelivered() {  // 112
        var (rig, session) = holding(3, .individual)
        _ = rig.take()
        rig.apply(.accept(1, 2), of: session)
        rig.apply(.send("q", "4"), of: session)
        rig.close(session)
        let next = rig.open()
        rig.apply(.subscribe(1, "q", .individual), of: next)
        rig.settleDown()
        let again = rig.take()
        #expect(again.bodies.suffix(3) == ["1", "3", "4"])
        #expect(again.suffix(3).map(\.count) == [2, 2, 1])
    }

    /// Goal: the id of a message is the same each time it is delivered, and never that of another.
    @Test func aMessageKeepsItsIdWhenItIsDeliveredAgain() {  // 81
        var (rig, session) = holding(2, .individual)
        let first = rig.take()
        rig.apply([.reject(1, 1), .reject(1, 2)], of: session)
        rig.settleDown()
        let again = rig.take()
        #expect(first.map(\.sequence) == again.map(\.sequence))
        #expect(Set(first.map(\.queue)) == [1])
    }

    @Test func theSameMessageHasAnotherTagOnEachSubscription() {  // 84
        var rig = Rig()
        let session = rig.open()
        rig.apply([.subscribe(1, "/topic/a", .individual), .subscribe(2, "/topic/*", .individual)], of: session)
        rig.apply(.send("/topic/a", "x"), of: session)
        #expect(rig.take().map { [UInt64($0.slot), $0.tag] } == [[1, 1], [2, 1]])
        #expect(rig.apply(.accept(2, 1), of: session) == nil)
        #expect(rig.apply(.accept(1, 1), of: session) == nil)
    }
}
