import Glibc

extension UInt8 {
    static let lineFeed: UInt8 = 0x0A
    static let carriageReturn: UInt8 = 0x0D
    static let colon: UInt8 = 0x3A
    static let comma: UInt8 = 0x2C
    static let backslash: UInt8 = 0x5C
    static let space: UInt8 = 0x20
    static let tab: UInt8 = 0x09

    static let c = UInt8(ascii: "c")
    static let n = UInt8(ascii: "n")
    static let r = UInt8(ascii: "r")

    var isBlank: Bool { self == .space || self == .tab }
    var isDigit: Bool { self >= 0x30 && self <= 0x39 }
}

/// Whether the bytes at `start` are `text`. The caller knows that there are that many.
@inline(__always)
func same(_ start: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
    memcmp(start, text.utf8Start, text.utf8CodeUnitCount) == 0
}

extension UnsafeBufferPointer<UInt8> {
    @inline(__always)
    func equals(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        guard let baseAddress else { return true }
        return same(baseAddress, text)
    }

    func starts(with text: StaticString) -> Bool {
        guard count >= text.utf8CodeUnitCount, let baseAddress else { return false }
        return same(baseAddress, text)
    }

    /// Without the spaces and tabs at both ends.
    func trimmingBlanks() -> UnsafeBufferPointer<UInt8> {
        var low = 0
        var high = count
        while low < high, self[low].isBlank { low += 1 }
        while high > low, self[high - 1].isBlank { high -= 1 }
        return UnsafeBufferPointer(rebasing: self[low..<high])
    }

    /// Where the first `byte` at or behind `start` is.
    func firstIndex(of byte: UInt8, from start: Int) -> Int? {
        guard start < count, let baseAddress else { return nil }
        guard let found = memchr(baseAddress + start, Int32(byte), count - start) else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(baseAddress)
    }

    /// The number that the bytes spell in decimal digits: nothing but digits, at least one. A number too large
    /// to be held comes out as `UInt64.max`, which is beyond every limit that it can be compared with.
    func strictDecimal() -> UInt64? {
        guard count > 0 else { return nil }
        var value: UInt64 = 0
        var isTooLarge = false
        for byte in self {
            guard byte.isDigit else { return nil }
            let (tenfold, lost) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) = tenfold.addingReportingOverflow(UInt64(byte - 0x30))
            value = sum
            isTooLarge = isTooLarge || lost || carried
        }
        return isTooLarge ? .max : value
    }

    /// Where the first byte that is not UTF-8 lies, nil if all are.
    func firstInvalidUTF8() -> Int? {
        do throws(UTF8.ValidationError) {
            _ = try UTF8Span(validating: self.span)
            return nil
        } catch {
            return error.byteOffsets.lowerBound
        }
    }
}
