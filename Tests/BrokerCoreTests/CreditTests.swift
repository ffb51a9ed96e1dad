import Base
import Testing

@testable import BrokerCore

/// Who gets the next message: turns, prefetch, and what is on its way to the client.
struct CreditTests {
    /// A rig in which `count` sessions have subscribed to "q" as slot 1.
    private func consumers(_ count: Int, prefetch: UInt32, limits: CoreLimits = CoreLimits()) -> (Rig, [SessionID]) {
        var rig = Rig(limits: limits)
        var sessions: [SessionID] = []
        for _ in 0..<count {
            let session = rig.open()
            rig.apply(.subscribe(1, "q", .individual, count: prefetch), of: session)
            sessions.append(session)
        }
        return (rig, sessions)
    }

    @Test func consumersGetMessagesInTurn() {
        var (rig, sessions) = consumers(3, prefetch: 10)
        for number in 1...6 { rig.apply(.send("q", "\(number)", durable: false), of: sessions[0]) }
        #expect(rig.take().map(\.connection) == [1, 2, 3, 1, 2, 3])
    }

    @Test func aConsumerWithoutCreditIsPassedOverUntilItAcknowledges() {
        var (rig, sessions) = consumers(3, prefetch: 1)
        for number in 1...5 { rig.apply(.send("q", "\(number)", durable: false), of: sessions[0]) }
        #expect(rig.take().map(\.connection) == [1, 2, 3])
        rig.apply(.accept(1, 1), of: sessions[1])
        #expect(rig.take().map(\.connection) == [2])
        rig.apply(.accept(1, 1), of: sessions[2])
        #expect(rig.take().map(\.connection) == [3])
        rig.apply(.accept(1, 1), of: sessions[0])
        #expect(rig.take().isEmpty)
        rig.apply([.send("q", "6", durable: false)], of: sessions[0])
        #expect(rig.take().map(\.connection) == [1])
    }

    @Test func aConsumerThatLeavesDoesNotDisturbTheTurnOfTheOthers() {
        var (rig, sessions) = consumers(3, prefetch: 10)
        rig.apply(.send("q", "1", durable: false), of: sessions[0])
        rig.apply(.unsubscribe(1), of: sessions[1])
        for number in 2...4 { rig.apply(.send("q", "\(number)", durable: false), of: sessions[0]) }
        #expect(rig.take().map(\.connection) == [1, 3, 1, 3])
    }

    @Test func prefetchOfBytesStopsAfterTheMessageThatReachesIt() {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual, bytes: 10), of: session)
        for _ in 1...5 { rig.apply(.send("q", "1234", durable: false), of: session) }
        #expect(rig.take().count == 2)
        rig.apply(.accept(1, 2), of: session)
        #expect(rig.take().count == 1)
    }

    @Test func oneMessageIsAlwaysGivenHoweverSmallThePrefetch() {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 0, bytes: 0), of: session)
        for _ in 1...2 { rig.apply(.send("q", "1234", durable: false), of: session) }
        #expect(rig.take().count == 1)
    }

    @Test func aSessionThatDoesNotReadGetsNoMoreUntilItsBytesHaveLeft() {
        var limits = CoreLimits()
        limits.unflushedBytes = 400
        var (rig, sessions) = consumers(1, prefetch: 100, limits: limits)
        for _ in 1...10 { rig.apply(.send("q", "1234", durable: false), of: sessions[0]) }
        #expect(rig.take().count == 3)
        rig.apply(.flushed(134), of: sessions[0])
        #expect(rig.take().count == 1)
        rig.apply(.flushed(1), of: sessions[0])
        #expect(rig.take().isEmpty)
    }

    /// Goal: a limit that an operator raises helps those who wait for it.
    @Test func aRaisedLimitIsSeenWithTheNextFlush() {
        var limits = CoreLimits()
        limits.unflushedBytes = 100
        var (rig, sessions) = consumers(1, prefetch: 100, limits: limits)
        for _ in 1...3 { rig.apply(.send("q", "1234", durable: false), of: sessions[0]) }
        #expect(rig.take().count == 1)
        rig.core.limits.unflushedBytes = 10_000
        rig.apply(.flushed(1), of: sessions[0])
        #expect(rig.take().count == 2)
    }

    /// Goal: a subscription with a long queue leaves room to another of the same session.
    @Test func subscriptionsOfOneSessionShareItsRoom() {
        var limits = CoreLimits()
        limits.unflushedBytes = 1000
        var rig = Rig(limits: limits)
        let (session, producer) = (rig.open(), rig.open())
        for _ in 0..<50 { rig.apply([.send("a", "a", durable: false), .send("b", "b", durable: false)], of: producer) }
        rig.apply([.subscribe(1, "a", .auto), .subscribe(2, "b", .auto)], of: session)
        for _ in 0..<3 { rig.apply(.flushed(10_000), of: session) }
        let bodies = rig.take().bodies
        #expect(Set(bodies) == ["a", "b"])
    }

    /// Goal: an ACK costs the same however many others wait. Method: 10,000 consumers without credit.
    @Test func anAckDoesNotLookAtAllOtherConsumers() {
        var (rig, sessions) = consumers(10_000, prefetch: 1)
        rig.isStoring = false
        rig.apply(Array(repeating: .send("q", "", durable: false), count: 20_000), of: sessions[0])
        #expect(rig.take().count == 10_000)
        #expect(rig.core.queues[0].turn.isEmpty)
        for session in sessions { rig.apply(.accept(1, 1), of: session) }
        #expect(rig.take().count == 10_000)
    }
}
