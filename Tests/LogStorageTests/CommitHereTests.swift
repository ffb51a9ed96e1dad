import Base
import BrokerCore
import Glibc
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// Commits by the thread that appended: everything about them is as if the journal thread had done it.
struct CommitHereTests {
    /// An engine, and who counts its batches.
    private final class Rig {
        let engine: LogEngine
        let listener = Listener()
        private var number: UInt64 = 0
        /// What `commitHere` confirmed itself.
        var here: [UInt64] = []

        init(_ disk: SimulatedDisk, quick microseconds: Int = 1_000_000_000, segmentBytes: Int = 64 << 10) throws {
            var settings = smallSettings()
            settings.quickCommitMicroseconds = microseconds
            settings.segmentBytes = segmentBytes
            engine = try LogEngine.open(disk: disk, settings: settings).0
        }

        /// Appends a batch that creates a queue, and of more records if need be; returns its number.
        func append(_ name: String = "a", records: Int = 1) -> UInt64 {
            number += 1
            var builder = BatchBuilder()
            builder.create(UInt32(number), name)
            for sequence in 1..<UInt64(max(2, records)) where records > 1 {
                builder.append(UInt32(number), sequence, [1])
            }
            engine.append(builder.batch(number))
            return number
        }

        func commitHere() -> Bool { engine.commitHere { here.append($0) } }

        /// Has batches made durable until this thread was let do one: the journal thread may be about to mark, and gets more
        /// and more time to be done with that.
        func settleDown() -> Bool {
            for attempt in 0..<200 {
                usleep(UInt32(attempt) * 1_000)
                let number = append()
                if commitHere() { return true }
                if !listener.wait(for: { $0.durable.last == number }) { return false }
            }
            return false
        }

        func close() {
            engine.close { [listener] in listener.note { $0.isClosed = true } }
            #expect(listener.wait { $0.isClosed })
        }
    }

    @Test func whoAppendedMayCommitAndIsToldAtOnce() throws {
        let disk = SimulatedDisk()
        let rig = try Rig(disk)
        rig.engine.start(rig.listener)
        #expect(rig.settleDown())
        let confirmed = rig.here.last
        #expect(confirmed != nil && rig.listener.now.durable.last != confirmed)
        #expect(rig.engine.backlogBytes == 0)
        rig.close()
        #expect(rig.listener.now.failures.isEmpty)
        let (_, recovery) = try LogEngine.open(disk: disk, settings: smallSettings())
        #expect(UInt64(recovery.queues.count) == confirmed)
    }

    @Test func nothingIsDoneHereWhenThereIsNothing() throws {
        let rig = try Rig(SimulatedDisk())
        rig.engine.start(rig.listener)
        #expect(rig.settleDown())
        #expect(!rig.commitHere())
        rig.close()
    }

    @Test func theCallerDoesNotWaitForASlowDiskNorForMuch() throws {
        let slow = try Rig(SimulatedDisk(), quick: 0)
        slow.engine.start(slow.listener)
        for _ in 1...20 {
            let number = slow.append()
            #expect(!slow.commitHere())
            #expect(slow.listener.wait { $0.durable.last == number })
        }
        slow.close()
        let quick = try Rig(SimulatedDisk())
        quick.engine.start(quick.listener)
        #expect(quick.settleDown())
        for (bytes, records) in [(17 << 10, 1), (1, 9)] {
            let number = quick.append(String(repeating: "a", count: bytes), records: records)
            #expect(!quick.commitHere())
            #expect(quick.listener.wait { ($0.durable.last ?? 0) >= number || !$0.failures.isEmpty })
        }
        #expect(quick.listener.now.failures.isEmpty)
        quick.close()
    }

    @Test func theLogIsMarkedAsIdleAfterwards() throws {
        let disk = SimulatedDisk()
        let rig = try Rig(disk)
        rig.engine.start(rig.listener)
        #expect(rig.settleDown())
        let operations = Monitor<[SimulatedDisk.Kind]>([])
        disk.hooks.withLock { hooks in
            hooks.watch = { operation in
                guard operation.path.hasSuffix(".seg"), [.write, .sync].contains(operation.kind) else { return }
                operations.withLock { $0.append(operation.kind) }
                operations.ring()
            }
        }
        #expect(rig.settleDown())
        // Without a sync of its own.
        let seen = operations.wait(milliseconds: 30_000) { $0.suffix(3) == [.write, .sync, .write] ? true : nil }
        #expect(seen == true)
        disk.hooks.withLock { $0.watch = nil }
        // It sleeps by now, or will in a moment; the next marker comes all the same.
        #expect(rig.settleDown())
        rig.close()
    }

    /// Goal: a sync that fails here ends the broker as one on the journal thread does.
    @Test func aFailedSyncHereIsFinal() throws {
        let disk = SimulatedDisk()
        let rig = try Rig(disk)
        rig.engine.start(rig.listener)
        #expect(rig.settleDown())
        // Many tries have filled more than one file.
        let failed = Mutex<String?>(nil)
        let after = Atomic<Int>(0)
        disk.hooks.withLock { hooks in
            hooks.fault = { operation in
                guard operation.path.hasSuffix(".seg") else { return nil }
                return failed.withLock { failed -> Int32? in
                    if failed == operation.path { after.add(1, ordering: .relaxed) }
                    if failed != nil || operation.kind != .sync { return nil }
                    failed = operation.path
                    return EIO
                }
            }
        }
        let confirmed = rig.here
        let heard = rig.listener.now.durable
        _ = rig.append()
        #expect(!rig.commitHere())
        #expect(rig.listener.wait { !$0.failures.isEmpty })
        _ = rig.append()
        #expect(!rig.commitHere())
        rig.close()
        #expect(rig.listener.now.failures.count == 1)
        #expect(rig.here == confirmed && rig.listener.now.durable == heard)
        #expect(after.load(ordering: .relaxed) == 0)
    }

    /// Goal: the caller never waits for a segment, and what it could not commit comes first.
    @Test func withoutASegmentTheJournalThreadGoesOn() throws {
        let disk = SimulatedDisk()
        let rig = try Rig(disk, segmentBytes: smallSettings().segmentBytes)
        let isFull = Mutex(true)
        disk.hooks.withLock { hooks in
            hooks.fault = { operation in
                operation.path == StorePath.segmentDraft && isFull.withLock { $0 } ? ENOSPC : nil
            }
        }
        rig.engine.start(rig.listener)
        var last: UInt64 = 0
        for _ in 1...40 {
            last = rig.append(String(repeating: "a", count: 1000))
            _ = rig.commitHere()
        }
        #expect(rig.listener.wait { $0.rooms.contains { if case .short = $0 { true } else { false } } })
        #expect(rig.engine.backlogBytes > 1000)
        isFull.withLock { $0 = false }
        #expect(rig.listener.wait { $0.durable.last == last })
        #expect(rig.engine.backlogBytes == 0)
        rig.close()
        #expect(rig.listener.now.failures.isEmpty)
    }

    @Test func whatComesMeanwhileAndTheEndWaitForTheCaller() throws {
        let disk = SimulatedDisk()
        let rig = try Rig(disk)
        rig.engine.start(rig.listener)
        #expect(rig.settleDown())
        let isArmed = Mutex(true)
        let caller = pthread_self()
        var builder = BatchBuilder()
        builder.create(1_000_000, "late")
        let late = Batch(number: 1_000_000, records: builder.records, pieces: builder.batch(0).pieces, payloadBytes: 4)
        disk.hooks.withLock { hooks in
            hooks.watch = { [engine = rig.engine, listener = rig.listener] operation in
                guard operation.kind == .sync, pthread_equal(pthread_self(), caller) != 0 else { return }
                let isFirst = isArmed.withLock { armed in
                    defer { armed = false }
                    return armed
                }
                if !isFirst { return }
                engine.append(late)
                engine.commit()
                engine.close { listener.note { heard in heard.isClosed = heard.durable.last == late.number } }
            }
        }
        #expect(rig.settleDown())
        #expect(rig.listener.wait { $0.isClosed })
        #expect(rig.listener.now.failures.isEmpty)
    }

    /// Goal: however many threads commit in turn, what is durable rises by one story.
    @Test(arguments: 1...4) func manyThreadsTellOneStory(seed: UInt64) throws {
        let directory = try Directory()
        var settings = smallSettings()
        settings.quickCommitMicroseconds = 1_000_000_000
        settings.segmentBytes = 64 << 10
        settings.lowWatermark = 1
        settings.highWatermark = 1
        let (engine, _) = try LogEngine.open(directory: directory.path, settings: settings)
        let listener = Listener()
        engine.start(listener)
        let work = Mutex((workload: Workload(seed: seed), last: UInt64(0)))
        let running = Monitor(4)
        for thread in 0..<4 {
            let hasStarted = OwnThread.run("sender") {
                for round in 0..<200 {
                    work.withLock { work in
                        let batch = work.workload.next()
                        work.last = batch.number
                        engine.append(batch)
                    }
                    if (round + thread) % 3 == 0 {
                        engine.commit()
                    } else {
                        _ = engine.commitHere { number in listener.note { $0.durable.append(number) } }
                    }
                }
                running.withLock { $0 -= 1 }
                running.ring()
            }
            #expect(hasStarted)
        }
        #expect(running.wait(milliseconds: 60_000) { $0 == 0 ? true : nil } == true)
        let last = work.withLock { $0.last }
        #expect(listener.wait { $0.durable.last == last })
        let durable = listener.now.durable
        #expect(durable == durable.sorted() && Set(durable).count == durable.count)
        engine.close { listener.note { $0.isClosed = true } }
        #expect(listener.wait { $0.isClosed })
        #expect(listener.now.failures.isEmpty)
        let (_, recovery) = try LogEngine.open(directory: directory.path, settings: settings)
        #expect(work.withLock { recovery.difference(from: $0.workload.model) } == nil)
    }
}
