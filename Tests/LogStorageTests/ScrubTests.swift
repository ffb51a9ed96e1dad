import Base
import BrokerCore
import Glibc
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// Reading again what is at rest.
struct ScrubTests {
    /// All slices of one pass.
    static func pass(_ store: Store, _ budget: Int = 64 << 10) -> [StorageFinding] {
        var findings: [StorageFinding] = []
        while true {
            let slice = store.scrub(budget)
            findings += slice.findings
            if slice.isPassDone { return findings }
        }
    }

    private static func open(_ image: SimulatedDisk.Image) throws -> (SimulatedDisk, Store) {
        let disk = SimulatedDisk(image)
        return (disk, try Opening.open(disk, smallSettings()).store)
    }

    /// Every file that counts, by what it is.
    private static func files(_ disk: SimulatedDisk, _ ending: String) -> [String] {
        disk.paths.filter { $0.hasSuffix(ending) }
    }

    /// Goal: in a sound store nothing is found, whatever is committed, moved and removed between and during
    /// slices. Method: the work of `CrashTests`, with a slice between its steps and before the scrubber's own
    /// disk operations.
    @Test(arguments: 1...6) func inASoundStoreNothingIsFound(seed: UInt64) throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        let workload = Mutex(Workload(seed: seed))
        let isBusy = Mutex(false)
        let dice = Mutex(SplitMix64(seed: seed &+ 3))
        let failure = Mutex<String?>(nil)
        let work: @Sendable () -> Void = {
            do {
                for _ in 0..<dice.withLock({ $0.roll(1..<6) }) {
                    let batch = workload.withLock { $0.next() }
                    while try store.commit([batch], from: 0) == 0 { _ = try store.keep() }
                }
                if dice.withLock({ $0.oneIn(3) }) { try store.mark() }
                if dice.withLock({ $0.oneIn(2) }) { _ = try store.keep() }
            } catch {
                failure.withLock { $0 = "\(error)" }
            }
        }
        disk.hooks.withLock { hooks in
            hooks.watch = { _ in
                let isOurs = isBusy.withLock { isBusy -> Bool in
                    defer { isBusy = true }
                    return !isBusy
                }
                if !isOurs { return }
                if dice.withLock({ $0.oneIn(3) }) { work() }
                isBusy.withLock { $0 = false }
            }
        }
        for _ in 0..<400 {
            let slice = store.scrub(dice.withLock { $0.roll(100..<20_000) })
            #expect(slice.findings.isEmpty, "\(slice.findings)")
        }
        disk.hooks.withLock { $0.watch = nil }
        #expect(failure.withLock { $0 } == nil)
        #expect(store.statistics.scrubPasses > 1 && store.statistics.scrubbedBytes > 100_000)
        #expect(store.statistics.scrubFindings == 0)
    }

    /// Goal: no flipped bit of a queue file goes unnoticed, and the messages that are hit are named, no others.
    @Test func aFlippedBitInAQueueFileIsFound() throws {
        let (disk, store) = try Self.open(try RichStore(seed: 5).image)
        #expect(Self.pass(store).isEmpty)
        var kinds: Set<QueueFile.Kind> = []
        for path in Self.files(disk, ".log").prefix(10) {
            let original = try #require(disk.bytes(path))
            let parts = path.split(separator: "/")
            let id = try #require(UInt32(parts[1]))
            let files = store.state.withLock { $0.ledger.queue(id)?.files ?? [] }
            let file = try #require(files.first { StorePath.queueFile(id, first: $0.first) == path })
            kinds.insert(file.kind)
            for at in stride(from: 0, to: file.bytes, by: 67) {
                disk.damage(path) { $0[at] ^= 1 << UInt8(at % 8) }
                let findings = Self.pass(store)
                try #require(findings.count == 1, "\(path), byte \(at)")
                #expect(findings[0].file == path && findings[0].queues == [Array("queue \(id)".utf8)])
                let lost = try Self.unreadable(store, id)
                let isSaid = findings[0].loss.contains("cannot be given out")
                #expect(lost.isEmpty == !isSaid, "byte \(at): \(findings[0]); lost \(lost)")
                if lost.count == 1, at >= QueueFileHeader.size, let only = lost.first {
                    #expect(findings[0].loss.contains("\(only)"), "byte \(at): \(findings[0])")
                    #expect(Int(findings[0].offset) <= at)
                }
                if isSaid { #expect(store.findings.map(\.file) == [path]) }
                disk.damage(path) { $0 = original }
                #expect(Self.pass(store).isEmpty)
                #expect(store.findings.isEmpty)
            }
        }
        #expect(kinds == [.open, .closed])
    }

    /// The live messages of a queue that cannot be given out.
    private static func unreadable(_ store: Store, _ id: UInt32) throws -> [UInt64] {
        var lost: [UInt64] = []
        var from: UInt64 = 1
        // A reader of its own: an open file is not looked at anew.
        var reader = PageReader()
        while true {
            let request = PageRequest(queue: QueueID(rawValue: id), from: from, maxCount: 1000, maxBytes: 1 << 20)
            let page = reader.page(request, from: store)
            if page.failure != nil { lost.append(page.resumeAt) }
            if page.resumeAt == from, page.failure == nil { return lost }
            from = page.resumeAt + (page.failure == nil ? 0 : 1)
        }
    }

    /// Goal: a finding stands until the queue is past the message, or the file is gone.
    @Test func aFindingGoesWhenTheQueueIsPastIt() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        var number: UInt64 = 0
        func commit(_ add: (inout BatchBuilder) -> Void) throws {
            number += 1
            var builder = BatchBuilder()
            add(&builder)
            while try store.commit([builder.batch(number)], from: 0) == 0 { _ = try store.keep() }
            _ = try store.keep()
        }
        try commit { $0.create(1, "orders") }
        for sequence in 1...100 as ClosedRange<UInt64> {
            try commit { $0.append(1, sequence, [UInt8](repeating: 9, count: 600)) }
        }
        let file = try #require(store.state.withLock { $0.ledger.queue(1)?.files.first })
        let path = StorePath.queueFile(1, first: file.first)
        disk.damage(path) { $0[QueueFileHeader.size + 2 * 632 + 100] ^= 1 }
        let found = Self.pass(store)
        #expect(found.count == 1 && found[0].problem == "message 3 is damaged")
        #expect(found[0].offset == UInt64(QueueFileHeader.size + 2 * 632) && found[0].queues == [Array("orders".utf8)])
        #expect(found[0].loss.contains("messages 3 "))
        try commit { $0.settle(1, 1, count: 2, bytes: 1200) }
        #expect(store.findings == found && store.statistics.scrubFindings == 1)
        try commit { $0.settle(1, 3, bytes: 600) }
        #expect(store.findings.isEmpty)
        // It is still damage: said at the next pass, without a loss, until the file goes.
        #expect(Self.pass(store).first?.loss == "nothing that is still wanted is lost")
        try commit { $0.settle(1, 4, count: 60, bytes: 600 * 60) }
        for _ in 0..<3 { _ = try store.keep() }
        #expect(disk.bytes(path) == nil && store.findings.isEmpty)
        #expect(Self.pass(store).isEmpty)
    }

    @Test func aFileThatCannotBeReadOrIsGoneIsFound() throws {
        let large = try DamageTests.large(seed: 5)
        let (disk, store) = try Self.open(large.image)
        let ledger = store.state.withLock { $0.ledger }
        let paths = ledger.ids.compactMap { id in
            ledger.queue(id)?.files.first.map { StorePath.queueFile(id, first: $0.first) }
        }
        let path = try #require(paths.first)
        disk.hooks.withLock { hooks in
            hooks.fault = { $0.kind == .read && $0.path == path ? EIO : nil }
        }
        #expect(Self.pass(store).map(\.file) == [path])
        #expect(store.findings.first?.problem.contains("read") == true)
        disk.hooks.withLock { $0.fault = nil }
        #expect(Self.pass(store).isEmpty && store.findings.isEmpty)
        disk.damage(path) { $0.removeLast() }
        #expect(Self.pass(store).map(\.file) == [path])
        disk.drop(path)
        #expect(Self.pass(store).map(\.problem) == ["the file is missing"])
    }

    /// Goal: no flipped bit of a journal segment that means something goes unnoticed; and the keeper moves what is
    /// alive in it, so that the next start goes well.
    @Test func aDamagedSegmentIsFoundAndRetired() throws {
        let large = try DamageTests.large(seed: 5)
        let probe = try Self.open(large.image).1
        let uses = probe.state.withLock { $0.segments }
        #expect(uses.count > 1)
        for use in uses.dropLast() {
            let path = StorePath.segment(use.segment.number)
            for at in stride(from: 0, to: use.segment.size, by: 997) {
                let (disk, store) = try Self.open(large.image)
                disk.damage(path) { $0[at] ^= 1 << UInt8(at % 8) }
                let findings = Self.pass(store)
                store.release()
                let refusal = DamageTests.open(SimulatedDisk(disk.copy())).refusal
                #expect(findings.map(\.file) == (refusal == nil ? [] : [path]), "byte \(at): \(refusal ?? "")")
                if findings.isEmpty { continue }
                #expect(store.findings == findings)
                while try store.keep().isBehind {}
                #expect(store.findings.isEmpty)
                #expect(disk.bytes(path) == nil, "it is not used again")
                store.release()
                // The messages that were hit stay damaged; all else is there.
                let (again, _) = try Opening.open(disk, smallSettings())
                var lost = 0
                for id in again.state.withLock({ $0.ledger.ids }) { lost += try Self.unreadable(again, id).count }
                #expect(lost <= 1)
                again.release()
            }
        }
    }

    /// Goal: also the segment that is being written is read, as far as it is on disk.
    @Test func theNewestSegmentIsReadAsFarAsItIsSynced() throws {
        let small = try DamageTests.small(seed: 3, batches: 6, isIdle: false)
        for (batch, offset) in small.offsets.dropLast().enumerated() {
            let (disk, store) = try Self.open(small.image)
            #expect(Self.pass(store).isEmpty)
            disk.damage(DamageTests.segment) { $0[offset + 70] ^= 1 }
            let findings = Self.pass(store)
            #expect(findings.map(\.problem) == ["batch \(batch + 1) is damaged"])
            #expect(findings.map(\.offset) == [UInt64(offset)])
            _ = try store.keep()
            #expect(store.findings == findings, "it is the newest, and stays")
        }
    }

    @Test func aDamagedCheckpointOrStoreFileIsFoundAndCheckpointsAreWrittenAnew() throws {
        let large = try DamageTests.large(seed: 5)
        for path in [StorePath.store] + CheckpointCopies.paths {
            for at in 0..<(SimulatedDisk(large.image).bytes(path)?.count ?? 0) {
                let (disk, store) = try Self.open(large.image)
                disk.damage(path) { $0[at] ^= 1 << UInt8(at % 8) }
                let findings = Self.pass(store)
                try #require(findings.map(\.file) == [path], "\(path), byte \(at)")
                if at % 16 != 0 { continue }
                #expect(store.findings == findings)
                _ = try store.keep()
                #expect(store.findings.isEmpty == (path != StorePath.store))
                #expect(Self.pass(store).isEmpty == (path != StorePath.store))
                disk.drop(path)
                #expect(Self.pass(store).map(\.file) == [path])
            }
        }
    }

    /// Goal: the engine does it by itself, says what it finds, and ends when it is closed.
    @Test func theEngineScrubsAndReportsByItself() throws {
        let large = try DamageTests.large(seed: 5)
        let disk = SimulatedDisk(large.image)
        var settings = smallSettings()
        settings.scrubDelaySeconds = 0
        settings.scrubIntervalSeconds = 0
        settings.scrubBytesPerSecond = 1 << 30
        let (engine, _) = try LogEngine.open(disk: disk, settings: settings)
        let path = try #require(disk.paths.first { $0.hasSuffix(".log") })
        disk.damage(path) { $0[20] ^= 1 }
        let listener = Listener()
        engine.start(listener)
        #expect(listener.wait { !$0.findings.isEmpty })
        #expect(listener.now.findings[0].file == path)
        #expect(engine.findings.map(\.file) == [path])
        engine.close { listener.note { $0.isClosed = true } }
        #expect(listener.wait { $0.isClosed })
        #expect(listener.now.failures.isEmpty)
    }
}
