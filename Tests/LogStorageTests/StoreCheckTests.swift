import Base
import BrokerCore
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// Looking at a data directory from outside.
struct StoreCheckTests {
    /// Everything that can be flipped so that a store is not what it was.
    static func paths(_ disk: SimulatedDisk) -> [String] {
        disk.paths.filter { path in
            path.hasSuffix(".seg") || path.hasSuffix(".log") || path.hasPrefix("checkpoint") || path == StorePath.store
        }
    }

    @Test(arguments: [3, 5, 6, 9] as [UInt64]) func aWholeStoreIsDescribedAndNotChanged(seed: UInt64) throws {
        let large = try DamageTests.large(seed: seed)
        let disk = SimulatedDisk(large.image)
        let before = disk.paths.map { disk.bytes($0) }
        let report = try StoreCheck.run(on: disk)
        #expect(disk.paths.map { disk.bytes($0) } == before)
        #expect(report.isWhole, "\(report.damages) \(report.start)")
        #expect(report.start == .goesOn([]) && report.losses.isEmpty && report.consequences.isEmpty)
        #expect(report.formatVersion == FormatVersion.current)
        #expect(report.queues.map(\.id) == large.model.queues.keys.sorted())
        for queue in report.queues {
            let expected = try #require(large.model.queues[queue.id])
            #expect(queue.name == expected.name)
            #expect(queue.messages == UInt64(expected.live.count))
            #expect(queue.bytes == expected.live.values.reduce(0) { $0 + UInt64($1.content.count) })
        }
        #expect(report.queueFiles == disk.paths.filter { $0.hasSuffix(".log") }.count)
    }

    @Test func aTornTailIsNoDamage() throws {
        let small = try DamageTests.small(seed: 3, batches: 6, isIdle: false)
        let disk = SimulatedDisk(small.image)
        disk.damage(DamageTests.segment) { bytes in
            for at in small.offsets[5] + 100..<small.offsets[6] { bytes[at] = 0 }
        }
        let report = try StoreCheck.run(on: disk)
        guard case .goesOn(let sentences) = report.start else {
            Issue.record("\(report.start)")
            return
        }
        #expect(sentences.contains { $0.contains("cut off") })
        #expect(report.isWhole && report.losses.isEmpty, "\(report.damages)")
    }

    /// Goal: what is said about a start is what a start does, also of a store that was being made. Method: the making
    /// of one is cut off all along.
    @Test func ofACreationThatWasCutShortAStartSaysWhatItDoes() throws {
        let disk = SimulatedDisk()
        let pictures = Mutex<[SimulatedDisk.Image]>([])
        disk.hooks.withLock { hooks in
            hooks.watch = { [unowned disk] _ in pictures.withLock { $0.append(disk.copy()) } }
        }
        try Opening.open(disk, smallSettings()).store.release()
        disk.hooks.withLock { $0.watch = nil }
        var dice = SplitMix64(seed: 1)
        var made = 0
        let all = pictures.withLock { $0 }
        for (index, picture) in all.enumerated() where index % 4 == 0 || index == all.count - 1 {
            let image = picture.afterPowerCut(index / 4 % 3, &dice)
            let said = try StoreCheck.tryStart(on: SimulatedDisk(image))
            let after = DamageTests.open(SimulatedDisk(image))
            try #require(after.model != nil, "operation \(index): \(after.refusal ?? "")")
            #expect(said == .goesOn(after.report), "operation \(index)")
            if after.report.contains("made a new store") { made += 1 }
        }
        #expect(made > 3)
    }

    /// Goal: nothing that matters is damaged without being named. Method: flips everywhere; where nothing is
    /// found, a start must give exactly what was there.
    @Test(arguments: [5, 6] as [UInt64]) func whatIsCalledWholeIsWhole(seed: UInt64) throws {
        let large = try DamageTests.large(seed: seed)
        var dice = SplitMix64(seed: seed)
        var found = 0
        let paths = Self.paths(SimulatedDisk(large.image))
        for _ in 0..<300 {
            let disk = SimulatedDisk(large.image)
            let path = paths[dice.roll(0..<paths.count)]
            let count = disk.bytes(path)?.count ?? 0
            let at = dice.roll(0..<count)
            disk.damage(path) { $0[at] ^= 1 << UInt8(dice.roll(0..<8)) }
            let report = try Self.checkOrRefusal(disk)
            if report.map(\.isWhole) ?? false {
                let after = DamageTests.open(disk)
                try #require(after.model == large.model, "\(path) at \(at): \(after.refusal ?? "")")
            } else {
                found += 1
                #expect(
                    report.map { $0.damages.contains { $0.path == path } } ?? true,
                    "\(path) at \(at): \(report?.damages ?? []) \(String(describing: report?.start))")
            }
        }
        #expect(found > 50)
    }

    /// nil for a flip that made it a store of a newer program.
    private static func checkOrRefusal(_ disk: SimulatedDisk) throws -> StoreReport? {
        do { return try StoreCheck.run(on: disk) } catch {
            guard "\(error)".contains("version") else { throw error }
            return nil
        }
    }

    @Test func aDirectoryInUseOrWithoutAStoreIsRefused() throws {
        let disk = SimulatedDisk()
        #expect(throws: StorageFailure.self) { try StoreCheck.run(on: disk) }
        #expect(disk.paths.isEmpty)
        let store = try Opening.open(disk, smallSettings()).store
        let refusal = #expect(throws: StorageFailure.self) { try StoreCheck.run(on: disk) }
        #expect(refusal?.description.contains("in use") == true && refusal?.kind == .unavailable)
        store.release()
        #expect(try StoreCheck.run(on: disk).isWhole)
    }

    @Test func aDamagedMessageIsNamedByFileQueueAndNumber() throws {
        let large = try DamageTests.large(seed: 5)
        let disk = SimulatedDisk(large.image)
        let path = try #require(disk.paths.first { $0.hasSuffix(".log") })
        let id = try #require(UInt32(path.split(separator: "/")[1]))
        let first = try #require(number(in: String(path.split(separator: "/")[2]), before: ".log"))
        let isLive = large.model.queues[id]?.live[first] != nil
        disk.damage(path) { $0[QueueFileHeader.size + StoredHead.size] ^= 1 }
        let report = try StoreCheck.run(on: disk)
        let damage = try #require(report.damages.first)
        #expect(damage.path == path && damage.offset == QueueFileHeader.size)
        #expect(damage.sentence.contains("message \(first)") && damage.sentence.contains("queue \(id)"))
        #expect(report.losses.contains { $0.kind == .lost && $0.queue == id && $0.sequences.contains(first) } == isLive)
        // A start does not read queue files.
        guard case .goesOn = report.start else { throw StorageFailure("\(report.start)") }
    }

    @Test func theSeedOfAChecksumCanBeFoundFromItsEnd() {
        var dice = SplitMix64(seed: 4)
        for count in [0, 1, 56, 300] {
            let bytes = (0..<count).map { _ in UInt8(dice.roll(0..<256)) }
            let seed = UInt32(truncatingIfNeeded: dice.next())
            let sum = bytes.withUnsafeBytes { Checksum.of($0, seed: seed) }
            #expect(bytes.withUnsafeBytes { Checksum.seed(before: $0, sum: sum) } == seed)
        }
    }

    @Test func rangesAddUp() {
        var ranges = SequenceRanges()
        for sequence in [1, 2, 3, 7, 9, 10] as [UInt64] { ranges.insert(sequence...sequence) }
        #expect(ranges.text() == "1-3, 7, 9-10" && ranges.count == 6)
        ranges.insert(2...8)
        #expect(ranges.text() == "1-10")
        ranges.remove(4...5)
        #expect(ranges.text() == "1-3, 6-10" && ranges.contains(6) && !ranges.contains(5))
        ranges.insert(0...UInt64.max)
        #expect(ranges.count == .max)
        var many = SequenceRanges()
        for number in 0..<UInt64(SequenceRanges.countMax + 10) { many.insert(number * 2...number * 2) }
        #expect(many.isCoarse && many.ranges.count == SequenceRanges.countMax)
    }
}
