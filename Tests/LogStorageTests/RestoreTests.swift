import Base
import BrokerCore
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// Copies on their way out of a data directory and back into one.
struct RestoreTests {
    /// A finished copy, and what it holds.
    static func backup(seed: UInt64) throws -> (copy: SimulatedDisk, model: Model) {
        let run = try Run(seed: seed, pictureEvery: 1 << 20)
        run.work(steps: 60)
        run.end()
        let model = try run.store.contents()
        _ = try run.store.beginBackup()
        let copy = SimulatedDisk()
        let manifest = try BackupCopy.run(from: run.disk, to: copy)
        #expect(
            manifest.entries.count
                == copy.paths.filter { $0.contains(".") || $0 == "store" || $0 == "checkpoint" }.count)
        try run.store.endBackup()
        var dice = SplitMix64(seed: seed)
        // What is not durable when the copy is said to be finished is not in it.
        return (SimulatedDisk(copy.copy().afterPowerCut(0, &dice)), model)
    }

    @Test(arguments: 1...6) func whatWasCopiedIsThereAgain(seed: UInt64) throws {
        let (copy, model) = try Self.backup(seed: seed)
        let target = SimulatedDisk()
        let outcome = try BackupRestore.run(from: copy, to: target)
        #expect(outcome.report.isWhole)
        var dice = SplitMix64(seed: seed)
        let after = DamageTests.open(SimulatedDisk(target.copy().afterPowerCut(0, &dice)))
        #expect(after.model == model && after.report.isEmpty, "\(after.refusal ?? "")")
    }

    /// Goal: a store has its directories, whether or not there was anything in them.
    @Test func aCopyWithoutQueueFilesIsRestoredWithItsDirectories() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        _ = try store.beginBackup()
        let copy = SimulatedDisk()
        _ = try BackupCopy.run(from: disk, to: copy)
        store.release()
        let target = SimulatedDisk()
        _ = try BackupRestore.run(from: copy, to: target)
        let paths = Set(target.paths)
        #expect(paths.isSuperset(of: [StorePath.journal, StorePath.queues]), "\(paths)")
    }

    /// Goal: a copy that is damaged anywhere is not restored. Method: flips and cuts in every file of it.
    @Test func aDamagedCopyIsRefusedAndNothingIsLeft() throws {
        let (copy, _) = try Self.backup(seed: 2)
        let image = copy.copy()
        var dice = SplitMix64(seed: 9)
        for path in copy.paths {
            guard let count = copy.bytes(path)?.count, count > 0 else { continue }
            for way in 0..<6 {
                let damaged = SimulatedDisk(image)
                switch way {
                case 0: damaged.drop(path)
                case 1: damaged.damage(path) { $0.removeLast() }
                case 2: damaged.damage(path) { $0.append(7) }
                default: damaged.damage(path) { $0[dice.roll(0..<count)] ^= 1 << UInt8(dice.roll(0..<8)) }
                }
                let target = SimulatedDisk()
                #expect(throws: StorageFailure.self, "\(path), \(way)") {
                    _ = try BackupRestore.run(from: damaged, to: target)
                }
                #expect(target.paths.filter { $0 != "lock" }.isEmpty, "\(target.paths)")
            }
        }
    }

    @Test(arguments: [
        "../store", "/etc/passwd", "journal/../store", "journal/1.seg", "journal/00000001.SEG", "queues/01/x.log",
        "queues/1/1.log", "queues/0/00000000000000000001.log", "queues/1/00000000000000000001.log/x", "lock",
        "manifest",
        "journal//00000001.seg", "checkpoint.3", "",
    ])
    func aManifestNamesOnlyWhatAStoreHas(path: String) throws {
        #expect(BackupManifest.limit(of: path) == nil)
        var manifest = BackupManifest(storeID: 7, formatVersion: 3)
        for good in ["store", "checkpoint"] {
            manifest.entries.append(BackupManifest.Entry(path: good, bytes: 32, checksum: 1))
        }
        #expect(try BackupManifest(decoding: manifest.encoded()) == manifest)
        manifest.entries.append(BackupManifest.Entry(path: path, bytes: 1, checksum: 1))
        #expect(throws: BackupManifest.Mistake.self) { _ = try BackupManifest(decoding: manifest.encoded()) }
    }

    @Test func aManifestNamesNoMoreSegmentsThanAStoreHas() throws {
        var manifest = BackupManifest(storeID: 7, formatVersion: 3)
        let segments = (1...60).map { StorePath.segment($0) }
        for path in ["store", "checkpoint"] + segments {
            manifest.entries.append(BackupManifest.Entry(path: path, bytes: 32, checksum: 1))
        }
        #expect(try BackupManifest(decoding: manifest.encoded()) == manifest)
        manifest.entries.append(BackupManifest.Entry(path: StorePath.segment(61), bytes: 32, checksum: 1))
        #expect(throws: BackupManifest.Mistake.self) { _ = try BackupManifest(decoding: manifest.encoded()) }
    }

    @Test func aManifestOfManyLinesIsRefusedBeforeItIsTakenApart() {
        let bytes = [UInt8](repeating: 0x0A, count: BackupManifest.entriesMax + 5)
        let mistake = #expect(throws: BackupManifest.Mistake.self) { _ = try BackupManifest(decoding: bytes) }
        #expect(mistake?.sentence == "it names too many files")
    }

    @Test func aManifestWithAnyByteChangedIsRefused() throws {
        let (copy, _) = try Self.backup(seed: 1)
        let bytes = try #require(copy.bytes("manifest"))
        for at in bytes.indices {
            var changed = bytes
            changed[at] ^= 4
            #expect(throws: BackupManifest.Mistake.self) { _ = try BackupManifest(decoding: changed) }
        }
        for length in stride(from: 0, to: bytes.count, by: 3) {
            #expect(throws: BackupManifest.Mistake.self) { _ = try BackupManifest(decoding: Array(bytes[..<length])) }
        }
    }

    /// Goal: until it is whole and durable it is no store; and it can be begun again. Method: cut it off at every
    /// operation.
    @Test func aRestoreCutOffAnywhereIsNoStoreOrAWholeOne() throws {
        let (copy, model) = try Self.backup(seed: 3)
        let pictures = Mutex<[SimulatedDisk.Image]>([])
        let target = SimulatedDisk()
        target.hooks.withLock { hooks in
            hooks.watch = { [unowned target] _ in pictures.withLock { $0.append(target.copy()) } }
        }
        _ = try BackupRestore.run(from: copy, to: target)
        target.hooks.withLock { $0.watch = nil }
        var dice = SplitMix64(seed: 3)
        for (index, image) in pictures.withLock({ $0 }).enumerated() where index % 3 == 0 || index < 10 {
            for keep in [0, 1, 2] {
                let disk = SimulatedDisk(image.afterPowerCut(keep, &dice))
                if disk.bytes(StorePath.store) == nil {
                    if disk.bytes(BackupRestore.mark) != nil {
                        // A broker must not make a new store of it.
                        let refusal = DamageTests.open(SimulatedDisk(disk.copy())).refusal
                        #expect(refusal?.contains("was cut off") == true)
                    }
                    if disk.paths.count > 0 { _ = try BackupRestore.run(from: copy, to: disk) } else { continue }
                }
                #expect(DamageTests.open(disk).model == model)
            }
        }
    }

    @Test func aDirectoryThatIsNotEmptyIsLeftAlone() throws {
        let (copy, _) = try Self.backup(seed: 1)
        let target = SimulatedDisk()
        target.put("precious", [1])
        let refusal = #expect(throws: StorageFailure.self) { _ = try BackupRestore.run(from: copy, to: target) }
        #expect(refusal?.kind == .unavailable)
        #expect(target.paths == ["precious"])
        let full = SimulatedDisk()
        full.put("precious", [1])
        #expect(throws: StorageFailure.self) { _ = try BackupCopy.run(from: copy, to: full) }
    }

    @Test func aCopyThatIsStoppedHasNoManifest() throws {
        let run = try Run(seed: 4, pictureEvery: 1 << 20)
        run.work(steps: 60)
        run.end()
        _ = try run.store.beginBackup()
        let target = SimulatedDisk()
        #expect(throws: StorageFailure.self) {
            _ = try BackupCopy.run(from: run.disk, to: target) { (done) throws(StorageFailure) in
                if done > 1000 { throw StorageFailure("enough") }
            }
        }
        #expect(target.bytes("manifest") == nil)
        #expect(throws: StorageFailure.self) { _ = try BackupRestore.run(from: target, to: SimulatedDisk()) }
    }
}
