import Base
import Testing

@testable import BrokerCore

/// How records are put together into batches.
struct BatchTests {
    /// Limits under which a few hundred records are too many for one batch.
    private static var small: CoreLimits {
        var limits = CoreLimits()
        limits.batchBytes = 10_000
        return limits
    }

    private func size(_ batch: Batch) -> Int { batch.payloadBytes + batch.records.count * Core.recordBytes }

    /// A rig in which `session` holds every second of 1,000 messages of the queue "q".
    private func holding() -> (rig: Rig, session: SessionID) {
        var rig = Rig(limits: Self.small)
        let (session, other) = (rig.open(), rig.open())
        rig.apply(.subscribe(1, "q", .individual), of: session)
        rig.apply(.subscribe(1, "q", .individual), of: other)
        for number in 0..<1000 { rig.apply(.send("q", "\(number)", durable: false), of: other) }
        return (rig, session)
    }

    /// Goal: no batch outgrows a journal segment, however little payload its records have.
    @Test func aCloseThatGivesBackManyMessagesIsSpreadOverBatches() {
        var (rig, session) = holding()
        rig.close(session)
        #expect(rig.batches.count > 1)
        #expect(rig.batches.allSatisfy { size($0) <= Self.small.batchBytes })
        #expect(rig.batches.reduce(0) { $0 + $1.records.count } == 500)
        #expect(rig.storage.wrong == [])
    }

    @Test func oneNackOfManyMessagesIsSpreadOverBatches() {
        var rig = Rig(limits: Self.small)
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .cumulative), of: session)
        for number in 0..<1000 { rig.apply(.send("q", "\(number)", durable: false), of: session) }
        rig.apply(.reject(1, 1000), of: session)
        #expect(rig.batches.count > 1)
        #expect(rig.batches.allSatisfy { size($0) <= Self.small.batchBytes })
        #expect(rig.storage.wrong == [])
    }

    @Test func aPurgeOfScatteredMessagesIsSpreadOverBatches() {
        var (rig, session) = holding()
        rig.close(session)
        _ = rig.core.purgeQueue(named: bytes("q"), into: &rig.effects)
        rig.carryOut()
        #expect(rig.batches.count > 1)
        #expect(rig.batches.allSatisfy { size($0) <= Self.small.batchBytes })
        #expect(rig.storage.wrong == [])
    }

    @Test func smallMessagesFillABatchByTheirNumber() {
        var rig = Rig(limits: Self.small)
        let session = rig.open()
        rig.apply(Array(repeating: .send("q", ""), count: 1000), of: session)
        #expect(rig.batches.count > 1)
        #expect(rig.batches.allSatisfy { size($0) <= Self.small.batchBytes })
        #expect(rig.storage.wrong == [])
    }

    /// Goal: a transaction does not join a batch that would become too large by it.
    @Test func aTransactionBeginsABatchOfItsOwnWhenTheOtherIsFull() {
        var rig = Rig(limits: Self.small)
        let session = rig.open()
        let body = String(repeating: "x", count: 6000)
        rig.apply([.begin(1), .send("q", body, transaction: 1), .send("q", "", transaction: 1)], of: session)
        rig.apply([.send("q", body), .commit(1)], of: session)
        #expect(rig.batches.map { $0.records.count { $0.kind == .append } } == [1, 2])
    }
}
