import Base
import BrokerCore
import Glibc
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// Keeps what an engine reports, and lets a test wait for it.
final class Listener: StorageEvents {
    struct Heard: Sendable {
        var durable: [UInt64] = []
        var rooms: [StorageRoom] = []
        var failures: [String] = []
        var isClosed = false
        var pages: [Page] = []
        var findings: [StorageFinding] = []
        /// The longest that commits waited for a segment.
        var secondsWithoutRoom = 0
    }

    let heard = Monitor(Heard())

    func durable(through number: UInt64) { note { $0.durable.append(number) } }
    func roomChanged(_ room: StorageRoom) { note { $0.rooms.append(room) } }
    func found(_ finding: StorageFinding) { note { $0.findings.append(finding) } }
    func failed(_ failure: StorageFailure) { note { $0.failures.append(failure.description) } }

    func note(_ change: (inout Heard) -> Void) {
        heard.withLock { change(&$0) }
        heard.ring()
    }

    /// Waits until `test` holds; false after 30 seconds.
    func wait(for test: (Heard) -> Bool) -> Bool {
        heard.wait(milliseconds: 30_000) { test($0) ? true : nil } ?? false
    }

    var now: Heard { heard.withLock { $0 } }
}

/// A directory of its own, removed in the end.
final class Directory {
    let path: String

    init() throws {
        var template = Array((P_tmpdir + "/log-storage-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw StorageFailure("no directory: \(errno)") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { Self.remove(path) }

    private static func remove(_ path: String) {
        if let stream = opendir(path) {
            while let entry = readdir(stream) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != ".", name != ".." { remove("\(path)/\(name)") }
            }
            closedir(stream)
        }
        _ = Glibc.remove(path)
    }
}

extension LogEngine {
    /// For the journal thread.
    func take(_ batch: Batch) {
        append(batch)
        commit()
    }
}

/// The engine with its threads, on a real file system and on one that fails.
struct EngineTests {
    private static func close(_ engine: LogEngine, _ listener: Listener) {
        engine.close { listener.note { $0.isClosed = true } }
        #expect(listener.wait { $0.isClosed })
    }

    private static func settings() -> LogSettings {
        var settings = smallSettings()
        settings.segmentBytes = 64 << 10
        settings.lowWatermark = 1
        settings.highWatermark = 1
        return settings
    }

    @Test(arguments: 1...4) func whatIsDurableIsThereAgainOnARealDisk(seed: UInt64) throws {
        let directory = try Directory()
        var workload = Workload(seed: seed)
        workload.keepsMore = true
        for _ in 0..<3 {
            let (engine, recovery) = try LogEngine.open(directory: directory.path, settings: Self.settings())
            #expect(recovery.difference(from: workload.model) == nil)
            let listener = Listener()
            engine.start(listener)
            var last: UInt64 = 0
            for _ in 0..<400 {
                let batch = workload.next()
                last = batch.number
                engine.take(batch)
            }
            #expect(listener.wait { $0.durable.last == last })
            let durable = listener.now.durable
            #expect(durable == durable.sorted() && Set(durable).count == durable.count)
            #expect(engine.backlogBytes == 0)
            // Pages agree with the model.
            for (id, queue) in workload.model.queues {
                let sequences = queue.live.keys.sorted()
                listener.note { $0.pages = [] }
                engine.read(PageRequest(queue: QueueID(rawValue: id), from: 1, maxCount: 10_000, maxBytes: 1 << 30)) {
                    page in
                    listener.note { $0.pages.append(page) }
                }
                #expect(listener.wait { $0.pages.count == 1 })
                let page = listener.now.pages[0]
                #expect(page.failure == nil && page.messages.map(\.sequence) == sequences)
                #expect(page.messages.allSatisfy { Array($0.content.bytes) == queue.live[$0.sequence]?.content })
            }
            Self.close(engine, listener)
            #expect(listener.now.failures.isEmpty)
        }
    }

    @Test func anIdleLogEndsInItsMarker() throws {
        let disk = SimulatedDisk()
        let (engine, _) = try LogEngine.open(disk: disk, settings: smallSettings())
        let listener = Listener()
        engine.start(listener)
        var builder = BatchBuilder()
        builder.create(1, "a")
        let written = Monitor(0)
        disk.hooks.withLock { hooks in
            hooks.watch = { operation in
                if operation.kind == .write, operation.path == StorePath.segment(1) {
                    written.withLock { $0 += 1 }
                    written.ring()
                }
            }
        }
        engine.take(builder.batch(1))
        // The batch, then the marker without being asked.
        let count = written.wait(milliseconds: 30_000) { $0 >= 2 ? $0 : nil }
        #expect(count == 2)
        Self.close(engine, listener)
    }

    @Test func closingMakesEverythingDurableFirst() throws {
        let directory = try Directory()
        let (engine, _) = try LogEngine.open(directory: directory.path, settings: Self.settings())
        let listener = Listener()
        engine.start(listener)
        var workload = Workload(seed: 77)
        var last: UInt64 = 0
        for _ in 0..<200 {
            let batch = workload.next()
            last = batch.number
            engine.take(batch)
        }
        engine.close { [last] in listener.note { heard in heard.isClosed = heard.durable.last == last } }
        #expect(listener.wait { $0.isClosed })
        let (again, recovery) = try LogEngine.open(directory: directory.path, settings: Self.settings())
        #expect(recovery.difference(from: workload.model) == nil)
        #expect(recovery.report.isEmpty)
        _ = again
    }

    @Test func twoEnginesNeverShareADirectory() throws {
        let directory = try Directory()
        let (first, _) = try LogEngine.open(directory: directory.path, settings: Self.settings())
        do throws(StorageFailure) {
            _ = try LogEngine.open(directory: directory.path, settings: Self.settings())
            Issue.record("opened twice")
        } catch {
            #expect(error.description.contains("in use: process \(getpid()) has it"))
        }
        let listener = Listener()
        first.start(listener)
        Self.close(first, listener)
        _ = try LogEngine.open(directory: directory.path, settings: Self.settings())
    }

    @Test func aDirectoryThatIsALinkOrAFileIsRefusedWithASentence() throws {
        let directory = try Directory()
        #expect(symlink(directory.path, directory.path + "/link") == 0)
        for path in [directory.path + "/link", "/dev/null", directory.path + "/no/such"] {
            do throws(StorageFailure) {
                _ = try LogEngine.open(directory: path, settings: Self.settings())
                Issue.record("\(path) was taken")
            } catch {
                #expect(error.description.contains(path))
            }
        }
    }

    /// Goal: a sync that fails once is never tried again, and nothing is confirmed after it.
    @Test func aFailedSyncIsNeverTriedAgain() throws {
        let disk = SimulatedDisk()
        let (engine, _) = try LogEngine.open(disk: disk, settings: smallSettings())
        let listener = Listener()
        let failing = Mutex(false)
        let after = Atomic<Int>(0)
        disk.hooks.withLock { hooks in
            hooks.fault = { operation in
                guard operation.path == StorePath.segment(1) else { return nil }
                return failing.withLock { failing -> Int32? in
                    if failing {
                        after.add(1, ordering: .relaxed)
                        return nil
                    }
                    guard operation.kind == .sync else { return nil }
                    failing = true
                    return EIO
                }
            }
        }
        engine.start(listener)
        for number in 1...5 as ClosedRange<UInt64> {
            var builder = BatchBuilder()
            builder.create(UInt32(number), "a")
            engine.take(builder.batch(number))
        }
        #expect(listener.wait { !$0.failures.isEmpty })
        var builder = BatchBuilder()
        builder.create(6, "a")
        engine.take(builder.batch(6))
        Self.close(engine, listener)
        #expect(listener.now.durable.isEmpty)
        #expect(listener.now.failures.count == 1)
        #expect(after.load(ordering: .relaxed) == 0)
    }

    /// Goal: a keeper that cannot keep up makes commits wait, not fail; the wait can be seen.
    @Test func whenNoSegmentIsReadyCommitsWaitAndTheBacklogShows() throws {
        let disk = SimulatedDisk()
        let (engine, _) = try LogEngine.open(disk: disk, settings: smallSettings())
        let isFull = Mutex(true)
        disk.hooks.withLock { hooks in
            hooks.fault = { operation in
                operation.path == StorePath.segmentDraft && isFull.withLock { $0 } ? ENOSPC : nil
            }
        }
        let listener = Listener()
        engine.start(listener)
        var builder = BatchBuilder()
        builder.create(1, "a")
        engine.take(builder.batch(1))
        for number in 2...40 as ClosedRange<UInt64> {
            var builder = BatchBuilder()
            builder.append(1, number - 1, [UInt8](repeating: 1, count: 1000))
            engine.take(builder.batch(number))
        }
        #expect(listener.wait { $0.rooms.contains { if case .short = $0 { true } else { false } } })
        #expect(listener.now.durable.last ?? 0 < 40)
        #expect(engine.backlogBytes > 1000)
        isFull.withLock { $0 = false }
        #expect(listener.wait { $0.durable.last == 40 })
        #expect(listener.wait { $0.rooms.last == .enough })
        #expect(engine.backlogBytes == 0)
        Self.close(engine, listener)
        #expect(listener.now.failures.isEmpty)
    }

    /// More batches than the ready segments hold, on a disk where no segment can be made any more.
    private static func commitsWithoutSegments(
        _ disk: SimulatedDisk, code: Int32, _ listener: Listener
    ) throws -> LogEngine {
        let (engine, _) = try LogEngine.open(disk: disk, settings: smallSettings())
        disk.hooks.withLock { hooks in
            hooks.fault = { operation in
                if operation.path != StorePath.segmentDraft { return nil }
                let seconds = engine.secondsWithoutRoom.load(ordering: .relaxed)
                listener.note { $0.secondsWithoutRoom = max($0.secondsWithoutRoom, seconds) }
                return code
            }
        }
        engine.start(listener)
        for number in 1...40 as ClosedRange<UInt64> {
            var builder = BatchBuilder()
            builder.create(UInt32(number), String(repeating: "a", count: 1000))
            engine.take(builder.batch(number))
        }
        return engine
    }

    @Test func closingOnAFullDiskComesToAnEndAndSaysSo() throws {
        let listener = Listener()
        let disk = SimulatedDisk()
        Self.close(try Self.commitsWithoutSegments(disk, code: ENOSPC, listener), listener)
        disk.hooks.withLock { $0.fault = nil }
        #expect(listener.now.failures.count == 1)
        #expect(listener.now.failures.first?.contains("no room") == true)
        #expect(listener.now.durable.last ?? 0 < 40)
    }

    /// Goal: commits do not wait for ever for a disk that fails; for want of room they do.
    @Test(arguments: [EIO, ENOSPC]) func commitsWaitForRoomButNotForABrokenDisk(code: Int32) throws {
        let listener = Listener()
        let disk = SimulatedDisk()
        let engine = try Self.commitsWithoutSegments(disk, code: code, listener)
        if code == EIO {
            #expect(listener.wait { !$0.failures.isEmpty })
            #expect(listener.now.failures.first?.contains("no segment could be made") == true)
            disk.hooks.withLock { $0.fault = nil }
        } else {
            #expect(listener.wait { $0.secondsWithoutRoom >= LogEngine.brokenSecondsMax + 2 })
            #expect(listener.now.failures.isEmpty)
            disk.hooks.withLock { $0.fault = nil }
            #expect(listener.wait { $0.durable.last == 40 })
        }
        Self.close(engine, listener)
    }

    @Test func requestsThatWaitAtTheEndAreAnswered() throws {
        let (engine, _) = try LogEngine.open(disk: SimulatedDisk(), settings: smallSettings())
        let listener = Listener()
        engine.start(listener)
        for from in 1...50 as ClosedRange<UInt64> {
            engine.read(PageRequest(queue: QueueID(rawValue: 1), from: from, maxCount: 1, maxBytes: 1)) { page in
                listener.note { $0.pages.append(page) }
            }
        }
        Self.close(engine, listener)
        #expect(listener.wait { $0.pages.count == 50 })
        #expect(listener.now.pages.allSatisfy { $0.messages.isEmpty && $0.resumeAt == $0.request.from })
    }
}
