/// A header line while it is being read: as much of it as has arrived.
struct Line {
    var start: Int
    /// The next byte to look at.
    var position: Int
    /// Where the first colon is, -1 until it is seen.
    var nameEnd = -1
    var hasEscape = false
    /// Some byte may be not ASCII.
    var hasHigh = false
    /// 1.2 would write this line otherwise.
    var isRewritten = false

    init(start: Int) {
        self.start = start
        self.position = start
    }
}

/// Finds the bytes that mean something in a header line, eight at a time.
///
/// The tricks are those of "Bit Twiddling Hacks" (S. E. Anderson): the lowest bit set in the result stands for
/// a byte that was really found, the ones above it may be false, and only the lowest is used.
@usableFromInline
enum LineScanner {
    @inlinable static var ones: UInt64 { 0x0101_0101_0101_0101 }
    @inlinable static var highs: UInt64 { 0x8080_8080_8080_8080 }

    @inline(__always) @inlinable
    static func isMark(_ byte: UInt8) -> Bool {
        byte < 0x0E || byte == 0x3A || byte == 0x5C
    }

    /// The highest bit of each byte of `word` that is a mark, and perhaps of some above the first of them.
    @inline(__always) @inlinable
    static func marks(_ word: UInt64) -> UInt64 {
        let colon = word ^ (ones &* 0x3A)
        let backslash = word ^ (ones &* 0x5C)
        return (((word &- ones &* 0x0E) & ~word) | ((colon &- ones) & ~colon) | ((backslash &- ones) & ~backslash))
            & highs
    }

    /// The first colon, backslash or control byte below 0x0E (LF, CR and NUL are among them; a tab is not one
    /// for the caller, but is rare) at or behind `position`, `end` if there is none before it. `high` is set if
    /// a byte in front of it, or less than eight behind it, is not ASCII: whoever asks looks closely then.
    @inline(__always)
    static func nextMark(
        _ base: UnsafePointer<UInt8>, from position: Int, to end: Int, high: inout Bool
    ) -> Int {
        var at = position
        while at &+ 8 <= end {
            let word = UInt64(littleEndian: UnsafeRawPointer(base + at).loadUnaligned(as: UInt64.self))
            let marks = Self.marks(word)
            if word & highs != 0 { high = true }
            if marks != 0 { return at &+ marks.trailingZeroBitCount >> 3 }
            at &+= 8
        }
        while at < end {
            let byte = base[at]
            if isMark(byte) { return at }
            if byte >= 0x80 { high = true }
            at &+= 1
        }
        return end
    }
}
