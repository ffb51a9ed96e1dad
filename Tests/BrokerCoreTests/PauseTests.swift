import Base
import Testing

@testable import BrokerCore

/// Queues that are stopped, that must be there before they are named, and that go when nobody uses them.
struct PauseTests {
    private func rig(_ settings: [String: String]) throws -> (Rig, SessionID) {
        var rig = Rig()
        let policy = Policy(name: "p", pattern: "/queue/**", settings: settings)
        if !settings.isEmpty { _ = try rig.core.setPolicy(policy, into: &rig.effects) }
        rig.carryOut()
        let session = rig.open()
        return (rig, session)
    }

    // MARK: Pause

    @Test func pausedSendingRefusesAndPausedDeliveryKeepsMessagesReady() throws {
        var (rig, session) = try rig([:])
        rig.apply(.subscribe(1, "q", .individual, count: 2), of: session)
        for body in ["0", "1", "2", "3"] { rig.apply(.send("q", body), of: session) }
        rig.settleDown()
        #expect(rig.take().bodies == ["0", "1"])
        #expect(rig.core.pause(bytes("q"), delivery: true, sending: nil, into: &rig.effects))
        rig.carryOut()
        rig.apply([.accept(1, 1), .reject(1, 2), .send("q", "4")], of: session)
        rig.settleDown()
        #expect(rig.take().isEmpty)
        let view = try #require(rig.core.queueView(named: bytes("q")))
        #expect(view.ready == 4 && view.isDeliveryPaused && !view.isSendingPaused)

        #expect(rig.core.pause(bytes("q"), delivery: false, sending: true, into: &rig.effects))
        rig.carryOut()
        rig.settleDown()
        #expect(rig.take().bodies == ["1", "2"])
        #expect(rig.apply(.send("q", "5"), of: session) == .paused)
        #expect(rig.apply([.begin(1), .send("q", "5", transaction: 1)], of: session).refusal?.kind == .paused)
        #expect(!rig.core.pause(bytes("none"), delivery: true, sending: nil, into: &rig.effects))
    }

    @Test func aTransactionThatSendsToAQueueThatWasPausedMeanwhileIsRefusedWhole() throws {
        var (rig, session) = try rig([:])
        rig.apply([.begin(1), .send("a", "x", transaction: 1), .send("q", "x", transaction: 1)], of: session)
        _ = rig.core.pause(bytes("q"), delivery: nil, sending: true, into: &rig.effects)
        #expect(rig.apply(.commit(1), of: session) == .paused)
        #expect(rig.core.queueTotals.messages == 0)
        _ = rig.core.pause(bytes("q"), delivery: nil, sending: false, into: &rig.effects)
        #expect(rig.apply(.commit(1), of: session) == nil)
        #expect(rig.core.queueTotals.messages == 2)
    }

    /// Goal: a paused queue reads nothing from disk, and goes on from there when it is resumed.
    @Test func aPauseSurvivesARestart() throws {
        var (rig, session) = try rig([:])
        rig.apply([.send("q", "0"), .send("q", "1")], of: session)
        _ = rig.core.pause(bytes("q"), delivery: true, sending: true, into: &rig.effects)
        rig.carryOut()
        rig.settleDown()
        var later = Rig(recovered: rig.storage.durable)
        let again = later.open()
        later.apply(.subscribe(1, "q", .auto), of: again)
        #expect(later.storage.questions.isEmpty)
        #expect(later.apply(.send("q", "2"), of: again) == .paused)
        _ = later.core.pause(bytes("q"), delivery: false, sending: false, into: &later.effects)
        later.carryOut()
        later.settleDown()
        #expect(later.take().bodies == ["0", "1"])
        #expect(later.storage.durable.queues.values.map(\.note) == [[]])
    }

    @Test func aPageThatComesWhileDeliveryIsPausedIsKept() throws {
        var (rig, session) = try rig([:])
        rig.apply([.send("q", "0"), .send("q", "1")], of: session)
        rig.settleDown()
        rig.core.relieveMemory(now: .init(nanoseconds: 1_000_000_000))
        rig.apply(.subscribe(1, "q", .auto), of: session)
        #expect(rig.storage.questions.count == 1)
        _ = rig.core.pause(bytes("q"), delivery: true, sending: nil, into: &rig.effects)
        rig.carryOut()
        rig.settleDown()
        #expect(rig.take().isEmpty)
        _ = rig.core.pause(bytes("q"), delivery: false, sending: nil, into: &rig.effects)
        rig.carryOut()
        rig.settleDown()
        #expect(rig.take().bodies == ["0", "1"])
    }

    // MARK: Coming to be

    @Test func whereQueuesAreNotMadeByNamingThemOneMustBeThere() throws {
        var (rig, session) = try rig(["auto_create": "false"])
        let refused = try #require(rig.apply([.send("q", "x")], of: session).refusal)
        #expect(refused.kind == .noSuchQueue)
        #expect(refused.detail.contains("brokerctl queue create /queue/q"))
        #expect(rig.apply(.subscribe(1, "q", .auto), of: session) == .noSuchQueue)
        #expect(rig.apply([.begin(1), .send("q", "x", transaction: 1)], of: session).refusal?.kind == .noSuchQueue)
        #expect(rig.core.queueCount == 0)
        #expect(rig.apply(.subscribe(2, "/topic/t", .auto), of: session) == nil)
        #expect(try rig.core.createQueue(named: bytes("q"), into: &rig.effects))
        rig.carryOut()
        #expect(rig.apply([.send("q", "x"), .subscribe(3, "q", .auto)], of: session).refusal == nil)
    }

    // MARK: Going

    @Test func aQueueThatNobodyUsesForSoLongIsDeleted() throws {
        var (rig, session) = try rig(["auto_delete_seconds": "10"])
        _ = try rig.core.createQueue(named: bytes("q"), into: &rig.effects)
        rig.carryOut()
        rig.tick(seconds: 100)
        rig.tick(seconds: 109)
        #expect(rig.core.queueCount == 1)
        // A message that came and went between two ticks is use.
        rig.apply([.send("q", "x"), .subscribe(1, "q", .auto), .unsubscribe(1)], of: session)
        rig.settleDown()
        #expect(rig.core.purgeQueue(named: bytes("q"), into: &rig.effects) == 1)
        rig.tick(seconds: 112)
        rig.tick(seconds: 121)
        // So is a subscription.
        rig.apply([.subscribe(2, "q", .auto), .unsubscribe(2)], of: session)
        rig.tick(seconds: 122)
        rig.tick(seconds: 131)
        #expect(rig.core.queueCount == 1)
        rig.tick(seconds: 132)
        #expect(rig.core.queueCount == 0)
        #expect(rig.storage.appended.queues.isEmpty)
        #expect(rig.storage.wrong == [])
        guard case .queueDeleted(bytes("/queue/q"), _, 0) = rig.reports.last else {
            Issue.record("not reported: \(rig.reports)")
            return
        }
        rig.apply(.send("q", "y"), of: session)
        #expect(rig.core.queueCount == 1)
    }

    @Test func aQueueWithMessagesConsumersOrInATransactionStays() throws {
        var (rig, session) = try rig(["auto_delete_seconds": "1"])
        rig.apply([.send("full", "x"), .subscribe(1, "watched", .auto)], of: session)
        rig.apply([.begin(1), .send("wanted", "x", transaction: 1)], of: session)
        rig.settleDown()
        for seconds in 1...20 { rig.tick(seconds: UInt64(seconds)) }
        #expect(rig.core.queueCount == 3)
        #expect(rig.apply(.commit(1), of: session) == nil)
    }

    @Test func aQueueThatIsNoLongerToGoStays() throws {
        var (rig, _) = try rig(["auto_delete_seconds": "5"])
        _ = try rig.core.createQueue(named: bytes("q"), settings: ["auto_delete_seconds": "0"], into: &rig.effects)
        _ = try rig.core.createQueue(named: bytes("r"), into: &rig.effects)
        rig.carryOut()
        rig.tick(seconds: 10)
        #expect(rig.core.deletePolicy(named: "p", into: &rig.effects))
        rig.tick(seconds: 100)
        #expect(rig.core.queueCount == 2)
        #expect(rig.core.idle.isEmpty)
    }

    @Test func deletingManyTakesSeveralTicks() throws {
        var (rig, _) = try rig(["auto_delete_seconds": "1"])
        for number in 0..<1500 { _ = try rig.core.createQueue(named: bytes("q\(number)"), into: &rig.effects) }
        rig.carryOut()
        rig.tick(seconds: 10)
        rig.tick(seconds: 11)
        #expect(rig.core.queueCount == 500)
        rig.tick(seconds: 12)
        #expect(rig.core.queueCount == 0)
        #expect(rig.storage.wrong == [])
    }
}
