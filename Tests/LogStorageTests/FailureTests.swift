import Base
import BrokerCore
import Glibc
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// What a disk that fails or is full leads to.
struct FailureTests {
    /// A number that closures share.
    final class Count: Sendable {
        private let value = Atomic<Int>(0)
        func up() -> Int { value.add(1, ordering: .sequentiallyConsistent).newValue }
        var now: Int { value.load(ordering: .sequentiallyConsistent) }
    }

    private static func isJournal(_ operation: SimulatedDisk.Operation) -> Bool { operation.path.hasSuffix(".seg") }

    /// Work until all is committed, or the store has failed; then what the disk holds must be right.
    private static func run(
        seed: UInt64, steps: Int, _ fault: @escaping @Sendable (SimulatedDisk.Operation) -> Int32?
    ) throws -> (disk: SimulatedDisk, models: [Model], confirmed: Int, failure: String?, rooms: [StorageRoom]) {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        disk.hooks.withLock { $0.fault = fault }
        var workload = Workload(seed: seed)
        workload.keepsMore = true
        var models = [workload.model]
        var rooms: [StorageRoom] = []
        var confirmed = 0
        do {
            for _ in 0..<steps {
                let batch = workload.next()
                models.append(workload.model)
                var waits = 0
                while try store.commit([batch], from: 0) == 0, waits < 20 {
                    waits += 1
                    if let room = try store.keep().room { rooms.append(room) }
                }
                if waits == 20 { throw StorageFailure("no segment comes") }
                confirmed += 1
                if confirmed % 4 == 0, let room = try store.keep().room { rooms.append(room) }
                if confirmed % 7 == 0 { try store.mark() }
            }
            disk.hooks.withLock { $0.fault = nil }
            if let room = try store.keep().room { rooms.append(room) }
            store.release()
            return (disk, models, confirmed, nil, rooms)
        } catch let failure as StorageFailure {
            disk.hooks.withLock { $0.fault = nil }
            store.release()
            return (disk, models, confirmed, failure.description, rooms)
        }
    }

    private static func check(_ disk: SimulatedDisk, _ models: [Model], confirmed: Int, _ about: String) throws {
        var dice = SplitMix64(seed: UInt64(confirmed))
        for keep in [0, 2] {
            let after = DamageTests.open(SimulatedDisk(disk.copy().afterPowerCut(keep, &dice)))
            #expect(after.refusal == nil, "\(about)")
            let isPrefix = models[confirmed...].contains { $0 == after.model }
            #expect(isPrefix, "\(about), keep \(keep)")
        }
    }

    /// Goal: a failed write or sync of the journal is the end: nothing is confirmed afterwards, and what
    /// was confirmed is there at the next start. Method: fail each of them in turn.
    @Test func aFailedJournalWriteOrSyncIsFinal() throws {
        for kind in [SimulatedDisk.Kind.write, .sync] {
            for n in stride(from: 1, through: 60, by: 3) {
                let count = Count()
                let after = try Self.run(seed: 4, steps: 80) { operation in
                    operation.kind == kind && Self.isJournal(operation) && count.up() == n ? EIO : nil
                }
                let failure = try #require(after.failure, "\(kind) \(n)")
                #expect(failure.contains("the journal cannot be written") && failure.contains(".seg"))
                try Self.check(after.disk, after.models, confirmed: after.confirmed, "\(kind) \(n)")
            }
        }
    }

    /// Goal: the disk may be full at any other operation; commits go on, and later all is well again.
    @Test func aFullDiskAtAnyOtherOperationIsNotTheEnd() throws {
        let probe = Count()
        _ = try Self.run(seed: 4, steps: 60) { operation in
            if !Self.isJournal(operation), [.write, .create, .makeDirectory, .rename].contains(operation.kind) {
                _ = probe.up()
            }
            return nil
        }
        #expect(probe.now > 20)
        for n in 1...probe.now {
            let length = n % 2 == 0 ? 1 : 6
            let count = Count()
            let after = try Self.run(seed: 4, steps: 60) { operation in
                guard !Self.isJournal(operation), [.write, .create, .makeDirectory, .rename].contains(operation.kind)
                else { return nil }
                let now = count.up()
                return now >= n && now < n + length ? ENOSPC : nil
            }
            #expect(after.failure == nil, "operation \(n), \(length) times")
            #expect(after.confirmed == 60)
            #expect(after.rooms.last ?? .enough == .enough)
            try Self.check(after.disk, after.models, confirmed: 60, "full at \(n)")
        }
    }

    /// Goal: a disk without room for one more file is a full disk like any other. Method: a checkpoint cannot
    /// even be begun; that there is then no draft to remove must not hide why.
    @Test func aCheckpointThatCannotEvenBeBegunIsWhatTheReserveIsFor() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        _ = try store.keep()
        #expect(disk.bytes(StorePath.reserve) != nil)
        let isDraft: @Sendable (SimulatedDisk.Operation) -> Bool = { operation in
            operation.kind == .create && operation.path == StorePath.checkpointDraft
        }
        let count = Count()
        disk.hooks.withLock { $0.fault = { isDraft($0) && count.up() == 1 ? ENOSPC : nil } }
        try store.keeper.withLock { (keeper) throws(DiskError) in try keeper.checkpoint(store) }
        #expect(count.now > 1, "it was not tried again")
        #expect(disk.bytes(StorePath.reserve) == nil)
        disk.hooks.withLock { $0.fault = { isDraft($0) ? ENOSPC : nil } }
        let error = #expect(throws: DiskError.self) {
            try store.keeper.withLock { (keeper) throws(DiskError) in try keeper.checkpoint(store) }
        }
        #expect(error?.isFull == true, "\(String(describing: error))")
        store.release()
    }

    /// Goal: an error of the keeper's work loses nothing, is said, and is got over.
    @Test func anErrorAtAnyOperationOfTheKeeperIsGotOver() throws {
        let isKeepers: @Sendable (SimulatedDisk.Operation) -> Bool = { operation in
            !(Self.isJournal(operation) && [.write, .sync].contains(operation.kind))
        }
        let probe = Count()
        _ = try Self.run(seed: 6, steps: 60) { operation in
            if isKeepers(operation) { _ = probe.up() }
            return nil
        }
        for n in 1...probe.now {
            let count = Count()
            let after = try Self.run(seed: 6, steps: 60) { operation in
                isKeepers(operation) && count.up() == n ? EIO : nil
            }
            #expect(after.failure == nil, "operation \(n)")
            #expect(after.rooms.last ?? .enough == .enough, "error at \(n)")
            try Self.check(after.disk, after.models, confirmed: 60, "error at \(n)")
        }
    }

    /// Goal: with a really full disk acknowledgements go on, and consuming makes room again.
    @Test func onAFullDiskAcknowledgementsGoOn() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        var builder = BatchBuilder()
        builder.create(1, "a")
        var batches = [builder.batch(1)]
        for sequence in 1...200 as ClosedRange<UInt64> {
            var builder = BatchBuilder()
            builder.append(1, sequence, [UInt8](repeating: 1, count: 250))
            batches.append(builder.batch(sequence + 1))
        }
        for batch in batches {
            while try store.commit([batch], from: 0) == 0 { _ = try store.keep() }
            _ = try store.keep()
        }
        // Nothing more goes onto the disk.
        disk.image.withLock { $0.capacity = $0.used }
        for sequence in 1...200 as ClosedRange<UInt64> {
            var builder = BatchBuilder()
            builder.settle(1, sequence, bytes: 250)
            #expect(try store.commit([builder.batch(300 + sequence)], from: 0) == 1, "message \(sequence)")
            _ = try store.keep()
        }
        #expect(try store.contents().queues[1]?.live.isEmpty == true)
        #expect(store.statistics.queueFiles == 0)
        store.release()
        #expect(DamageTests.open(disk).model?.queues[1]?.next == 201)
    }

    @Test func roomIsSaidToBeShortOnceAndEnoughOnce() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        #expect(try store.keep().room == nil)
        disk.free.withLock { $0 = 1 << 19 }
        let room = try store.keep().room
        guard case .short(let sentence)? = room else {
            Issue.record("\(String(describing: room))")
            return
        }
        #expect(sentence.contains("524288 bytes are free"))
        disk.free.withLock { $0 = 1 << 18 }
        #expect(try store.keep().room == nil)
        // Between the watermarks it stays short.
        disk.free.withLock { $0 = (1 << 20) + 1 }
        #expect(try store.keep().room == nil)
        disk.free.withLock { $0 = 1 << 21 }
        #expect(try store.keep().room == .enough)
        #expect(store.statistics.freeBytes == 1 << 21)
    }

    @Test func aBatchThatIsTooLargeForASegmentIsRefusedWithASentence() throws {
        let store = try Opening.open(SimulatedDisk(), smallSettings()).store
        var builder = BatchBuilder()
        builder.create(1, "a")
        builder.append(1, 1, [UInt8](repeating: 1, count: 16 << 10))
        #expect(throws: StorageFailure.self) { _ = try store.commit([builder.batch(1)], from: 0) }
    }

    /// Goal: what replay would not accept is never written.
    @Test func recordsThatDoNotFollowAreStoppedAtTheDoor() throws {
        let wrong: [(inout BatchBuilder) -> Void] = [
            { $0.append(1, 2, [1]) }, { $0.append(1, 0, [1]) }, { $0.append(9, 1, [1]) }, { $0.create(1, "again") },
            { $0.append(.max, 1, [1]) }, { $0.append(1, 1, [1], headerBytes: 2) },
            {
                $0.delete(1)
                $0.append(1, 1, [1])
            },
        ]
        for spoil in wrong {
            let disk = SimulatedDisk()
            let store = try Opening.open(disk, smallSettings()).store
            var first = BatchBuilder()
            first.create(1, "a")
            #expect(try store.commit([first.batch(1)], from: 0) == 1)
            var second = BatchBuilder()
            spoil(&second)
            #expect(throws: StorageFailure.self) { _ = try store.commit([second.batch(2)], from: 0) }
            store.release()
            #expect(DamageTests.open(disk).model?.queues[1]?.next == 1)
        }
    }

    @Test func settlingTwiceOrOfWhatIsGoneChangesNothing() throws {
        let store = try Opening.open(SimulatedDisk(), smallSettings()).store
        var builder = BatchBuilder()
        builder.create(1, "a")
        for sequence in 1...5 as ClosedRange<UInt64> { builder.append(1, sequence, [1, 2, 3]) }
        builder.settle(1, 2, bytes: 3)
        builder.settle(1, 2, bytes: 3)
        builder.settle(7, 1, bytes: 3)
        builder.settle(1, 900, count: .max, bytes: 3)
        builder.attempt(1, 2, Attempt(count: 4))
        builder.attempt(1, 3, Attempt(count: 4))
        #expect(try store.commit([builder.batch(1)], from: 0) == 1)
        let queue = try #require(store.state.withLock { $0.ledger.queue(1) })
        #expect(queue.live == 4 && queue.liveBytes == 12 && queue.next == 6 && queue.head == 1)
        #expect(queue.attempts == [3: Attempt(count: 4)])
    }

    @Test func settingsOutOfRangeAreNamed() {
        let wrong: [(String, (inout LogSettings) -> Void)] = [
            ("segmentBytes", { $0.segmentBytes = 100 }), ("segmentBytes", { $0.segmentBytes = (1 << 20) + 1 }),
            ("segmentBytes", { $0.segmentBytes = .max }), ("journalSegments", { $0.journalSegments = 0 }),
            ("journalSegmentsMax", { $0.journalSegmentsMax = 61 }), ("queueFileBytes", { $0.queueFileBytes = -1 }),
            ("highWatermark", { $0.highWatermark = 1 }), ("reserveBytes", { $0.reserveBytes = -1 }),
        ]
        for (name, change) in wrong {
            var settings = LogSettings()
            change(&settings)
            do throws(StorageFailure) {
                try settings.validate()
                Issue.record("\(name) was taken")
            } catch {
                #expect(error.description.contains(name))
            }
        }
    }

    /// A store with queue files of two queues, of which the first is all settled by the last batch, and a journal
    /// that is to be given up.
    private static func storeBeforeItIsFull(_ settings: LogSettings) throws -> (SimulatedDisk, Store) {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, settings).store
        var number: UInt64 = 0
        func commit(_ change: (inout BatchBuilder) -> Void) throws {
            var builder = BatchBuilder()
            change(&builder)
            number += 1
            while try store.commit([builder.batch(number)], from: 0) == 0 { _ = try store.keep() }
        }
        try commit {
            $0.create(1, "a")
            $0.create(2, "b")
        }
        let count: UInt64 = 60
        for sequence in 1...count {
            try commit {
                $0.append(1, sequence, [UInt8](repeating: 1, count: 700))
                $0.append(2, sequence, [UInt8](repeating: 2, count: 700))
            }
            _ = try store.keep()
        }
        #expect(disk.paths.contains { $0.hasPrefix("queues/1/") })
        try commit { $0.settle(1, 1, count: UInt32(count), bytes: 700 * Int(count)) }
        return (disk, store)
    }

    /// Goal: on a full disk what was consumed is given back, though nothing can be retired.
    @Test(arguments: [true, false]) func aFullDiskGivesBackWhatWasConsumed(isAfterRestart: Bool) throws {
        var settings = smallSettings()
        // The oldest segments hold messages of queue 2, and are to move.
        settings.journalSegments = 1
        var (disk, store) = try Self.storeBeforeItIsFull(settings)
        if isAfterRestart {
            store.release()
            store = try Opening.open(disk, settings).store
        }
        #expect(disk.paths.contains(StorePath.reserve))
        disk.image.withLock { $0.capacity = $0.used }
        disk.hooks.withLock { $0.fault = { $0.kind == .create && $0.path.hasPrefix("queues/") ? ENOSPC : nil } }
        for _ in 0..<4 { _ = try store.keep() }
        #expect(!disk.paths.contains { $0.hasPrefix("queues/1/") && $0.hasSuffix(".log") })
        #expect(disk.paths.contains { $0.hasPrefix("queues/2/") })
        store.release()
    }
}
