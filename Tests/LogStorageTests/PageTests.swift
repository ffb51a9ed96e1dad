import Base
import BrokerCore
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// Reading: from files and journal, with limits and holes.
struct PageTests {
    /// A queue of which some messages are in files, some in the journal, and some are settled.
    private static func store(messages: UInt64, size: Int = 300) throws -> Store {
        let store = try Opening.open(SimulatedDisk(), smallSettings()).store
        var builder = BatchBuilder()
        builder.create(1, "a")
        #expect(try store.commit([builder.batch(1)], from: 0) == 1)
        for sequence in 1...messages {
            var builder = BatchBuilder()
            builder.append(1, sequence, [UInt8](repeating: UInt8(truncatingIfNeeded: sequence), count: size))
            if sequence % 3 == 0 { builder.settle(1, sequence, bytes: size) }
            while try store.commit([builder.batch(sequence + 1)], from: 0) == 0 { _ = try store.keep() }
            _ = try store.keep()
        }
        return store
    }

    private static func request(from: UInt64, count: Int = 1000, bytes: Int = 1 << 20) -> PageRequest {
        PageRequest(queue: QueueID(rawValue: 1), from: from, maxCount: count, maxBytes: bytes)
    }

    @Test func onePageSpansFilesAndJournal() throws {
        let store = try Self.store(messages: 400)
        #expect(store.statistics.queueFiles > 2)
        let page = store.page(Self.request(from: 1))
        #expect(page.messages.map(\.sequence) == (1...400).filter { $0 % 3 != 0 })
        #expect(page.resumeAt == 401)
        #expect(
            page.messages.allSatisfy { message in
                message.content.count == 300
                    && message.content.bytes.allSatisfy { $0 == UInt8(truncatingIfNeeded: message.sequence) }
            })
    }

    /// Goal: what one page read ahead is not taken for what lies at the same offset of another segment.
    @Test func aPageEndedByItsBytesLeavesNothingBehind() throws {
        let store = try Self.store(messages: 250)
        for first in stride(from: UInt64(1), to: 250, by: 7) {
            for second in stride(from: UInt64(1), to: 250, by: 11) {
                for start in [first, second] {
                    let page = store.page(Self.request(from: start, bytes: 700))
                    #expect(page.failure == nil, "\(start) after \(first)")
                    let areWhole = page.messages.allSatisfy { message in
                        message.content.bytes.allSatisfy { $0 == UInt8(truncatingIfNeeded: message.sequence) }
                    }
                    #expect(areWhole)
                }
            }
        }
    }

    /// Goal: from wherever a page starts and wherever it ends, the next goes on right there.
    @Test(arguments: [1, 2, 7, 100]) func pagesFollowEachOtherWithoutGapOrOverlap(count: Int) throws {
        let store = try Self.store(messages: 250)
        for start in [1, 2, 3, 99, 150, 249, 250] as [UInt64] {
            var from = start
            var read: [UInt64] = []
            while true {
                let page = store.page(Self.request(from: from, count: count, bytes: 5000))
                #expect(page.messages.count <= count)
                #expect(page.messages.count == 1 || page.messages.reduce(0) { $0 + Int($1.content.count) } <= 5000)
                #expect(page.messages.allSatisfy { $0.sequence >= from && $0.sequence < page.resumeAt })
                read += page.messages.map(\.sequence)
                if page.resumeAt == from { break }
                from = page.resumeAt
            }
            #expect(read == (start...250).filter { $0 % 3 != 0 })
            #expect(from == 251)
        }
    }

    @Test func aMessageLargerThanThePageComesAlone() throws {
        let store = try Self.store(messages: 100, size: 900)
        let page = store.page(Self.request(from: 2, bytes: 10))
        #expect(page.messages.map(\.sequence) == [2])
        #expect(page.resumeAt == 3)
    }

    @Test func beyondTheEndThereIsNothingYet() throws {
        let store = try Self.store(messages: 10)
        for from in [11, 12, UInt64.max] {
            let page = store.page(Self.request(from: from))
            #expect(page.messages.isEmpty && page.resumeAt == from && page.failure == nil)
        }
        // Only settled ones lie there: the next page starts behind them.
        var builder = BatchBuilder()
        builder.settle(1, 9, count: 2, bytes: 300)
        #expect(try store.commit([builder.batch(99)], from: 0) == 1)
        #expect(store.page(Self.request(from: 9)).resumeAt == 11)
        let unknown = store.page(PageRequest(queue: QueueID(rawValue: 5), from: 3, maxCount: 1, maxBytes: 1))
        #expect(unknown.messages.isEmpty && unknown.resumeAt == 3 && unknown.failure == nil)
    }

    @Test func aQueueFileThatSomebodyRemovedIsNamed() throws {
        let store = try Self.store(messages: 300)
        let disk = try #require(store.disk as? SimulatedDisk)
        for path in disk.paths where path.hasSuffix(".log") { disk.drop(path) }
        let page = store.page(Self.request(from: 3))
        #expect(page.messages.isEmpty && page.resumeAt == 4)
        #expect(page.failure == "queues/1/00000000000000000001.log is missing")
    }

    /// Goal: what the keeper does while a page is read does not show. Method: let it work before each
    /// disk operation of the reader.
    @Test func aPageIsRightWhileTheKeeperMovesItsMessages() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        var builder = BatchBuilder()
        builder.create(1, "a")
        #expect(try store.commit([builder.batch(1)], from: 0) == 1)
        let next = Mutex<UInt64>(1)
        let isBusy = Mutex(false)
        let work: @Sendable () throws -> Void = {
            for _ in 0..<4 {
                var builder = BatchBuilder()
                let sequence = next.withLock { next -> UInt64 in
                    defer { next += 1 }
                    return next
                }
                builder.append(1, sequence, [UInt8](repeating: UInt8(truncatingIfNeeded: sequence), count: 700))
                if sequence > 30, sequence % 2 == 0 { builder.settle(1, sequence - 30, bytes: 700) }
                while try store.commit([builder.batch(sequence + 1)], from: 0) == 0 { _ = try store.keep() }
            }
            _ = try store.keep()
        }
        for _ in 0..<20 { try work() }
        let failure = Mutex<String?>(nil)
        disk.hooks.withLock { hooks in
            hooks.watch = { operation in
                let isOurs = isBusy.withLock { isBusy -> Bool in
                    defer { isBusy = true }
                    return !isBusy
                }
                if !isOurs { return }
                do { try work() } catch { failure.withLock { $0 = "\(error)" } }
                isBusy.withLock { $0 = false }
            }
        }
        for _ in 0..<5 {
            var from: UInt64 = 1
            var last: UInt64 = 0
            for _ in 0..<60 {
                let page = store.page(Self.request(from: from, count: 9, bytes: 5000))
                #expect(page.failure == nil)
                for message in page.messages {
                    #expect(message.sequence > last)
                    #expect(message.content.bytes.allSatisfy { $0 == UInt8(truncatingIfNeeded: message.sequence) })
                    last = message.sequence
                }
                if page.resumeAt == from || page.failure != nil { break }
                from = page.resumeAt
            }
        }
        #expect(failure.withLock { $0 } == nil)
        disk.hooks.withLock { $0.watch = nil }
    }
}
