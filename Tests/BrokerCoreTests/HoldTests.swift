import Base
import Testing

@testable import BrokerCore

/// Senders that wait for room in a queue or on the disk.
struct HoldTests {
    private static func blocking(_ most: UInt64 = 2, seconds: UInt64 = 30) -> Rig {
        var settings = QueueSettings.calm
        settings.lengthMost = most
        settings.overflow = .block
        settings.blockSeconds = seconds
        return Rig(defaults: settings)
    }

    private func at(_ seconds: UInt64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    private func send(_ count: Int, _ queue: String = "q") -> [Request] { (0..<count).map { .send(queue, "\($0)") } }

    @Test func whatComesInOneReadIsTakenAndItsSenderIsHeldOnce() {
        var rig = Self.blocking()
        let sender = rig.open()
        #expect(rig.apply(send(2), of: sender).refusal == nil)
        #expect(rig.takeHolds() == [])
        let result = rig.apply(send(5), of: sender, now: at(10))
        #expect(result.refusal == nil && result.done == 5)
        #expect(rig.takeHolds() == [Hold(address: SessionAddress(loop: 0, connection: 1), until: at(40))])
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 7)
        #expect(rig.core.queueView(named: bytes("q"))?.counts.rejected == 0)
    }

    @Test func allAreResumedWhenTheQueueHasRoomAgainAndNotBefore() {
        var rig = Self.blocking()
        let (first, second, consumer) = (rig.open(), rig.open(), rig.open())
        rig.apply(send(3), of: first)
        rig.apply(send(1), of: second)
        #expect(rig.takeHolds().map(\.address.connection) == [1, 2])
        rig.apply(.subscribe(1, "q", .individual), of: consumer)
        rig.settleDown()
        let tags = rig.take().map(\.tag)
        #expect(tags.count == 4)
        rig.apply([.accept(1, tags[0]), .accept(1, tags[1])], of: consumer)
        #expect(rig.takeHolds() == [], "it holds its limit")
        rig.apply(.accept(1, tags[2]), of: consumer)
        let resumed = rig.takeHolds()
        #expect(resumed.map(\.address.connection) == [1, 2] && resumed.allSatisfy { $0.until == nil })
        rig.apply(.accept(1, tags[3]), of: consumer)
        #expect(rig.takeHolds() == [], "once is enough")
        // What comes next begins a new wait.
        rig.apply(send(3), of: first, now: at(100))
        #expect(rig.takeHolds().map(\.until) == [at(130)])
    }

    @Test func whoHasWaitedLongEnoughIsRefused() {
        var rig = Self.blocking(seconds: 5)
        let sender = rig.open()
        rig.apply(send(3), of: sender, now: at(1))
        #expect(rig.apply(send(1), of: sender, now: at(5)).refusal == nil, "the wait goes on")
        let late = rig.apply(send(1), of: sender, now: at(6))
        #expect(late.refusal?.kind == .queueFull && late.done == 0)
        #expect(rig.core.queueView(named: bytes("q"))?.counts.rejected == 1)
        rig.close(sender)
        #expect(rig.core.full.isEmpty)
        // Another one has a wait of its own.
        let next = rig.open()
        _ = rig.takeHolds()
        #expect(rig.apply(send(1), of: next, now: at(7)).refusal == nil)
        #expect(rig.takeHolds().map(\.until) == [at(12)])
    }

    @Test(arguments: ["purge", "delete", "policy", "expiry"])
    func everyWayInWhichMessagesLeaveResumes(_ way: String) throws {
        var rig = Self.blocking()
        let sender = rig.open()
        if way == "expiry" {
            rig.extras.sends = [SendExtras()]
            rig.extras.sends[0].timeToLive = 10
            rig.apply((0..<3).map { .send("q", "\($0)", extras: 0) }, of: sender)
        } else {
            rig.apply(send(3), of: sender)
        }
        rig.settleDown()
        #expect(rig.takeHolds().count == 1)
        switch way {
        case "purge": _ = rig.core.purgeQueue(named: bytes("q"), into: &rig.effects)
        case "delete": _ = try rig.core.deleteQueue(named: bytes("q"), force: true, into: &rig.effects)
        case "policy":
            _ = try rig.core.setPolicy(
                Policy(name: "wide", pattern: "/queue/>", priority: 0, settings: ["length_most": "9"]),
                into: &rig.effects)
            rig.tick()
        default:
            rig.tick()
        }
        rig.carryOut()
        rig.settleDown()
        #expect(rig.takeHolds().map(\.until) == [nil])
        #expect(rig.core.full.isEmpty)
    }

    @Test func whoWaitsAtTwoPlacesGoesOnWhenBothHaveRoom() {
        var rig = Self.blocking(1)
        let (sender, consumer) = (rig.open(), rig.open())
        rig.apply(send(2, "a") + send(2, "b"), of: sender, now: at(1))
        #expect(rig.takeHolds().count == 2)
        rig.settleDown()
        rig.apply([.subscribe(1, "a", .auto)], of: consumer, now: at(2))
        rig.settleDown()
        #expect(rig.takeHolds() == [], "the other is still full")
        rig.apply([.subscribe(2, "b", .auto)], of: consumer, now: at(3))
        rig.settleDown()
        #expect(rig.takeHolds().map(\.until) == [nil])
    }

    @Test func aWaitThatIsOverDoesNotKeepAnotherFromEnding() {
        var rig = Self.blocking(1, seconds: 5)
        let (sender, consumer) = (rig.open(), rig.open())
        rig.apply(send(2, "a"), of: sender, now: at(1))
        rig.apply(send(2, "b"), of: sender, now: at(7))
        #expect(rig.takeHolds().map(\.until) == [at(6), at(12)])
        rig.settleDown()
        rig.apply([.subscribe(1, "b", .auto)], of: consumer, now: at(8))
        rig.settleDown()
        #expect(rig.takeHolds().map(\.until) == [nil])
    }

    @Test func aDurableSubscriptionThatIsFullHoldsWhoSendsToItsTopic() {
        var rig = Self.blocking()
        let (sender, consumer) = (rig.open(), rig.open())
        #expect(rig.subscribe(1, "/topic/t", .individual, of: consumer) { $0.durableName = bytes("d") } == nil)
        rig.apply(send(3, "/topic/t"), of: sender)
        #expect(rig.takeHolds().map(\.address.connection) == [1])
    }

    /// Goal: a message without a sender, as one to a topic whose time has come, has nobody to hold: it waits itself.
    @Test func aDelayedMessageToATopicWaitsForRoom() {
        var rig = Self.blocking()
        let (sender, consumer) = (rig.open(), rig.open())
        #expect(rig.subscribe(1, "/topic/t", .individual, of: consumer) { $0.durableName = bytes("d") } == nil)
        rig.apply(send(2, "/topic/t"), of: sender)
        rig.settleDown()
        rig.extras.sends = [SendExtras()]
        rig.extras.sends[0].delay = 500
        rig.apply(.send("/topic/t", "late", extras: 0), of: sender)
        rig.settleDown()
        let before = rig.take()
        #expect(before.bodies == ["0", "1"])
        rig.pass(600)
        rig.tick()
        #expect(rig.take().bodies == [] && rig.takeHolds() == [])
        rig.apply(before.map { .accept(1, $0.tag) }, of: consumer)
        rig.tick()
        #expect(rig.take().bodies == ["late"])
    }

    @Test func aTransactionIsRefusedAtOnce() {
        var rig = Self.blocking()
        let sender = rig.open()
        rig.apply(send(2), of: sender)
        let result = rig.apply([.begin(1), .send("q", "x", transaction: 1), .commit(1)], of: sender)
        #expect(result.refusal?.kind == .queueFull && result.done == 2)
        #expect(rig.takeHolds() == [])
    }

    // MARK: The disk

    @Test func aShortDiskHoldsForATimeAndThenRefuses() {
        var limits = CoreLimits()
        limits.holdSeconds = 10
        var rig = Rig(limits: limits)
        let sender = rig.open()
        rig.core.setDisk(short: "no room", into: &rig.effects)
        #expect(rig.apply(send(2), of: sender, now: at(1)).refusal == nil)
        #expect(rig.takeHolds().map(\.until) == [at(11)])
        #expect(rig.apply(.send("/topic/t", "x"), of: sender) == nil, "nobody keeps it: it needs no disk")
        #expect(rig.apply(send(1), of: sender, now: at(11)).refusal == Refusal(.diskShort, "no room"))
        rig.core.setDisk(short: nil, into: &rig.effects)
        rig.carryOut()
        #expect(rig.takeHolds().map(\.until) == [nil])
        #expect(rig.apply(send(1), of: sender, now: at(12)).refusal == nil)
        #expect(rig.takeHolds() == [] && rig.core.full.isEmpty)
    }

    @Test func whatIsTakenWhileTheDiskIsShortIsBounded() {
        var limits = CoreLimits()
        limits.holdSeconds = 10
        limits.diskShortBytes = 10
        var rig = Rig(limits: limits)
        rig.core.setDisk(short: "no room", into: &rig.effects)
        // Each takes three bytes: a line, a digit, NUL.
        let result = rig.apply(send(9), of: rig.open(), now: at(1))
        #expect(result.refusal?.kind == .diskShort && result.done == 3)
        #expect(rig.apply(send(1), of: rig.open(), now: at(2)).refusal?.kind == .diskShort)
        rig.core.setDisk(short: nil, into: &rig.effects)
        rig.core.setDisk(short: "again", into: &rig.effects)
        #expect(rig.apply(send(3), of: rig.open(), now: at(3)).refusal == nil)
    }
}
