import Glibc

/// What both sides of a connection look for in bytes.
enum WireBytes {
    /// Where `byte` stands first in `from ..< end`.
    @inline(__always)
    static func find(_ byte: Int32, _ base: UnsafeRawPointer, _ from: Int, _ end: Int) -> Int? {
        guard let found = memchr(base + from, byte, end - from) else { return nil }
        return UnsafeRawPointer(found) - base
    }

    /// The line that ends at `end`, without a carriage return.
    @inline(__always)
    static func line(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> UnsafeRawBufferPointer {
        let hasReturn = end > start && base.load(fromByteOffset: end - 1, as: UInt8.self) == 0x0D
        return UnsafeRawBufferPointer(start: base + start, count: end - start - (hasReturn ? 1 : 0))
    }

    /// Where the NUL behind the body stands; nil until it is there.
    @inline(__always)
    static func bodyEnd(_ base: UnsafeRawPointer, start: Int, length: Int?, available: Int) -> Int? {
        guard let length else { return find(0, base, start, available) }
        return length < available - start ? start + length : nil
    }
}

extension UnsafeRawBufferPointer {
    /// What stands behind `name` (with its colon) when the line starts with it.
    @inline(__always)
    func value(of name: StaticString) -> UnsafeRawBufferPointer? {
        let length = name.utf8CodeUnitCount
        guard count >= length, let base = baseAddress, memcmp(base, name.utf8Start, length) == 0 else { return nil }
        return UnsafeRawBufferPointer(start: base + length, count: count - length)
    }

    @inline(__always)
    func equals(_ word: StaticString) -> Bool {
        guard count == word.utf8CodeUnitCount, let base = baseAddress else { return false }
        return memcmp(base, word.utf8Start, count) == 0
    }

    /// All of it as a decimal number of at most 18 digits.
    var decimal: UInt64? {
        guard count > 0, count <= 18 else { return nil }
        var value: UInt64 = 0
        for byte in self {
            let digit = byte &- 48
            guard digit < 10 else { return nil }
            value = value &* 10 &+ UInt64(digit)
        }
        return value
    }
}
