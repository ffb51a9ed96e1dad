import Base
import Testing

struct BufferTests {
    private func text(_ buffer: borrowing Buffer) -> String { String(decoding: buffer.readable, as: UTF8.self) }

    @Test func whatIsAppendedIsReadInOrder() {
        var buffer = Buffer()
        buffer.append(UInt8(ascii: "a"))
        buffer.append([UInt8]("bc".utf8))
        buffer.append("def")
        buffer.append(utf8: "gä")
        Array("xyz".utf8).withUnsafeBytes { buffer.append($0) }
        let read = text(buffer)
        #expect(read == "abcdefgäxyz")
    }

    @Test func appendingNothingChangesNothing() {
        var buffer = Buffer()
        buffer.append([UInt8]())
        buffer.append(UnsafeBufferPointer<UInt8>(start: nil, count: 0))
        buffer.append("")
        let (count, readable, room, allocated) = (
            buffer.count, buffer.readable.count, buffer.room.count, buffer.allocated
        )
        #expect(count == 0 && readable == 0)
        #expect(room == allocated)
    }

    /// Goal: whatever is appended and consumed in whatever sizes, bytes come out in order.
    /// Method: a counter goes in at one end and must come out at the other.
    @Test func bytesKeepTheirOrderHoweverTheyMove() {
        var buffer = Buffer()
        var (written, read, random) = (0, 0, UInt64(7))
        for _ in 0..<2000 {
            random = random &* 6_364_136_223_846_793_005 &+ 1
            let count = Int((random >> 33) % 700)
            buffer.append((0..<count).map { UInt8(truncatingIfNeeded: written + $0) })
            written += count
            let taken = min(buffer.count, Int((random >> 20) % 800))
            for at in 0..<taken where buffer.readable[at] != UInt8(truncatingIfNeeded: read + at) {
                Issue.record("byte \(read + at) is another")
                return
            }
            buffer.consume(taken)
            read += taken
        }
        let (left, allocated) = (buffer.count, buffer.allocated)
        #expect(left == written - read)
        #expect(allocated < 1 << 20)
    }

    @Test func memoryInFrontIsUsedAgainInsteadOfGrowing() {
        var buffer = Buffer(capacity: 256)
        for _ in 0..<10_000 {
            buffer.append([UInt8](repeating: 1, count: 100))
            buffer.consume(buffer.count - 10)
        }
        let allocated = buffer.allocated
        #expect(allocated <= 512)
    }

    @Test func roomIsWrittenAndThenCounts() {
        var buffer = Buffer()
        buffer.append("ab")
        buffer.reserve(1000)
        let room = buffer.room.count
        #expect(room >= 1000)
        buffer.room[0] = UInt8(ascii: "c")
        buffer.written(1)
        let read = text(buffer)
        #expect(read == "abc")
        buffer.truncate(to: 1)
        let cut = text(buffer)
        #expect(cut == "a")
    }

    @Test func clearKeepsTheMemoryAndReleaseGivesItBack() {
        var buffer = Buffer()
        buffer.append("abc")
        buffer.clear()
        let (cleared, kept) = (buffer.isEmpty, buffer.allocated)
        #expect(cleared && kept > 0)
        buffer.release()
        let allocated = buffer.allocated
        #expect(allocated == 0)
        buffer.append("again")
        let read = text(buffer)
        #expect(read == "again")
    }

    @Test func decimalsAreWhatTheyAre() {
        var values: [UInt64] = [0, .max, .max - 1]
        var power: UInt64 = 1
        for _ in 0..<20 {
            values += [power - 1, power, power + 1]
            power = power.multipliedReportingOverflow(by: 10).partialValue
        }
        for value in values {
            var buffer = Buffer()
            buffer.append(decimal: value)
            let written = text(buffer)
            #expect(written == "\(value)")
        }
    }
}
