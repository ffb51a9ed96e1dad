import Base
import BrokerCore
import CSystem
import Simulation
import Storage
import Testing

@testable import LogStorage

struct LedgerTests {
    /// Goal: the set is what a plain set of numbers is. Method: random ranges into both.
    @Test(arguments: 1...6) func settledSetsAgreeWithAPlainSet(seed: UInt64) {
        var dice = SplitMix64(seed: seed)
        var settled = SettledSet()
        var plain: Set<UInt64> = []
        let limit = seed % 2 == 0 ? 300 : 20_000
        for _ in 0..<400 {
            let low = UInt64(dice.roll(1..<limit))
            let high = min(UInt64(limit), low + UInt64(dice.oneIn(5) ? dice.roll(1..<9000) : dice.roll(1..<20)))
            let before = plain.count
            for sequence in low..<high { plain.insert(sequence) }
            #expect(settled.insert(low, high) == UInt64(plain.count - before))
            var head: UInt64 = 1
            while plain.contains(head) { head += 1 }
            #expect(settled.head == head)
            #expect(settled.countAbove == UInt64(plain.count) - (head - 1))
            for _ in 0..<20 {
                let at = UInt64(dice.roll(1..<limit + 50))
                #expect(settled.contains(at) == plain.contains(at))
                var live = at
                while plain.contains(live) { live += 1 }
                #expect(settled.firstLive(from: at) == live)
            }
        }
        var copy = SettledSet(head: settled.head)
        settled.forEachPage { copy.insertPage($0, words: $1, limit: UInt64(limit)) }
        #expect(copy == settled)
    }

    @Test func settlingInOrderKeepsNoMemory() {
        var settled = SettledSet()
        for sequence in 1...100_000 as ClosedRange<UInt64> { _ = settled.insert(sequence, sequence + 1) }
        #expect(settled.memory == 0)
        _ = settled.insert(200_001, 10_000_001)
        #expect(settled.memory < 400_000)
        _ = settled.insert(100_001, 200_001)
        #expect(settled.head == 10_000_001 && settled.memory < 1000)
        settled.release()
        #expect(settled.memory == 0)
    }

    /// Goal: the page that is kept while nothing is above the head says what was done since. Method: ranges right above
    /// the head, as consumers make them that take turns, over many pages, and sometimes a long one in order.
    @Test(arguments: 1...4) func consumersThatTakeTurnsAgreeWithAPlainSet(seed: UInt64) {
        var dice = SplitMix64(seed: seed)
        var settled = SettledSet()
        var plain: Set<UInt64> = []
        var head: UInt64 = 1
        for _ in 0..<4000 {
            let low = head + UInt64(dice.roll(0..<(dice.oneIn(3) ? 40 : 2)))
            let high = low + UInt64(dice.oneIn(50) ? dice.roll(1..<3000) : dice.roll(1..<12))
            let before = plain.count
            for sequence in low..<high { plain.insert(sequence) }
            while plain.contains(head) { head += 1 }
            #expect(settled.insert(low, high) == UInt64(plain.count - before))
            #expect(settled.head == head && settled.countAbove == UInt64(plain.count) - (head - 1))
            for at in (head > 3 ? head - 3 : 1)..<head + 45 { #expect(settled.contains(at) == plain.contains(at)) }
            if dice.oneIn(100) { settled.release() }
            if dice.oneIn(100) {
                var copy = SettledSet(head: settled.head)
                settled.forEachPage { copy.insertPage($0, words: $1, limit: head + 10_000) }
                #expect(copy == settled)
            }
        }
        #expect(head > 3 * SettledSet.pageSize)
    }

    @Test func aPlaceKeepsItsLargestNumbers() {
        let large = JournalPlace(
            segment: 63, offset: JournalPlace.offsetLimit - 1, length: JournalPlace.lengthLimit - 1,
            headerBytes: UInt32(JournalPlace.lengthLimit - 1), flags: 255, checksum: .max)
        #expect(large.slot == 63 && large.offset == JournalPlace.offsetLimit - 1)
        #expect(large.length == JournalPlace.lengthLimit - 1 && large.flags == 255)
        #expect(large.headerBytes == UInt32(JournalPlace.lengthLimit - 1) && large.checksum == .max)
        #expect(MemoryLayout<JournalPlace>.size == 16)
        #expect(Batch.payloadLimit < JournalPlace.lengthLimit)
    }

    /// RFC 3720, appendix B.4, and the two ways of computing against each other.
    @Test func checksumsAreTheKnownOnesHoweverLong() {
        let zeros = [UInt8](repeating: 0, count: 32)
        #expect(csystem_crc32c(0, zeros, 32) == 0x8A91_36AA)
        let digits = Array("123456789".utf8)
        #expect(csystem_crc32c(0, digits, 9) == 0xE306_9283)
        var dice = SplitMix64(seed: 5)
        let bytes = (0..<40_000).map { _ in UInt8(dice.roll(0..<256)) }
        for length in Array(0..<300) + [767, 768, 769, 1000, 3 * 4096, 3 * 4096 + 5, 39_000] {
            let start = dice.roll(0..<900)
            bytes.withUnsafeBytes { bytes in
                let base = bytes.baseAddress.unsafelyUnwrapped + start
                let count = min(length, bytes.count - start)
                #expect(csystem_crc32c(7, base, count) == csystem_crc32c_portable(7, base, count))
                let half = csystem_crc32c(7, base, count / 2)
                #expect(csystem_crc32c(half, base + count / 2, count - count / 2) == csystem_crc32c(7, base, count))
            }
        }
    }

    @Test func idsOfDeletedQueuesNeverComeBack() throws {
        let disk = SimulatedDisk()
        let store = try Opening.open(disk, smallSettings()).store
        var builder = BatchBuilder()
        builder.create(1, "a")
        builder.create(5, "b")
        builder.delete(5)
        #expect(try store.commit([builder.batch(1)], from: 0) == 1)
        store.finish()
        store.release()
        let again = try Opening.open(disk, smallSettings())
        #expect(again.recovery.nextQueueID == 6)
    }

    /// Goal: sequence numbers go on though nothing of the queue is left anywhere.
    @Test func sequenceNumbersNeverGoBack() throws {
        let disk = SimulatedDisk()
        var next: UInt64 = 1
        for life in 0..<5 {
            let (store, recovery) = try Opening.open(disk, smallSettings())
            if life > 0 { #expect(recovery.queues[0].next == next && recovery.queues[0].messages == 0) }
            for number in 0..<150 {
                var builder = BatchBuilder()
                if life == 0, number == 0 { builder.create(1, "a") }
                builder.append(1, next, [UInt8](repeating: 0, count: 500))
                builder.settle(1, next, bytes: 500)
                next += 1
                while try store.commit([builder.batch(UInt64(number + 1))], from: 0) == 0 { _ = try store.keep() }
            }
            for _ in 0..<4 { _ = try store.keep() }
            #expect(!disk.paths.contains(StorePath.segment(1)) || life > 0 || store.statistics.journalSegments < 2)
            store.release()
        }
    }

    /// Goal: what a queue needs for places in the journal is given back when nothing of it is there, a few queues at a
    /// time, and no place is lost. Method: five queues, of which one keeps its message; a deleted one whose slot another
    /// gets; all of it used once more.
    @Test func queuesWithNothingInTheJournalKeepNoMemoryForIt() {
        var ledger = Ledger()
        func apply(_ kind: Record.Kind, _ queue: UInt32, _ sequence: UInt64) {
            let record = Record(
                kind: kind, headerBytes: 1, queue: QueueID(rawValue: queue), sequence: sequence,
                count: kind == .settle ? 1 : 0, bytes: 10)
            let fits = ledger.apply(record, checksum: 7, segment: 1, payload: 100) { _ in [] }
            #expect(fits)
        }
        func holders() -> [UInt32] { ledger.ids.filter { (ledger.queue($0)?.memory ?? 0) > 0 } }
        for id in 1...5 as ClosedRange<UInt32> {
            apply(.createQueue, id, 0)
            apply(.append, id, 1)
        }
        for id in [1, 2, 4, 5] as [UInt32] { apply(.settle, id, 1) }
        #expect(holders() == [1, 2, 3, 4, 5])
        let place = ledger.queue(3)?.place(1)
        #expect(ledger.rest(most: 2) == true)
        #expect(holders().count == 3)
        #expect(ledger.rest(most: 2) == true)
        #expect(ledger.rest(most: 2) == false)
        #expect(holders() == [3])
        #expect(ledger.queue(3)?.place(1) == place)

        apply(.append, 1, 2)
        apply(.append, 2, 2)
        apply(.deleteQueue, 2, 0)
        apply(.createQueue, 6, 0)
        apply(.append, 6, 1)
        #expect(ledger.rest(most: 100) == false)
        #expect(holders() == [1, 3, 6])
        #expect(ledger.queue(6)?.firstPlace == place && ledger.queue(1)?.placesEnd == 3)
        for (id, sequence) in [(1, 2), (3, 1), (6, 1)] as [(UInt32, UInt64)] { apply(.settle, id, sequence) }
        #expect(ledger.rest(most: 100) == false)
        #expect(holders().isEmpty)
    }
}
