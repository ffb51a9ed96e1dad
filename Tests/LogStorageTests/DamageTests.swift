import Base
import BrokerCore
import Glibc
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// What the disk does to a store behind our back.
struct DamageTests {
    /// A store of one segment with a few batches, perhaps with the idle marker behind them.
    struct Small {
        var image: SimulatedDisk.Image
        /// `models[n]` is what the first `n` batches make.
        var models: [Model]
        /// Where batch `n` starts in segment 1; the last is where the log ends.
        var offsets: [Int]
    }

    static let segment = StorePath.segment(1)

    static func small(seed: UInt64, batches: Int, isIdle: Bool) throws -> Small {
        let disk = SimulatedDisk()
        var workload = Workload(seed: seed)
        let store = try Opening.open(disk, smallSettings()).store
        var models = [workload.model]
        var offsets: [Int] = []
        var end = SegmentHeader.size
        for _ in 0..<batches {
            let batch = workload.next()
            try #require(try store.commit([batch], from: 0) == 1)
            models.append(workload.model)
            offsets.append(end)
            end += BatchHeader.diskBytes(records: batch.records.count, payload: batch.payloadBytes)
        }
        offsets.append(end)
        if isIdle { try store.mark(syncing: true) }
        store.release()
        var dice = SplitMix64(seed: 1)
        return Small(image: disk.copy().afterPowerCut(1, &dice), models: models, offsets: offsets)
    }

    /// What opening says: the contents, or the refusal.
    static func open(
        _ disk: SimulatedDisk, _ settings: LogSettings = smallSettings()
    ) -> (model: Model?, report: [String], refusal: String?) {
        do {
            let (store, recovery) = try Opening.open(disk, settings)
            let model = try store.contents()
            store.release()
            return (model, recovery.report, nil)
        } catch {
            return (nil, [], "\(error)")
        }
    }

    // MARK: The tail

    /// Goal: a last batch that was not written whole is cut, saved and reported, however little of it is there.
    @Test(arguments: [3, 4, 5] as [UInt64]) func aLastBatchTornAtAnyByteIsCut(seed: UInt64) throws {
        let small = try Self.small(seed: seed, batches: 6, isIdle: false)
        let start = small.offsets[5]
        let end = small.offsets[6]
        for kept in 0..<end - start {
            let disk = SimulatedDisk(small.image)
            var original: [UInt8] = []
            disk.damage(Self.segment) { bytes in
                for at in start + kept..<end { bytes[at] = 0 }
                original = Array(bytes[start..<end])
            }
            let isUnchanged = original == Array(SimulatedDisk(small.image).bytes(Self.segment)?[start..<end] ?? [])
            let after = Self.open(disk)
            #expect(after.refusal == nil)
            #expect(after.model == small.models[isUnchanged ? 6 : 5], "kept \(kept)")
            if isUnchanged { continue }
            let saved = disk.bytes(StorePath.torn(1, 1))
            if original.allSatisfy({ $0 == 0 }) {
                #expect(saved == nil)
            } else {
                let count = try #require(saved?.count, "kept \(kept)")
                #expect(saved == Array(original.prefix(count)) && original[count...].allSatisfy { $0 == 0 })
                #expect(after.report.contains { $0.contains("at offset \(start)") })
            }
        }
    }

    @Test func aFileCutShortAtAnyByteOfTheLastBatchIsFilledUp() throws {
        let small = try Self.small(seed: 3, batches: 6, isIdle: false)
        for length in stride(from: small.offsets[5], through: small.offsets[6], by: 7) {
            let disk = SimulatedDisk(small.image)
            disk.damage(Self.segment) { $0.removeLast($0.count - length) }
            let after = Self.open(disk)
            #expect(after.refusal == nil)
            // Zeros at the end of a batch may be missing without harm.
            #expect(after.model == small.models[5] || after.model == small.models[6] && length > small.offsets[6] - 64)
            #expect(disk.bytes(Self.segment)?.count == smallSettings().segmentBytes)
        }
    }

    /// Goal: a full disk does not keep a broker from starting that could empty it. Method: there is no room for
    /// the copy of a torn tail, from its first byte on or from a later one.
    @Test(arguments: [SimulatedDisk.Kind.create, .write])
    func onAFullDiskATornTailIsCutWithoutACopy(kind: SimulatedDisk.Kind) throws {
        let small = try Self.small(seed: 8, batches: 6, isIdle: true)
        let disk = SimulatedDisk(small.image)
        let start = small.offsets[6] + BatchHeader.size
        disk.damage(Self.segment) { bytes in
            for at in start..<start + 500 { bytes[at] = 7 }
        }
        disk.hooks.withLock {
            $0.fault = { $0.kind == kind && $0.path == StorePath.torn(1, 1) ? ENOSPC : nil }
        }
        let after = Self.open(disk)
        #expect(after.model == small.models[6], "\(after.refusal ?? "")")
        #expect(after.report.contains { $0.contains("not kept") && $0.contains("No space left") }, "\(after.report)")
        #expect(disk.bytes(StorePath.torn(1, 1)) == nil)
        disk.hooks.withLock { $0.fault = nil }
        let again = Self.open(disk)
        #expect(again.model == small.models[6] && again.report.isEmpty, "\(again.report)")
    }

    @Test(arguments: [1, 63, 64, 512, 4000]) func garbageBehindTheLogIsNotTakenForBatches(count: Int) throws {
        let small = try Self.small(seed: 8, batches: 6, isIdle: true)
        let disk = SimulatedDisk(small.image)
        var dice = SplitMix64(seed: UInt64(count))
        let start = small.offsets[6] + BatchHeader.size
        disk.damage(Self.segment) { bytes in
            for at in start..<start + count { bytes[at] = UInt8(dice.roll(1..<256)) }
        }
        let after = Self.open(disk)
        #expect(after.refusal == nil)
        #expect(after.model == small.models[6])
        #expect(disk.bytes(StorePath.torn(1, 1))?.count == count)
        #expect(Self.open(disk).report.isEmpty)
    }

    @Test func zerosBehindTheFileAreNotTakenForBatches() throws {
        let small = try Self.small(seed: 8, batches: 6, isIdle: true)
        let disk = SimulatedDisk(small.image)
        disk.damage(Self.segment) { $0 += [UInt8](repeating: 0, count: 100_000) }
        let after = Self.open(disk)
        #expect(after.model == small.models[6])
        #expect(after.report.isEmpty)
    }

    /// Goal: a message that holds the bytes of a batch cannot become one.
    @Test func aCopyOfABatchElsewhereIsNoBatch() throws {
        let small = try Self.small(seed: 8, batches: 6, isIdle: false)
        let disk = SimulatedDisk(small.image)
        let end = small.offsets[6]
        disk.damage(Self.segment) { bytes in
            let copy = Array(bytes[small.offsets[0]..<small.offsets[6]])
            bytes.replaceSubrange(end + 64..<end + 64 + copy.count, with: copy)
        }
        let after = Self.open(disk)
        #expect(after.refusal == nil)
        #expect(after.model == small.models[6])
    }

    // MARK: Flips

    /// Goal: no flipped bit goes unnoticed. Method: flip each in a log that ends in the idle marker.
    /// The store must then hold the same, or refuse to start.
    @Test(arguments: [3, 11] as [UInt64]) func noFlippedBitOfTheLogIsSilent(seed: UInt64) throws {
        let small = try Self.small(seed: seed, batches: 5, isIdle: true)
        let marker = small.offsets[5]
        var refused = 0
        var same = 0
        let places = Array(stride(from: 0, to: 96, by: 1)) + Array(SegmentHeader.size..<marker + BatchHeader.size)
        for at in places {
            let disk = SimulatedDisk(small.image)
            disk.damage(Self.segment) { $0[at] ^= 1 << UInt8(at % 8) }
            let after = Self.open(disk)
            if let refusal = after.refusal {
                refused += 1
                #expect(at < marker, "the marker is worth nothing: \(refusal)")
                #expect(disk.bytes(StorePath.torn(1, 1)) == nil)
            } else {
                same += 1
                try #require(after.model == small.models[5], "byte \(at)")
            }
        }
        // Bytes that no checksum covers: zeros that fill up batches.
        #expect(refused > (marker - SegmentHeader.size) * 3 / 4)
        #expect(same >= BatchHeader.size)
    }

    @Test func aRefusalNamesFileOffsetAndQueues() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        var builder = BatchBuilder()
        builder.create(1, "orders")
        builder.append(1, 1, [UInt8](repeating: 65, count: 100))
        #expect(try store.commit([builder.batch(1)], from: 0) == 1)
        try store.mark()
        store.release()
        disk.damage(Self.segment) { $0[SegmentHeader.size + 200] ^= 1 }
        let before = disk.paths.map { disk.bytes($0) }
        let refusal = try #require(Self.open(disk).refusal)
        #expect(refusal.contains("\(Self.segment) is damaged at offset 4096"))
        #expect(refusal.contains("queues number 1;") || refusal.contains("queues number 1."))
        #expect(refusal.contains("docs/operations.md"))
        #expect(disk.paths.map { disk.bytes($0) } == before)
    }

    /// Goal: `store` is made anew from the other files; of the checkpoint either copy does, and without both the
    /// journal, which is complete here. Each is said.
    @Test func noFlippedBitOfStoreOrCheckpointIsSilent() throws {
        let small = try Self.small(seed: 3, batches: 5, isIdle: true)
        for paths in [[StorePath.store], [StorePath.checkpoint], [StorePath.secondCheckpoint], CheckpointCopies.paths] {
            for at in 0..<(SimulatedDisk(small.image).bytes(paths[0])?.count ?? 0) {
                let disk = SimulatedDisk(small.image)
                for path in paths { disk.damage(path) { $0[at] ^= 1 << UInt8(at % 8) } }
                let before = disk.copy()
                let after = Self.open(disk)
                if paths == [StorePath.store], after.refusal != nil {
                    // A version that only a newer program can have written.
                    #expect(8..<12 ~= at && after.refusal?.contains("newer") == true)
                    continue
                }
                #expect(after.model == small.models[5])
                for path in paths { #expect(after.report.contains { $0.contains("\(path) is damaged") }, "byte \(at)") }
                // It is mended, unless all was read from the journal: then with the next checkpoint.
                #expect(Self.open(disk).report.isEmpty == (paths.count == 1))
                #expect(Self.open(SimulatedDisk(before)).model == small.models[5])
            }
        }
    }

    @Test func aNewerVersionIsRefusedAndNothingIsChanged() throws {
        let small = try Self.small(seed: 3, batches: 5, isIdle: true)
        for path in [StorePath.store] + CheckpointCopies.paths {
            let disk = SimulatedDisk(small.image)
            disk.damage(path) { bytes in
                bytes[8] = 4
                let sum = FormatVersion.checksum(ofFile: bytes, version: 4)
                bytes.withUnsafeMutableBytes { $0.baseAddress?.put32(sum, 12) }
            }
            let before = disk.paths.map { disk.bytes($0) }
            let refusal = try #require(Self.open(disk).refusal)
            #expect(refusal.contains("version 4") && refusal.contains("newer") && refusal.contains(path))
            #expect(disk.paths.map { disk.bytes($0) } == before)
        }
    }

    // MARK: Files

    /// A store that has retired segments and has messages in queue files.
    static func large(seed: UInt64, isVersion1: Bool = false) throws -> (image: SimulatedDisk.Image, model: Model) {
        let disk = SimulatedDisk()
        var workload = Workload(seed: seed)
        workload.keepsMore = true
        workload.isVersion1 = isVersion1
        let store = try Opening.open(disk, smallSettings()).store
        for _ in 0..<300 {
            let batch = workload.next()
            while try store.commit([batch], from: 0) == 0 { _ = try store.keep() }
        }
        for _ in 0..<3 { _ = try store.keep() }
        try store.mark(syncing: true)
        store.release()
        var dice = SplitMix64(seed: 1)
        return (disk.copy().afterPowerCut(1, &dice), workload.model)
    }

    private static func segments(_ disk: SimulatedDisk) -> [String] { disk.paths.filter { $0.hasSuffix(".seg") } }

    @Test func aMissingSegmentIsNamed() throws {
        let large = try Self.large(seed: 5)
        let count = Self.segments(SimulatedDisk(large.image)).count
        #expect(count >= 3)
        for index in 0..<count {
            let disk = SimulatedDisk(large.image)
            let path = Self.segments(disk)[index]
            disk.drop(path)
            let after = Self.open(disk)
            // The last is the one made ready and was never used.
            if after.refusal == nil {
                #expect(index == count - 1 && after.model == large.model)
            } else {
                #expect(after.refusal?.contains("missing") == true)
            }
        }
    }

    @Test func swappedAndDoubledSegmentsAreRefused() throws {
        let large = try Self.large(seed: 5)
        let paths = Self.segments(SimulatedDisk(large.image))
        let swapped = SimulatedDisk(large.image)
        let first = try #require(swapped.bytes(paths[0]))
        let second = try #require(swapped.bytes(paths[1]))
        swapped.damage(paths[0]) { $0 = second }
        swapped.damage(paths[1]) { $0 = first }
        #expect(Self.open(swapped).refusal?.contains("wrong place") == true)
        let doubled = SimulatedDisk(large.image)
        doubled.damage(paths[1]) { $0 = first }
        #expect(Self.open(doubled).refusal?.contains("wrong place") == true)
    }

    @Test func anEmptyNewestSegmentCountsAsNeverMade() throws {
        let small = try Self.small(seed: 3, batches: 5, isIdle: true)
        for length in [0, 100, 4095] {
            let disk = SimulatedDisk(small.image)
            disk.put(StorePath.segment(2), [UInt8](repeating: 7, count: length))
            let after = Self.open(disk)
            #expect(after.model == small.models[5])
            #expect(after.report.contains { $0.contains("never used") })
        }
    }

    @Test func withoutACheckpointOnlyACompleteJournalDoes() throws {
        let small = try Self.small(seed: 3, batches: 5, isIdle: true)
        let whole = SimulatedDisk(small.image)
        for path in CheckpointCopies.paths { whole.drop(path) }
        #expect(Self.open(whole).model == small.models[5])
        let large = SimulatedDisk(try Self.large(seed: 5).image)
        for path in CheckpointCopies.paths { large.drop(path) }
        #expect(Self.open(large).refusal?.contains("does not reach back") == true)
    }

    @Test func dataWithoutTheFileStoreIsNotOverwritten() throws {
        for image in [try Self.small(seed: 3, batches: 5, isIdle: true).image, try Self.large(seed: 5).image] {
            let disk = SimulatedDisk(image)
            disk.drop(StorePath.store)
            #expect(Self.open(disk).refusal?.contains("not a whole store") == true)
        }
    }

    @Test func aShortOrMissingQueueFileIsRefused() throws {
        let large = try Self.large(seed: 5)
        let paths = SimulatedDisk(large.image).paths.filter { $0.hasSuffix(".log") }
        #expect(paths.count > 1)
        for path in paths {
            let missing = SimulatedDisk(large.image)
            missing.drop(path)
            let cut = SimulatedDisk(large.image)
            cut.damage(path) { $0.removeLast() }
            // One that no checkpoint names any more may be there or not.
            for disk in [missing, cut] {
                let after = Self.open(disk)
                #expect(after.model == large.model || after.refusal?.contains(path) == true)
            }
        }
    }

    /// Goal: damage in a queue file hides the messages it hit and no others, and is never given out.
    @Test func aFlippedBitInAQueueFileHidesOnlyWhatItHit() throws {
        let large = try Self.large(seed: 5)
        for path in SimulatedDisk(large.image).paths.filter({ $0.hasSuffix(".log") }).prefix(3) {
            let size = SimulatedDisk(large.image).bytes(path)?.count ?? 0
            for at in stride(from: 0, to: size, by: 13) {
                let disk = SimulatedDisk(large.image)
                disk.damage(path) { $0[at] ^= 0x10 }
                let (store, _) = try Opening.open(disk, smallSettings())
                let (read, failures) = Self.readAll(store)
                for (id, queue) in read.queues {
                    for (sequence, message) in queue.live {
                        #expect(large.model.queues[id]?.live[sequence] == message)
                    }
                }
                let lost =
                    large.model.queues.values.reduce(0) { $0 + $1.live.count }
                    - read.queues.values.reduce(0) { $0 + $1.live.count }
                #expect(lost == failures)
                if at >= QueueFileHeader.size { #expect(lost <= 1) }
                store.release()
            }
        }
    }

    /// Reads everything, stepping over what cannot be read; says how often that was.
    private static func readAll(_ store: Store) -> (Model, Int) {
        var model = Model()
        var failures = 0
        for id in store.state.withLock({ $0.ledger.ids }) {
            var queue = Model.Queue(name: [])
            var from: UInt64 = 1
            while true {
                let page = store.page(
                    PageRequest(queue: QueueID(rawValue: id), from: from, maxCount: 30, maxBytes: 100_000))
                for message in page.messages {
                    queue.live[message.sequence] = Model.Message(
                        content: Array(message.content.bytes), flags: message.flags, headerBytes: message.headerBytes)
                }
                if page.failure != nil {
                    failures += 1
                    from = page.resumeAt + 1
                } else if page.resumeAt == from {
                    break
                } else {
                    from = page.resumeAt
                }
            }
            model.queues[id] = queue
        }
        return (model, failures)
    }

    /// What can be read of a store that starts.
    static func readAllOf(_ disk: SimulatedDisk) -> Model {
        guard let (store, recovery) = try? Opening.open(disk, smallSettings()) else { return Model() }
        var model = readAll(store).0
        for queue in recovery.queues { model.queues[queue.id.rawValue]?.next = queue.next }
        model.nextQueueID = recovery.nextQueueID
        store.release()
        return model
    }

    @Test func aFlippedBitInTheJournalWhileRunningIsNotGivenOut() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        var builder = BatchBuilder()
        builder.create(1, "a")
        for sequence in 1...3 as ClosedRange<UInt64> { builder.append(1, sequence, [UInt8](repeating: 65, count: 100)) }
        #expect(try store.commit([builder.batch(1)], from: 0) == 1)
        disk.damage(Self.segment) { bytes in
            let at =
                bytes.indices.dropFirst(SegmentHeader.size).first { bytes[$0...].starts(with: [65, 65, 65, 65]) } ?? 0
            bytes[at + 150] ^= 1
        }
        let page = store.page(PageRequest(queue: QueueID(rawValue: 1), from: 1, maxCount: 9, maxBytes: 9999))
        #expect(page.messages.map(\.sequence) == [1])
        #expect(page.resumeAt == 2)
        #expect(page.failure?.contains(Self.segment) == true)
        let next = store.page(PageRequest(queue: QueueID(rawValue: 1), from: 3, maxCount: 9, maxBytes: 9999))
        #expect(next.messages.map(\.sequence) == [3])
        #expect(next.failure == nil)
    }

    // MARK: Numbers from outside

    @Test func aHeaderThatSaysMoreThanThereIsIsNoHeader() {
        var bytes = [UInt8](repeating: 0, count: 1024)
        for (records, payload) in [(Int(UInt32.max), 0), (0, Int(UInt32.max)), (1 << 31, 1 << 31), (20, 512), (0, 897)]
        {
            let header = BatchHeader(
                sequence: 1, durable: 0, segment: 1, offset: 64, recordCount: records, payloadBytes: payload)
            bytes.withUnsafeMutableBytes { header.encode(to: $0.baseAddress.unsafelyUnwrapped + 64, seed: 9) }
            let read = bytes.withUnsafeBytes { BatchHeader(in: $0, at: 64, segment: 1, seed: 9) }
            #expect(read == nil)
        }
        let fits = BatchHeader(sequence: 1, durable: 0, segment: 1, offset: 64, recordCount: 0, payloadBytes: 896)
        bytes.withUnsafeMutableBytes { fits.encode(to: $0.baseAddress.unsafelyUnwrapped + 64, seed: 9) }
        let read = bytes.withUnsafeBytes { BatchHeader(in: $0, at: 64, segment: 1, seed: 9) }
        #expect(read == fits)
    }

    @Test func aCheckpointWithAnyNumberDamagedAndItsChecksumMadeRightDoesNotTrap() throws {
        let large = try Self.large(seed: 5)
        let original = try #require(SimulatedDisk(large.image).bytes(StorePath.checkpoint))
        for at in stride(from: 16, to: original.count, by: 4) {
            for value in [UInt32.max, 0x8000_0000, 1 << 20] {
                var bytes = original
                bytes.withUnsafeMutableBytes { $0.baseAddress?.put32(value, at) }
                let sum = FormatVersion.checksum(ofFile: bytes, version: FormatVersion.current)
                bytes.withUnsafeMutableBytes { $0.baseAddress?.put32(sum, 12) }
                let disk = SimulatedDisk(large.image)
                for path in CheckpointCopies.paths { disk.damage(path) { $0 = bytes } }
                _ = Self.open(disk)
            }
        }
    }
}
