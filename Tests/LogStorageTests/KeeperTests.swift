import Base
import BrokerCore
import Glibc
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// What the keeper does between commits.
struct KeeperTests {
    /// With a queue.
    private func opened(_ disk: SimulatedDisk, _ settings: LogSettings) throws -> Store {
        let store = try Opening.open(disk, settings).store
        var first = BatchBuilder()
        first.create(1, "a")
        #expect(try store.commit([first.batch(1)], from: 0) == 1)
        return store
    }

    /// Commits a batch: what `settle` puts into it, and a message of 1000 bytes. The keeper makes rounds until there is room for it,
    /// and one behind it; `look` is shown each.
    private func send(
        _ number: UInt64, to store: Store, isBusy: Bool = false, settle: (inout BatchBuilder) -> Void = { _ in },
        look: (Keeper.Round) -> Void = { _ in }
    ) throws {
        var builder = BatchBuilder()
        settle(&builder)
        builder.append(1, number, [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 1000))
        let batch = builder.batch(number + 1)
        while try store.commit([batch], from: 0) == 0 { look(try store.keep(isBusy: isBusy)) }
        look(try store.keep(isBusy: isBusy))
    }

    /// Goal: while messages are taken as fast as they come, no more zeros are written than two segments hold. Method:
    /// messages for fifty segments, each acknowledged in the batch behind its own, with a round of the keeper behind
    /// each batch; it is counted how often a file is begun.
    @Test func aSegmentWithoutMessagesIsUsedAgain() throws {
        var settings = smallSettings()
        settings.journalSegments = 6
        settings.journalSegmentsMax = 8
        let disk = SimulatedDisk()
        let begun = Mutex(0)
        disk.hooks.withLock { hooks in
            hooks.watch = { operation in
                if operation.kind == .create, operation.path == StorePath.segmentDraft { begun.withLock { $0 += 1 } }
            }
        }
        let store = try opened(disk, settings)
        for number in 1...800 as ClosedRange<UInt64> {
            try send(number, to: store) {
                if number > 1 { $0.settle(1, number - 1, bytes: 1000) }
            }
        }
        #expect(begun.withLock { $0 } <= 3)
        #expect(store.statistics.journalSegments <= 3)
        let (again, recovery) = try Opening.open(SimulatedDisk(disk.copy()), settings)
        #expect(recovery.queues.map(\.head) == [800] && recovery.queues.map(\.messages) == [1])
        _ = again
    }

    /// Goal: while commits have the disk busy, nothing is moved out of the journal before it has grown by two thirds of
    /// what it may; afterwards it is short again, and the files are kept for the next time, until the disk is short.
    /// Method: messages that nobody takes, with busy rounds behind each, then calm ones, then a disk with little room; what
    /// is on disk is looked at, and that nobody is refused for want of room that spares can make.
    @Test func retiringWaitsWhileCommitsHaveTheDiskBusy() throws {
        var settings = smallSettings()
        settings.journalSegments = 2
        settings.journalSegmentsMax = 8
        let disk = SimulatedDisk()
        let store = try opened(disk, settings)
        var most = 0
        for number in 1...300 as ClosedRange<UInt64> {
            try send(number, to: store, isBusy: true)
            most = max(most, store.statistics.journalSegments)
            if most < 6 { #expect(store.statistics.queueFiles == 0) }
        }
        #expect(most == 6)
        while try store.keep().isBehind {}
        #expect(store.statistics.journalSegments == 2)
        func files(_ disk: SimulatedDisk) -> Int {
            disk.paths.count { $0.hasSuffix(".seg") || $0.hasSuffix(".spare") }
        }
        #expect(files(disk) == 6 + 2)
        let copy = SimulatedDisk(disk.copy())
        let again = try Opening.open(copy, settings).store
        _ = try again.keep()
        #expect(files(copy) == 6 + 2)
        // Little room, but with that of the spares it is enough.
        disk.free.withLock { $0 = settings.lowWatermark / 2 }
        disk.hooks.withLock { hooks in
            hooks.watch = { [low = settings.lowWatermark] operation in
                if operation.kind == .remove { disk.free.withLock { $0 = low } }
            }
        }
        #expect(try store.keep().room == nil)
        #expect(files(disk) <= settings.journalSegments + 2)
        let recovery = try Opening.open(SimulatedDisk(disk.copy()), settings).recovery
        #expect(recovery.queues.map(\.messages) == [300])
    }

    /// Goal: a write that finds no room costs the spares of a burst before anybody is told of it. Method: a disk with spares
    /// whose queue files cannot grow until one of these is removed.
    @Test func sparesAreGivenUpBeforeAnybodyIsTold() throws {
        var settings = smallSettings()
        settings.journalSegments = 2
        settings.journalSegmentsMax = 8
        let disk = SimulatedDisk()
        let store = try opened(disk, settings)
        for number in 1...300 as ClosedRange<UInt64> {
            try send(number, to: store, isBusy: true, look: { #expect($0.room == nil) })
        }
        while try store.keep().isBehind {}
        let isFull = Mutex(true)
        disk.hooks.withLock { hooks in
            hooks.watch = { if $0.kind == .remove, $0.path.hasSuffix(".spare") { isFull.withLock { $0 = false } } }
            hooks.fault = { $0.kind == .write && $0.path.hasPrefix("queues") && isFull.withLock { $0 } ? ENOSPC : nil }
        }
        var number: UInt64 = 301
        while isFull.withLock({ $0 }) {
            try send(number, to: store, look: { #expect($0.room == nil) })
            number += 1
            try #require(number < 400)
        }
        while try store.keep().isBehind {}
        #expect(store.statistics.journalSegments == 2)
    }

    /// Goal: messages that are taken as they come leave the journal short, also when there are spares of a burst. Method:
    /// a burst, calm, then busy rounds in which each message is acknowledged by the next batch.
    @Test func aFlowThatIsConsumedDoesNotGrowIntoTheSparesOfABurst() throws {
        var settings = smallSettings()
        settings.journalSegments = 2
        settings.journalSegmentsMax = 8
        let disk = SimulatedDisk()
        let store = try opened(disk, settings)
        var most = 0
        for number in 1...600 as ClosedRange<UInt64> {
            try send(number, to: store, isBusy: true) { builder in
                if 301...306 ~= number {
                    let first = (number - 301) * 50 + 1
                    for old in first...first + 49 { builder.settle(1, old, bytes: 1000) }
                }
                if number > 301 { builder.settle(1, number - 1, bytes: 1000) }
            }
            if number == 300 { while try store.keep().isBehind {} }
            if number > 400 { most = max(most, store.statistics.journalSegments) }
        }
        #expect(most <= settings.journalSegments + 2)
    }

    /// Goal: in calm times too a segment that was given up is used again. Method: messages that nobody takes, with calm
    /// rounds; it is counted how often a file is begun.
    @Test func aSegmentThatWasMovedOutOfIsUsedAgain() throws {
        let disk = SimulatedDisk()
        let begun = Mutex(0)
        disk.hooks.withLock { hooks in
            hooks.watch = { operation in
                if operation.kind == .create, operation.path == StorePath.segmentDraft { begun.withLock { $0 += 1 } }
            }
        }
        let settings = smallSettings()
        let store = try opened(disk, settings)
        for number in 1...400 as ClosedRange<UInt64> {
            try send(number, to: store)
        }
        #expect(begun.withLock { $0 } <= settings.journalSegments + 2)
    }

    /// Goal: a short disk is not kept short by patience, nor is memory used up by it. Method: busy rounds, with the free
    /// space below the low watermark.
    @Test func retiringDoesNotWaitWhereTheDiskIsShort() throws {
        var settings = smallSettings()
        settings.journalSegments = 2
        settings.journalSegmentsMax = 8
        let disk = SimulatedDisk()
        disk.free.withLock { $0 = settings.lowWatermark / 2 }
        let store = try opened(disk, settings)
        for number in 1...100 as ClosedRange<UInt64> {
            try send(number, to: store, isBusy: true)
            #expect(store.statistics.journalSegments <= 3)
        }
    }

    /// Goal: a new store does not write a segment before it is ready. Method: the sizes of what is written to files on
    /// their way to be a segment are those of a header.
    @Test func aNewSegmentIsNotWrittenFull() throws {
        let disk = SimulatedDisk()
        let writes = Mutex(0)
        disk.hooks.withLock { hooks in
            hooks.watch = { operation in
                if operation.kind == .write, operation.path == StorePath.segmentDraft { writes.withLock { $0 += 1 } }
            }
        }
        var settings = smallSettings()
        settings.segmentBytes = 8 << 20
        let store = try Opening.open(disk, settings).store
        // Taking the room, and the header.
        #expect(writes.withLock { $0 } == 2)
        #expect(disk.bytes(StorePath.segment(1))?.count == settings.segmentBytes)
        _ = store
    }

    /// Goal: the rate of commits is that since the last look that was long enough ago.
    @Test func aLoadIsHighFrom64MiBASecondOn() {
        var load = CommitLoad(now: Instant(nanoseconds: 0))
        func look(_ mebibytes: UInt64, atMilliseconds time: UInt64) -> Bool {
            load.note(written: mebibytes << 20, now: Instant(nanoseconds: time * 1_000_000))
            return load.isHigh
        }
        #expect(look(64, atMilliseconds: 1000))
        #expect(look(64, atMilliseconds: 1001))
        #expect(!look(127, atMilliseconds: 2000))
        #expect(look(134, atMilliseconds: 2100))
        #expect(!look(134, atMilliseconds: 9000))
    }

    /// Goal: after `segmentBytes` was raised, a batch that only the new size holds waits for the next segment.
    @Test func aBatchLargerThanTheSegmentsOfBeforeGoesIntoTheNextOne() throws {
        let disk = SimulatedDisk()
        var first = BatchBuilder()
        first.create(1, "a")
        let before = try Opening.open(disk, smallSettings()).store
        #expect(try before.commit([first.batch(1)], from: 0) == 1)
        before.release()
        var settings = smallSettings()
        settings.segmentBytes *= 4
        let store = try Opening.open(disk, settings).store
        var large = BatchBuilder()
        large.append(1, 1, [UInt8](repeating: 7, count: 2 * smallSettings().segmentBytes))
        let batch = large.batch(1)
        var rounds = 0
        while try store.commit([batch], from: 0) == 0, rounds < 10 {
            _ = try store.keep()
            rounds += 1
        }
        #expect(rounds < 10)
        let recovery = try Opening.open(SimulatedDisk(disk.copy()), settings).recovery
        #expect(recovery.queues.map(\.messages) == [1])
    }
}
