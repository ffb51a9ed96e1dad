import Base
import Testing

@testable import BrokerCore

/// What operators do to queues.
struct OperateTests {
    /// Ten messages in "q", of which a session holds the first three.
    private func filled() -> (Rig, SessionID) {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 3), of: session)
        for number in 0..<10 { rig.apply(.send("q", "\(number)"), of: session) }
        rig.settleDown()
        return (rig, session)
    }

    @Test func aPurgeTakesAllThatNobodyHolds() {
        var (rig, session) = filled()
        #expect(rig.core.purgeQueue(named: bytes("q"), into: &rig.effects) == 7)
        rig.carryOut()
        #expect(rig.core.queueViews()[0].messages == 3)
        #expect(rig.storage.appended.queues[QueueID(rawValue: 1)]?.live.keys.sorted() == [1, 2, 3])
        #expect(rig.storage.wrong == [])
        _ = rig.take()
        rig.apply(.reject(1, 2), of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["1"])
        #expect(rig.core.purgeQueue(named: bytes("none"), into: &rig.effects) == nil)
    }

    @Test func aQueueInUseIsDeletedByForceOnlyAndItsSubscribersAreTold() throws {
        var (rig, session) = filled()
        #expect(throws: Core.DeleteObstacle.consumers(1)) {
            try rig.core.deleteQueue(named: bytes("q"), force: false, into: &rig.effects)
        }
        rig.apply([.begin(1), .accept(1, 1, transaction: 1)], of: session)
        #expect(try rig.core.deleteQueue(named: bytes("q"), force: true, into: &rig.effects) == 10)
        rig.carryOut()
        #expect(rig.kicks.map(\.refusal.kind) == [.queueDeleted])
        #expect(rig.storage.appended.queues.isEmpty)
        #expect(rig.apply([.commit(1), .accept(1, 2), .unsubscribe(1)], of: session).refusal == nil)
        rig.close(session)
        #expect(rig.core.subscriptionCount == 0)
    }

    @Test func aQueueWithMessagesIsDeletedByForceOnly() {
        var (rig, session) = filled()
        rig.close(session)
        #expect(throws: Core.DeleteObstacle.messages(10)) {
            try rig.core.deleteQueue(named: bytes("q"), force: false, into: &rig.effects)
        }
        #expect(throws: Core.DeleteObstacle.missing) {
            try rig.core.deleteQueue(named: bytes("none"), force: true, into: &rig.effects)
        }
    }

    @Test func whenTheDiskIsShortOnlyWhatNeedsRoomIsRefused() {
        var (rig, session) = filled()
        rig.core.diskShort = "the disk is full"
        #expect(rig.apply(.send("q", "x"), of: session) == .diskShort)
        #expect(rig.apply(.accept(1, 1), of: session) == nil)
        #expect(rig.apply(.reject(1, 2), of: session) == nil)
        #expect(rig.apply(.send("/topic/t", "x"), of: session) == nil)
        rig.apply([.begin(1), .accept(1, 3, transaction: 1), .send("q", "x", transaction: 1)], of: session)
        #expect(rig.apply(.commit(1), of: session) == .diskShort)
        rig.core.diskShort = nil
        #expect(rig.apply(.commit(1), of: session) == nil)
    }

    @Test func aTransactionThatIsOpenTooLongEndsItsSession() {
        var rig = Rig()
        let session = rig.open()
        rig.apply([.begin(1)], of: session, now: Instant(nanoseconds: 0))
        rig.core.tick(now: Moment(Instant(nanoseconds: 300_000_000_000), wall: 0), into: &rig.effects)
        rig.carryOut()
        #expect(rig.kicks.isEmpty)
        rig.core.tick(now: Moment(Instant(nanoseconds: 301_000_000_000), wall: 0), into: &rig.effects)
        rig.carryOut()
        #expect(rig.kicks.map(\.refusal.kind) == [.transactionTooLong])
    }
}
