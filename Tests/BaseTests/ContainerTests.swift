import Base
import Testing

struct DequeTests {
    /// Goal: a deque is an array with a cheap front. Method: the same random changes to both.
    @Test func itDoesWhatAnArrayDoes() {
        var deque = Deque<Int>()
        var array: [Int] = []
        var random: UInt64 = 3
        for step in 0..<20_000 {
            random = random &* 6_364_136_223_846_793_005 &+ 1
            switch (random >> 33) % 8 {
            case 0, 1, 2:
                deque.append(step)
                array.append(step)
            case 3:
                deque.prepend(step)
                array.insert(step, at: 0)
            case 4, 5:
                #expect(deque.popFirst() == (array.isEmpty ? nil : array.removeFirst()))
            case 6:
                #expect(deque.popLast() == array.popLast())
            default:
                if !array.isEmpty {
                    let at = Int(random >> 40) % array.count
                    deque[at] = -step
                    array[at] = -step
                }
            }
            if step % 1000 == 999, step % 3000 == 2999 {
                deque.removeAll()
                array.removeAll()
            }
            #expect(deque.count == array.count && deque.first == array.first && deque.last == array.last)
            if step % 50 == 0 { #expect((0..<deque.count).map { deque[$0] } == array) }
        }
    }

    @Test func nothingComesOutOfAnEmptyOne() {
        var deque = Deque<String>()
        #expect(deque.isEmpty)
        #expect(deque.popFirst() == nil)
        #expect(deque.popLast() == nil)
        #expect(deque.first == nil)
        #expect(deque.last == nil)
    }

    /// Goal: a copy shares memory only as long as nobody could tell.
    @Test func copiesDoNotSeeEachOther() {
        var deque = Deque<[Int]>()
        for number in 0..<20 { deque.append([number]) }
        let all = (0..<20).map { [$0] }
        let changes: [(inout Deque<[Int]>) -> Void] = [
            { $0.append([1]) }, { $0.prepend([1]) }, { $0.popFirst() }, { $0.popLast() }, { $0[7].append(1) },
            { $0.removeAll() },
        ]
        for change in changes {
            var copy = deque
            change(&copy)
            #expect((0..<deque.count).map { deque[$0] } == all)
            #expect((0..<copy.count).map { copy[$0] } != all)
        }
    }

    /// Goal: what was taken out is not kept alive by the place it had.
    @Test func takenElementsAreLetGo() {
        final class Token {}
        var deque = Deque<Token>()
        weak var first: Token?
        weak var last: Token?
        do {
            let (one, two) = (Token(), Token())
            (first, last) = (one, two)
            deque.append(one)
            deque.append(two)
        }
        deque.popFirst()
        #expect(first == nil)
        #expect(last != nil)
        deque.popLast()
        #expect(last == nil)
    }

    @Test func aCopyIsIndependent() {
        var deque = Deque<Int>()
        for number in 0..<5 { deque.append(number) }
        let copy = deque
        deque.popFirst()
        deque[0] = 9
        #expect((0..<copy.count).map { copy[$0] } == [0, 1, 2, 3, 4])
    }
}

struct ArenaTests {
    private func append(_ text: String, to arena: inout Arena) -> Slice {
        Array(text.utf8).withUnsafeBufferPointer { arena.append($0) }
    }

    @Test func slicesKeepTheirBytesWhateverComesAfter() {
        var arena = Arena()
        let slices = (0..<30_000).map { append("message \($0)", to: &arena) }
        for (number, slice) in slices.enumerated() {
            if String(decoding: slice.bytes, as: UTF8.self) != "message \(number)" {
                Issue.record("message \(number) changed")
            }
        }
        #expect(Set(slices.map { ObjectIdentifier($0.chunk) }).count == 2)
    }

    @Test func bytesOutliveTheArena() {
        var arena = Arena()
        let slice = append("kept", to: &arena)
        arena.drop()
        #expect(append("next", to: &arena).chunk !== slice.chunk)
        #expect(String(decoding: slice.bytes, as: UTF8.self) == "kept")
    }

    @Test func aLargeMessageGetsAChunkOfItsOwn() {
        var arena = Arena()
        let large = [UInt8](repeating: 7, count: Chunk.standardCapacity + 1)
        let before = append("before", to: &arena)
        let slice = large.withUnsafeBufferPointer { arena.append($0) }
        let after = append("after", to: &arena)
        #expect(slice.chunk.capacity == large.count)
        #expect(slice.chunk !== before.chunk && slice.chunk !== after.chunk)
        #expect(slice.bytes.elementsEqual(large))
    }

    @Test func aMessageThatFillsTheChunkFits() {
        var arena = Arena()
        let exact = [UInt8](repeating: 1, count: Chunk.standardCapacity)
        let slice = exact.withUnsafeBufferPointer { arena.append($0) }
        #expect(slice.chunk.capacity == Chunk.standardCapacity)
        #expect(append("x", to: &arena).chunk !== slice.chunk)
    }

    @Test func reservedBytesGoIntoOneChunk() {
        var arena = Arena()
        _ = [UInt8](repeating: 1, count: Chunk.standardCapacity - 4).withUnsafeBufferPointer { arena.append($0) }
        arena.reserve(10)
        let (first, second) = (append("12345", to: &arena), append("67890", to: &arena))
        #expect(first.chunk === second.chunk)
    }

    @Test func nothingIsASliceToo() {
        var arena = Arena()
        let empty = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
        #expect(arena.append(empty).count == 0)
    }

    /// Goal: the measure of memory goes up and down with the chunks. Method: sizes that tests running
    /// beside this one cannot hide: one of 1 GiB lives, or 64 of them have lived.
    @Test func chunksAreCountedWhileTheyLive() {
        let size = 1 << 30
        for _ in 0..<64 {
            let chunk = Chunk(capacity: size)
            #expect(chunk.capacity == size)
            #expect(Chunk.liveBytes >= size)
        }
        #expect(Chunk.liveBytes < 64 * size)
    }
}

struct InstantTests {
    @Test func addingSaturates() {
        #expect(Instant(nanoseconds: 5).adding(milliseconds: 2).nanoseconds == 2_000_005)
        #expect(Instant(nanoseconds: 5).adding(milliseconds: .max).nanoseconds == .max)
        #expect(Instant(nanoseconds: .max - 1).adding(milliseconds: 1).nanoseconds == .max)
    }

    @Test func theTimeSinceSomethingLaterIsNothing() {
        let (early, late) = (Instant(nanoseconds: 1_000_000), Instant(nanoseconds: 4_999_999))
        #expect(late.milliseconds(since: early) == 3)
        #expect(early.milliseconds(since: late) == 0)
        #expect(early < late)
    }

    @Test func theClockDoesNotGoBack() {
        let readings = (0..<1000).map { _ in Instant.now }
        #expect(zip(readings, readings.dropFirst()).allSatisfy { $0 <= $1 })
    }

    @Test func theWallClockIsAfterThisWasWritten() {
        #expect(wallClockMilliseconds() > 1_700_000_000_000)
    }
}

struct HeapTests {
    /// Goal: the least comes out first, whatever came in between. Method: the same random changes to a sorted array.
    @Test func itDoesWhatASortedArrayDoes() {
        var heap = Heap<Int>()
        var array: [Int] = []
        var random: UInt64 = 5
        for step in 0..<20_000 {
            random = random &* 6_364_136_223_846_793_005 &+ 1
            if (random >> 33) % 5 < 3 {
                let number = Int(random >> 40) % 500
                heap.insert(number)
                array.append(number)
                array.sort()
            } else {
                #expect(heap.popFirst() == (array.isEmpty ? nil : array.removeFirst()))
            }
            if step % 4000 == 3999 { heap = Heap(heap.all.filter { $0 % 2 == 0 }) }
            if step % 4000 == 3999 { array.removeAll { $0 % 2 != 0 } }
            #expect(heap.count == array.count && heap.first == array.first && heap.isEmpty == array.isEmpty)
            if array.count > 300 {
                (heap, array) = (Heap(), [])
            }
        }
    }
}
