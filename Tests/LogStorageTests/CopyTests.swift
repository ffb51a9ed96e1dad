import Base
import BrokerCore
import Glibc
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// The two copies of the checkpoint, and the ends of queue files.
struct CopyTests {
    /// Goal: whatever is cut off, and whichever copy is damaged on top of that, the other leads to a prefix that
    /// contains all that was confirmed. Method: random work with pictures, of each a power cut, then damage.
    @Test(arguments: 1...4) func whicheverCopyIsLostTheOtherDoes(seed: UInt64) throws {
        let run = try Run(seed: seed, pictureEvery: 2)
        run.work(steps: 60)
        run.end()
        #expect(run.failure == nil)
        var dice = SplitMix64(seed: seed &+ 5)
        let models = run.models
        var different = 0
        for picture in run.pictures {
            let image = picture.image.afterPowerCut(dice.roll(0..<3), &dice)
            let whole = SimulatedDisk(image)
            if whole.bytes(StorePath.checkpoint) != whole.bytes(StorePath.secondCheckpoint) { different += 1 }
            for path in CheckpointCopies.paths {
                let disk = SimulatedDisk(image)
                if dice.oneIn(2) { disk.drop(path) } else { disk.damage(path) { $0[$0.count / 2] ^= 4 } }
                guard let after = try CrashTests.verify(disk.copy(), picture, models, "seed \(seed), without \(path)")
                else { return }
                let copies = CheckpointCopies.paths.map { after.disk.bytes($0) }
                #expect(copies[0] == copies[1] && copies[0] != nil)
            }
        }
        #expect(different > 0)
    }

    @Test func aCopyThatCannotBeReadIsWrittenAnewAndSaid() throws {
        let large = try DamageTests.large(seed: 5)
        for path in CheckpointCopies.paths {
            let disk = SimulatedDisk(large.image)
            disk.hooks.withLock { hooks in
                hooks.fault = { $0.kind == .read && $0.path == path ? EIO : nil }
            }
            let after = DamageTests.open(disk)
            #expect(after.model == large.model)
            #expect(after.report.count == 1 && after.report.first?.hasPrefix("\(path) cannot be used") == true)
            disk.hooks.withLock { $0.fault = nil }
            #expect(DamageTests.open(disk).report.isEmpty)
        }
    }

    /// Goal: a start needs no room. Method: a copy of an earlier checkpoint on a disk without a free byte.
    @Test func onAFullDiskAnOlderCopyIsTakenAwayRatherThanRefused() throws {
        let large = try DamageTests.large(seed: 5)
        let disk = SimulatedDisk(large.image)
        let store = try Opening.open(disk, smallSettings()).store
        let older = try #require(disk.bytes(StorePath.secondCheckpoint))
        store.finish()
        store.release()
        disk.put(StorePath.secondCheckpoint, older)
        disk.image.withLock { $0.capacity = $0.used }
        let after = DamageTests.open(disk)
        #expect(after.model == large.model && after.report.contains { $0.contains("no room for the second copy") })
        #expect(disk.bytes(StorePath.secondCheckpoint) == nil)
        disk.image.withLock { $0.capacity = 1 << 40 }
        let again = DamageTests.open(disk)
        #expect(again.report.contains { $0.hasPrefix("\(StorePath.secondCheckpoint) is missing") })
        #expect(disk.bytes(StorePath.secondCheckpoint) != nil)
    }

    /// Goal: what checkpoint and footer say of a queue file is so, also when it grew over several starts.
    @Test(arguments: 1...4) func queueFilesAreAsTheirSumsSay(seed: UInt64) throws {
        let disk = SimulatedDisk()
        var workload = Workload(seed: seed)
        workload.keepsMore = true
        var closed = 0
        for _ in 0..<4 {
            let store = try Opening.open(disk, smallSettings()).store
            for _ in 0..<100 {
                let batch = workload.next()
                while try store.commit([batch], from: 0) == 0 { _ = try store.keep() }
            }
            for _ in 0..<3 { _ = try store.keep() }
            let ledger = store.state.withLock { $0.ledger }
            for id in ledger.ids {
                for file in ledger.queue(id)?.files ?? [] {
                    let bytes = try #require(disk.bytes(StorePath.queueFile(id, first: file.first)))
                    #expect(bytes.count == file.bytes)
                    let content = Array(bytes[..<file.contentBytes])
                    #expect(content.withUnsafeBytes { Checksum.of($0) } == file.checksum)
                    let heads = Self.heads(
                        content, QueueFileHeader(storeID: store.storeID, queue: id, first: file.first))
                    #expect(heads.count == Int(file.messages) && heads.last == file.last && heads.first == file.first)
                    let footer = bytes[file.contentBytes...].withUnsafeBytes { QueueFileFooter($0) }
                    #expect((file.kind == .closed) == (footer != nil))
                    #expect((file.contentBytes >= smallSettings().queueFileBytes) == (file.kind == .closed))
                    guard let footer else { continue }
                    closed += 1
                    #expect(footer.storeID == store.storeID && footer.queue == id)
                    #expect(footer.file.bytes == file.contentBytes && footer.file.messages == file.messages)
                    #expect(footer.file.first == file.first && footer.file.last == file.last)
                    #expect(footer.file.checksum == file.checksum)
                }
            }
            store.release()
        }
        #expect(closed > 0)
    }

    /// The sequences of the messages in a file.
    private static func heads(_ content: [UInt8], _ header: QueueFileHeader) -> [UInt64] {
        var sequences: [UInt64] = []
        var at = QueueFileHeader.size
        content.withUnsafeBytes { bytes in
            while at < bytes.count, let head = StoredHead(bytes.baseAddress.unsafelyUnwrapped + at, seed: header.seed) {
                sequences.append(head.sequence)
                at += head.diskBytes
            }
        }
        return sequences
    }

    @Test func aFooterWithAnyFlippedBitIsNone() {
        let file = QueueFile(first: 3, last: 9, bytes: 640, messages: 4, checksum: 77)
        let footer = QueueFileFooter(storeID: 5, queue: 2, file: file)
        let bytes = footer.encoded()
        #expect(bytes.count == QueueFileFooter.size)
        #expect(bytes.withUnsafeBytes { QueueFileFooter($0) } == footer)
        for bit in 0..<bytes.count * 8 {
            var flipped = bytes
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(flipped.withUnsafeBytes { QueueFileFooter($0) } == nil)
        }
        for count in 0..<bytes.count { #expect(bytes[..<count].withUnsafeBytes { QueueFileFooter($0) } == nil) }
    }

    /// Goal: a file that was long enough all along, by a setting that is smaller now, is closed and another begun.
    @Test func aFileThatIsTooLongByANewSettingIsClosed() throws {
        let disk = SimulatedDisk()
        func fill(_ settings: LogSettings, _ sequences: ClosedRange<UInt64>) throws -> [QueueFile] {
            let store = try Opening.open(disk, settings).store
            for sequence in sequences {
                var builder = BatchBuilder()
                if sequence == 1 { builder.create(1, "a") }
                builder.append(1, sequence, [UInt8](repeating: 1, count: 300))
                while try store.commit([builder.batch(sequence)], from: 0) == 0 { _ = try store.keep() }
            }
            for _ in 0..<4 { _ = try store.keep() }
            let files = store.state.withLock { $0.ledger.queue(1)?.files }
            store.release()
            return try #require(files)
        }
        var settings = smallSettings()
        settings.queueFileBytes = 1 << 20
        let before = try fill(settings, 1...300)
        #expect(before.count == 1 && before[0].kind == .open && before[0].bytes > 8 << 10)
        let after = try fill(smallSettings(), 301...400)
        #expect(after.count > 1 && after[0].kind == .closed && after[0].contentBytes == before[0].bytes)
        #expect(DamageTests.open(disk).model?.queues[1]?.live.count == 400)
    }

    /// Goal: after a failed sync the file is left as it was, without a footer, and what had to go there goes to a
    /// new one.
    @Test func aFileWhoseSyncFailedGetsNoFooterAndNoMore() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        var next: UInt64 = 1
        func fill(_ count: Int) throws {
            for _ in 0..<count {
                var builder = BatchBuilder()
                if next == 1 { builder.create(1, "a") }
                builder.append(1, next, [UInt8](repeating: 1, count: 700))
                while try store.commit([builder.batch(next)], from: 0) == 0 { _ = try store.keep() }
                next += 1
            }
            for _ in 0..<4 { _ = try store.keep() }
        }
        func files() -> [QueueFile] { store.state.withLock { $0.ledger.queue(1)?.files ?? [] } }
        while files().last?.kind != .open { try fill(1) }
        let tail = try #require(files().last)
        let path = StorePath.queueFile(1, first: tail.first)
        let failures = FailureTests.Count()
        disk.hooks.withLock { hooks in
            hooks.fault = { $0.kind == .sync && $0.path == path && failures.up() == 1 ? EIO : nil }
        }
        let bytes = disk.bytes(path)
        try fill(60)
        #expect(failures.now >= 1)
        #expect(files().contains(tail) && files().last?.first != tail.first)
        #expect(disk.bytes(path) == bytes)
        #expect(failures.now == 1, "it is synced no second time")
        store.release()
        #expect(DamageTests.open(disk).model?.queues[1]?.live.count == Int(next) - 1)
    }
}
