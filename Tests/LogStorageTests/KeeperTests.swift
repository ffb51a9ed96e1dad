import BrokerCore
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// What the keeper does between commits.
struct KeeperTests {
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
        let store = try Opening.open(disk, settings).store
        var first = BatchBuilder()
        first.create(1, "a")
        #expect(try store.commit([first.batch(1)], from: 0) == 1)
        for number in 1...800 as ClosedRange<UInt64> {
            var builder = BatchBuilder()
            if number > 1 { builder.settle(1, number - 1, bytes: 1000) }
            builder.append(1, number, [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 1000))
            let batch = builder.batch(number + 1)
            while try store.commit([batch], from: 0) == 0 { _ = try store.keep() }
            _ = try store.keep()
        }
        #expect(begun.withLock { $0 } <= 3)
        #expect(store.statistics.journalSegments <= 3)
        let (again, recovery) = try Opening.open(SimulatedDisk(disk.copy()), settings)
        #expect(recovery.queues.map(\.head) == [800] && recovery.queues.map(\.messages) == [1])
        _ = again
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
