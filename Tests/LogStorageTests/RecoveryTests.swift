import Base
import BrokerCore
import Storage
import Testing

@testable import LogStorage

/// Small everything, so that rare things are common.
func smallSettings() -> LogSettings {
    var settings = LogSettings()
    settings.segmentBytes = 16 << 10
    settings.journalSegments = 3
    settings.journalSegmentsMax = 6
    settings.queueFileBytes = 8 << 10
    settings.checkpointBytes = 1 << 20
    settings.reserveBytes = 8 << 10
    settings.filesSyncedSingly = 2
    settings.lowWatermark = 1 << 20
    settings.highWatermark = 2 << 20
    return settings
}

struct RecoveryTests {
    @Test func anEmptyStoreIsMadeAndFoundAgain() throws {
        let disk = FakeDisk()
        let first = try Opening.open(disk, smallSettings())
        #expect(first.recovery.queues.isEmpty)
        #expect(first.recovery.nextQueueID == 1)
        first.store.release()
        let second = try Opening.open(disk, smallSettings())
        #expect(second.recovery.storeID == first.recovery.storeID)
        #expect(second.recovery.report.isEmpty)
    }

    /// Goal: what was committed is there again after a clean end, and can be read.
    @Test(arguments: 1...20) func whatWasCommittedIsThereAgain(seed: UInt64) throws {
        let disk = FakeDisk()
        var workload = Workload(seed: seed)
        let (store, _) = try Opening.open(disk, smallSettings())
        for _ in 0..<300 {
            let batch = workload.next()
            while try store.commit([batch], from: 0) == 0 { _ = try store.keep() }
            if workload.dice.oneIn(3) { _ = try store.keep() }
        }
        #expect(try store.contents() == workload.model)
        store.release()
        let (again, recovery) = try Opening.open(disk, smallSettings())
        #expect(recovery.difference(from: workload.model) == nil)
        #expect(try again.contents() == workload.model)
        #expect(recovery.report.isEmpty)
    }
}
