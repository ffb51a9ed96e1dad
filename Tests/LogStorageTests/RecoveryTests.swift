import Base
import BrokerCore
import Simulation
import Storage
import Synchronization
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
        let disk = SimulatedDisk()
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
        let disk = SimulatedDisk()
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

    /// Goal: a batch that was cut never comes back behind a new one that takes its predecessor's place.
    /// Method: two batches in one commit, the first damaged, so that both are cut; then a new one of the
    /// same size as the first, with the same sequence, right in front of where the second lay.
    @Test func whatWasCutNeverComesBack() throws {
        func append(_ sequence: UInt64, _ byte: UInt8) -> Batch {
            var builder = BatchBuilder()
            builder.append(1, sequence, [UInt8](repeating: byte, count: 100))
            return builder.batch(sequence)
        }
        let disk = SimulatedDisk()
        var store = try Opening.open(disk, smallSettings()).store
        var builder = BatchBuilder()
        builder.create(1, "a")
        #expect(try store.commit([builder.batch(1)], from: 0) == 1)
        let end = SegmentHeader.size + BatchHeader.diskBytes(records: 1, payload: 1)
        #expect(try store.commit([append(1, 65), append(2, 66)], from: 0) == 2)
        store.release()
        disk.damage(StorePath.segment(1)) { $0[end + 120] ^= 1 }
        let opened = try Opening.open(disk, smallSettings())
        store = opened.store
        #expect(opened.recovery.queues[0].next == 1)
        #expect(opened.recovery.report.contains { $0.contains("cut off") })
        #expect(try store.commit([append(1, 67)], from: 0) == 1)
        store.release()
        let again = try Opening.open(disk, smallSettings())
        let live = try #require(try again.store.contents().queues[1]?.live)
        #expect(live.keys.sorted() == [1])
        #expect(live[1]?.content.first == 67)
    }

    /// Goal: a message for many queues lies in the journal once, and is whole wherever it is read, also when one of
    /// the queues has gone and after the segment is retired.
    @Test func queuesMayShareTheBytesOfAMessage() throws {
        let disk = SimulatedDisk()
        var store = try Opening.open(disk, smallSettings()).store
        var builder = BatchBuilder()
        for queue in 1...3 as ClosedRange<UInt32> { builder.create(queue, "q\(queue)") }
        builder.append(1, 1, [UInt8](repeating: 7, count: 500))
        for queue in 2...3 as ClosedRange<UInt32> { builder.share(queue, 1) }
        #expect(try store.commit([builder.batch(1)], from: 0) == 1)
        var settle = BatchBuilder()
        settle.settle(2, 1, bytes: 500)
        #expect(try store.commit([settle.batch(2)], from: 0) == 1)
        for _ in 0..<2 {
            let contents = try store.contents()
            for queue in [1, 3] as [UInt32] {
                #expect(contents.queues[queue]?.live[1]?.content == [UInt8](repeating: 7, count: 500))
            }
            #expect(contents.queues[2]?.live.isEmpty == true)
            store.release()
            store = try Opening.open(disk, smallSettings()).store
        }
        store.release()
    }

    /// Goal: nobody acts on bytes that only the kernel's memory holds. Method: what a failed sync leaves,
    /// pages that are taken for clean; after the start even a power cut must not take them away.
    @Test(arguments: [0, 9000]) func whatIsReplayedIsOnDiskBeforeItIsSeen(before: Int) throws {
        let disk = SimulatedDisk()
        var settings = smallSettings()
        settings.segmentBytes = 2 << 20
        let store = try Opening.open(disk, settings).store
        // Batches that are known to be on disk, more than are kept in mind.
        var batches: [Batch] = []
        for number in 0..<before {
            var builder = BatchBuilder()
            builder.note(0, [UInt8(truncatingIfNeeded: number)])
            batches.append(builder.batch(UInt64(number + 1)))
        }
        var done = 0
        while done < batches.count { done = try store.commit(Array(batches.prefix(done + 1000)), from: done) }
        var builder = BatchBuilder()
        builder.create(1, "a")
        disk.hooks.withLock { $0.fault = { operation in operation.kind == .sync ? 5 : nil } }
        #expect(throws: StorageFailure.self) { _ = try store.commit([builder.batch(9999)], from: 0) }
        disk.hooks.withLock { $0.fault = nil }
        store.release()
        // The kernel forgot that these were never written.
        disk.image.withLock { image in
            guard let id = image.names[StorePath.segment(1)] else { return }
            image.inodes[id]?.pending = []
            image.forgetful = [id]
        }
        let written = FailureTests.Count()
        disk.hooks.withLock { hooks in
            hooks.watch = { if $0.kind == .write, $0.path == StorePath.segment(1) { _ = written.up() } }
        }
        let (again, recovery) = try Opening.open(disk, settings)
        disk.hooks.withLock { $0.watch = nil }
        #expect(recovery.queues.count == 1)
        // Not the whole journal: what a later batch proves to be there is not written again.
        #expect(written.now == 1)
        again.release()
        var dice = SplitMix64(seed: 1)
        let after = SimulatedDisk(disk.copy().afterPowerCut(0, &dice))
        #expect(try Opening.open(after, settings).recovery.queues.count == 1)
    }

    /// Goal: a seal that was written as an idle marker is on disk before anything in the next segment.
    /// Method: fill a segment up to its last 64 bytes, go idle, go on, and lose all that is not synced.
    @Test func aSealThatServedAsMarkerIsSyncedBeforeTheNextSegment() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        _ = try store.keep()
        var number: UInt64 = 0
        func commit(_ name: Int) throws {
            number += 1
            var builder = BatchBuilder()
            builder.create(UInt32(number), String(repeating: "a", count: name))
            #expect(try store.commit([builder.batch(number)], from: 0) == 1)
        }
        var end = SegmentHeader.size
        while end + 1024 + BatchHeader.size < smallSettings().segmentBytes {
            try commit(1024 - BatchHeader.size - RecordFormat.size)
            end += 1024
        }
        try commit(smallSettings().segmentBytes - BatchHeader.size - end - BatchHeader.size - RecordFormat.size)
        try store.mark()
        try commit(10)
        var dice = SplitMix64(seed: 1)
        let after = SimulatedDisk(disk.copy().afterPowerCut(0, &dice))
        let recovery = try Opening.open(after, smallSettings()).recovery
        #expect(recovery.queues.count == Int(number))
        #expect(recovery.report.isEmpty)
    }

    /// Goal: a file that the checkpoint on disk names is there, even if its queue was deleted while that
    /// checkpoint was being written; and it goes in the end.
    @Test func aQueueDeletedDuringACheckpointKeepsItsFilesUntilTheNext() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        var workload = BatchBuilder()
        workload.create(1, "a")
        workload.create(2, "b")
        #expect(try store.commit([workload.batch(1)], from: 0) == 1)
        var number: UInt64 = 1
        func append(_ queue: UInt32, _ sequence: UInt64) throws {
            number += 1
            var builder = BatchBuilder()
            builder.append(queue, sequence, [UInt8](repeating: 1, count: 900))
            while try store.commit([builder.batch(number)], from: 0) == 0 { _ = try store.keep() }
        }
        for sequence in 1...40 as ClosedRange<UInt64> { try append(1, sequence) }
        for _ in 0..<4 { _ = try store.keep() }
        let files = disk.paths.filter { $0.hasPrefix("queues/1/") }
        #expect(!files.isEmpty)
        // Something to write the next checkpoint for: queue 2 gets a file, and it is settled.
        let images = Mutex<[SimulatedDisk.Image]>([])
        let isDeleted = Mutex(false)
        var delete = BatchBuilder()
        delete.delete(1)
        let batch = delete.batch(1000)
        disk.hooks.withLock { hooks in
            hooks.watch = { [unowned disk] operation in
                let isNow = isDeleted.withLock { isDeleted -> Bool in
                    defer { isDeleted = isDeleted || operation.path == StorePath.checkpointDraft }
                    return !isDeleted && operation.path == StorePath.checkpointDraft
                }
                if isNow, (try? store.commit([batch], from: 0)) != 1 { Issue.record("the deletion was not committed") }
                images.withLock { $0.append(disk.copy()) }
            }
        }
        for sequence in 41...60 as ClosedRange<UInt64> where !isDeleted.withLock({ $0 }) {
            try append(1, sequence)
            _ = try store.keep()
        }
        #expect(isDeleted.withLock { $0 })
        for _ in 0..<3 { _ = try store.keep() }
        disk.hooks.withLock { $0.watch = nil }
        var dice = SplitMix64(seed: 1)
        for image in images.withLock({ $0 }) {
            for keep in [0, 1] {
                let after = DamageTests.open(SimulatedDisk(image.afterPowerCut(keep, &dice)))
                #expect(after.refusal == nil)
            }
        }
        #expect(disk.paths.filter { $0.hasPrefix("queues/1") }.isEmpty)
    }
}
