import Base
import BrokerCore
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// The layouts of versions 1 and 2, as they were written then.
private struct OlderVersion {
    let version: UInt32

    func checkpoint(_ bytes: [UInt8]) throws -> [UInt8] {
        let (checkpoint, ledger) = try Checkpoint.decode(bytes)
        var writer = ByteWriter()
        writer.put(Checkpoint.magic)
        writer.put(version)
        writer.put(UInt32(0))
        writer.put(UInt64(0))
        writer.put(checkpoint.storeID)
        writer.put(checkpoint.firstSegment)
        writer.put(ledger.nextQueueID)
        writer.put(checkpoint.firstSequence)
        writer.put(checkpoint.applied)
        writer.put(UInt32(ledger.ids.count))
        writer.put(UInt32(ledger.note.count))
        writer.put(ledger.note)
        writer.pad(to: 8)
        for id in ledger.ids {
            if let queue = ledger.queue(id) { put(queue, &writer) }
        }
        let length = UInt64(writer.bytes.count)
        writer.bytes.withUnsafeMutableBytes { $0.baseAddress?.put64(length, 16) }
        Self.sum(&writer.bytes)
        return writer.bytes
    }

    private func put(_ queue: QueueLedger, _ writer: inout ByteWriter) {
        var pages: [(UInt64, [UInt64])] = []
        queue.settled.forEachPage { pages.append(($0, $1)) }
        writer.put(queue.id)
        writer.put(UInt32(queue.name.count))
        for number in [queue.head, queue.next, queue.located, queue.liveBytes] { writer.put(number) }
        for count in [queue.attempts.count, pages.count, queue.files.count, queue.note.count] {
            writer.put(UInt32(count))
        }
        if version > 1 {
            writer.put(UInt32(queue.remembered.count))
            writer.put(UInt32(0))
        }
        writer.put(queue.name)
        writer.pad(to: 8)
        writer.put(queue.note)
        writer.pad(to: 8)
        for (sequence, attempt) in queue.attempts.sorted(by: { $0.key < $1.key }) {
            writer.put(sequence)
            if version == 1 {
                writer.put(UInt64(attempt.count))
            } else {
                for number in [attempt.count, UInt32(attempt.verdict.rawValue)] { writer.put(number) }
                writer.put(attempt.notBefore)
            }
        }
        for (number, words) in pages {
            writer.put(number)
            writer.put(UInt64(words.isEmpty ? 1 : 0))
            for word in words { writer.put(word) }
        }
        // There were no footers.
        for file in queue.files {
            for number in [file.first, file.last, UInt64(file.contentBytes)] { writer.put(number) }
        }
        writer.bytes.append(contentsOf: queue.remembered.encoded)
        writer.pad(to: 8)
    }

    /// Checksums did not start from the version.
    private static func sum(_ bytes: inout [UInt8], of count: Int? = nil) {
        let sum = bytes.withUnsafeBytes {
            Checksum.of(UnsafeRawBufferPointer(rebasing: $0[16..<(count ?? $0.count)]))
        }
        bytes.withUnsafeMutableBytes { $0.baseAddress?.put32(sum, 12) }
    }

    /// A store with files of all kinds, as that version left it.
    func store(seed: UInt64) throws -> (image: SimulatedDisk.Image, model: Model) {
        let large = try DamageTests.large(seed: seed, isVersion1: version == 1)
        let disk = SimulatedDisk(large.image)
        let ledger = try Checkpoint.decode(try #require(disk.bytes(StorePath.checkpoint))).1
        var contentBytes: [String: Int] = [:]
        for id in ledger.ids {
            for file in ledger.queue(id)?.files ?? [] {
                contentBytes[StorePath.queueFile(id, first: file.first)] = file.contentBytes
            }
        }
        for path in disk.paths {
            let isSegment = path.hasSuffix(".seg") || path.hasSuffix(".spare")
            if !isSegment, !path.hasSuffix(".log"), path != StorePath.store { continue }
            disk.damage(path) { bytes in
                if let content = contentBytes[path] { bytes.removeLast(bytes.count - content) }
                bytes[8] = UInt8(version)
                Self.sum(
                    &bytes, of: isSegment ? SegmentHeader.size : path == StorePath.store ? nil : QueueFileHeader.size)
            }
        }
        let checkpoint = try checkpoint(try #require(disk.bytes(StorePath.checkpoint)))
        disk.damage(StorePath.checkpoint) { $0 = checkpoint }
        disk.drop(StorePath.secondCheckpoint)
        return (disk.copy(), large.model)
    }
}

/// What is new in versions 2 and 3 of the format, and what becomes of an older store.
struct FormatTests {
    private static func version(_ disk: SimulatedDisk, _ path: String) -> UInt8? { disk.bytes(path)?[8] }

    @Test(arguments: [5, 8, 9] as [UInt64], [1, 2] as [UInt32])
    func anOlderStoreIsReadAndUpgraded(seed: UInt64, version: UInt32) throws {
        let old = try OlderVersion(version: version).store(seed: seed)
        let disk = SimulatedDisk(old.image)
        #expect(disk.paths.contains { $0.hasSuffix(".log") })
        #expect(old.model.queues.values.contains { !$0.attempts.isEmpty })
        let (store, recovery) = try Opening.open(disk, smallSettings())
        #expect(recovery.difference(from: old.model) == nil)
        #expect(try store.contents() == old.model)
        #expect(
            recovery.report == [
                "the store was of format version \(version) and is of version 3 now: older programs will refuse it"
            ])
        // Whatever happens now: a power cut does not make it an older one again.
        var dice = SplitMix64(seed: seed)
        #expect(Self.version(SimulatedDisk(disk.copy().afterPowerCut(0, &dice)), StorePath.store) == 3)
        #expect(disk.bytes(StorePath.checkpoint) == disk.bytes(StorePath.secondCheckpoint))
        // It takes what version 1 did not know, beside what is there.
        let id = try #require(old.model.queues.keys.min())
        var model = old.model
        var builder = BatchBuilder()
        builder.note(id, [1, 2, 3])
        builder.remember(id, DedupEntry(high: 1, low: 2, second: 3))
        model.queues[id]?.note = [1, 2, 3]
        model.queues[id]?.dedup.append(DedupEntry(high: 1, low: 2, second: 3))
        while try store.commit([builder.batch(1)], from: 0) == 0 { _ = try store.keep() }
        if seed != 5 { store.finish() }
        store.release()
        #expect(Self.version(disk, StorePath.checkpoint) == (seed == 5 ? UInt8(version) : 3))
        let again = try Opening.open(disk, smallSettings())
        #expect(again.recovery.report.isEmpty)
        #expect(again.recovery.difference(from: model) == nil)
        #expect(try again.store.contents() == model)
        // Files without a checksum of the whole are read again as well.
        let ledger = again.store.state.withLock { $0.ledger }
        #expect(ledger.ids.contains { ledger.queue($0)?.files.contains { $0.kind == .unsummed } ?? false })
        #expect(ScrubTests.pass(again.store).isEmpty)
    }

    /// Goal: an older program never takes a store for its own that has anything of our version in it.
    /// Method: pictures of the disk before each operation of the start and of some work after it.
    @Test(arguments: [1, 2] as [UInt32]) func anUpgradeChangesTheStoreFileBeforeAnythingElse(version: UInt32) throws {
        let old = try OlderVersion(version: version).store(seed: 5)
        let disk = SimulatedDisk(old.image)
        let images = Mutex<[SimulatedDisk.Image]>([])
        disk.hooks.withLock { hooks in
            hooks.watch = { [unowned disk] _ in images.withLock { $0.append(disk.copy()) } }
        }
        let store = try Opening.open(disk, smallSettings()).store
        for _ in 0..<3 { _ = try store.keep() }
        store.finish()
        disk.hooks.withLock { $0.watch = nil }
        store.release()
        let original = SimulatedDisk(old.image)
        var dice = SplitMix64(seed: 3)
        var isOld = 0
        for image in images.withLock({ $0 }) {
            for keep in [0, 1, 2] {
                let cut = SimulatedDisk(image.afterPowerCut(keep, &dice))
                if Self.version(cut, StorePath.store) == UInt8(version) {
                    isOld += 1
                    for path in original.paths where path != StorePath.lock {
                        #expect(cut.bytes(path) == original.bytes(path), "\(path)")
                    }
                }
                let after = DamageTests.open(cut)
                #expect(after.model == old.model, "\(after.refusal ?? "")")
            }
        }
        #expect(isOld > 0)
    }

    @Test func aRefusedStartDoesNotUpgrade() throws {
        let old = try OlderVersion(version: 1).store(seed: 5)
        let disk = SimulatedDisk(old.image)
        let path = try #require(disk.paths.first { $0.hasSuffix(".log") })
        disk.drop(path)
        let before = disk.paths.map { disk.bytes($0) }
        #expect(DamageTests.open(disk).refusal?.contains(path) == true)
        #expect(disk.paths.map { disk.bytes($0) } == before)
    }

    @Test func aCheckpointKeepsNotesAttemptsAndIDs() throws {
        var ledger = Ledger()
        ledger.note = [9, 8, 7]
        var queue = QueueLedger(id: 3, name: Array("/queue/a".utf8))
        queue.next = 9
        queue.attempts = [
            2: Attempt(count: .max, notBefore: .max, verdict: .deadLetter), 4: Attempt(count: 1, notBefore: 5),
        ]
        queue.note = [UInt8](repeating: 5, count: Record.noteLimit)
        for number in 0..<7 as Range<UInt64> { queue.remembered.append(high: .max - number, low: number, second: .max) }
        queue.remembered.removeFirst(2)
        // Places of the messages are learnt from the journal, which there is none of here.
        ledger.add(queue)
        ledger.add(QueueLedger(id: 4, name: []))
        let checkpoint = Checkpoint(storeID: 77, firstSegment: 1, firstSequence: 1, applied: 5)
        let bytes = checkpoint.encoded(ledger)
        let (_, read) = try Checkpoint.decode(bytes)
        #expect(read.note == ledger.note && read.ids == [3, 4])
        let found = try #require(read.queue(3))
        #expect(found.attempts == queue.attempts && found.note == queue.note)
        #expect(found.remembered.entries == queue.remembered.entries && found.remembered.count == 5)
        #expect(read.queue(4)?.note.isEmpty == true && read.queue(4)?.remembered.isEmpty == true)
        for length in 0..<200 {
            #expect(throws: Checkpoint.Damage.self) { _ = try Checkpoint.decode(Array(bytes.prefix(length))) }
        }
    }

    /// Goal: what a checkpoint contains is not done a second time by replaying the batches that it contains.
    @Test func replayedBatchesOfACheckpointRememberNothingTwice() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        func entry(_ number: UInt64) -> DedupEntry { DedupEntry(high: number, low: 1, second: 2) }
        var builder = BatchBuilder()
        builder.create(1, "a")
        for number in 0..<10 as Range<UInt64> { builder.remember(1, entry(number)) }
        builder.forget(1, 3)
        builder.note(0, [1])
        #expect(try store.commit([builder.batch(1)], from: 0) == 1)
        store.finish()
        var later = BatchBuilder()
        later.remember(1, entry(10))
        later.forget(1, 1)
        later.note(0, [])
        #expect(try store.commit([later.batch(2)], from: 0) == 1)
        store.release()
        for _ in 0..<2 {
            let (again, recovery) = try Opening.open(disk, smallSettings())
            #expect(recovery.queues[0].dedup == (4...10).map(entry) && recovery.note.isEmpty)
            again.release()
        }
    }

    @Test func aQueueTakesItsNoteAndIDsWithIt() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        var builder = BatchBuilder()
        builder.create(1, "a")
        builder.note(1, [1, 2])
        builder.remember(1, DedupEntry(high: 1, low: 2, second: 3))
        builder.delete(1)
        // For a queue that is gone, as for acknowledgements that come late: nothing.
        builder.note(1, [3])
        builder.remember(1, DedupEntry(high: 1, low: 2, second: 3))
        builder.forget(1, 1)
        builder.create(2, "a")
        #expect(try store.commit([builder.batch(1)], from: 0) == 1)
        store.release()
        let recovery = try Opening.open(disk, smallSettings()).recovery
        #expect(recovery.queues.map(\.id.rawValue) == [2])
        #expect(recovery.queues[0].note.isEmpty && recovery.queues[0].dedup.isEmpty && recovery.note.isEmpty)
    }

    @Test func notesHaveABoundAndVerdictsAreKnownOnes() throws {
        var settings = smallSettings()
        settings.segmentBytes = 1280 << 10
        func outcome(_ add: (inout BatchBuilder) -> Void) throws -> String? {
            let disk = SimulatedDisk()
            let store = try Opening.open(disk, settings).store
            var builder = BatchBuilder()
            builder.create(1, "a")
            builder.append(1, 1, [1])
            add(&builder)
            do throws(StorageFailure) { _ = try store.commit([builder.batch(1)], from: 0) } catch {
                store.release()
                // Nothing of it was written.
                #expect(DamageTests.open(disk).model?.queues.isEmpty == true)
                return "\(error)"
            }
            store.finish()
            store.release()
            _ = try Opening.open(disk, settings)
            return nil
        }
        #expect(try outcome { $0.note(1, [UInt8](repeating: 1, count: 64 << 10)) } == nil)
        #expect(try outcome { $0.note(1, [UInt8](repeating: 1, count: (64 << 10) + 1)) }?.contains("65537") == true)
        #expect(try outcome { $0.note(0, [UInt8](repeating: 1, count: 1 << 20)) } == nil)
        #expect(try outcome { $0.note(0, [UInt8](repeating: 1, count: (1 << 20) + 1)) }?.contains("1048577") == true)
        let strange = Record(kind: .attempt, flags: 9, queue: QueueID(rawValue: 1), sequence: 1, count: 1)
        #expect(try outcome { $0.add(strange) }?.contains("attempt") == true)
    }

    @Test(arguments: 1...4) func rememberedIDsAgreeWithAPlainList(seed: UInt64) {
        var dice = SplitMix64(seed: seed)
        var ids = RememberedIDs()
        var plain: [DedupEntry] = []
        for number in 0..<4000 {
            if dice.roll(0..<10) < 7 {
                let entry = DedupEntry(high: UInt64(number), low: .max, second: UInt32(dice.roll(0..<100)))
                ids.append(high: entry.high, low: entry.low, second: entry.second)
                plain.append(entry)
            } else {
                let count = dice.oneIn(100) ? dice.roll(0..<5000) : dice.roll(0..<4)
                ids.removeFirst(UInt32(count))
                plain.removeFirst(min(count, plain.count))
            }
            #expect(ids.count == plain.count && ids.isEmpty == plain.isEmpty)
            if number % 50 == 0 {
                #expect(ids.entries == plain)
                #expect(RememberedIDs(Array(ids.encoded))?.entries == plain)
                #expect(ids.memory <= max(1 << 17, plain.count * 20 * 5))
            }
        }
        #expect(RememberedIDs([1, 2, 3]) == nil)
    }
}
