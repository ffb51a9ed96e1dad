import CSystem

/// Numbers on disk are little endian, at fixed places; no Swift layout ever reaches a file.
extension UnsafeRawPointer {
    @inline(__always) func get16(_ offset: Int) -> UInt16 {
        UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    @inline(__always) func get32(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    @inline(__always) func get64(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}

extension UnsafeMutableRawPointer {
    @inline(__always) func put32(_ value: UInt32, _ offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self)
    }

    @inline(__always) func put64(_ value: UInt64, _ offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
    }
}

/// CRC-32C. A seed says where the bytes belong, so that right bytes in the wrong place are wrong.
enum Checksum {
    @inline(__always) static func of(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
        csystem_crc32c(seed, bytes.baseAddress, bytes.count)
    }

    @inline(__always) static func of(_ bytes: UnsafeRawPointer, _ count: Int, seed: UInt32 = 0) -> UInt32 {
        csystem_crc32c(seed, bytes, count)
    }

    /// A seed from what names a place.
    static func seed(_ words: UInt64...) -> UInt32 {
        var crc: UInt32 = 0
        for word in words {
            withUnsafeBytes(of: word.littleEndian) { crc = of($0, seed: crc) }
        }
        return crc
    }
}

/// `value` rounded up to the next multiple of `step`, a power of two.
@inline(__always) func roundedUp(_ value: Int, to step: Int) -> Int { (value &+ step &- 1) & ~(step &- 1) }

/// `value` in decimal with zeros in front, at least `width` digits: file names sort as numbers do.
func digits(_ value: UInt64, width: Int) -> String {
    let text = String(value)
    return text.utf8.count >= width ? text : String(repeating: "0", count: width - text.utf8.count) + text
}

/// The number in a name like `00000012.seg`; nil for every other name.
func number(in name: String, before suffix: String) -> UInt64? {
    guard name.hasSuffix(suffix) else { return nil }
    let head = name.dropLast(suffix.count)
    guard !head.isEmpty, head.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return nil }
    return UInt64(head)
}

/// Appends little endian numbers and runs of bytes to an array. For cold formats.
struct ByteWriter {
    var bytes: [UInt8] = []

    mutating func put(_ value: UInt32) { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
    mutating func put(_ value: UInt64) { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
    mutating func put(_ run: [UInt8]) { bytes.append(contentsOf: run) }
    mutating func pad(to step: Int) {
        while bytes.count % step != 0 { bytes.append(0) }
    }

    /// Overwrites the four bytes at `offset`.
    mutating func set(_ value: UInt32, at offset: Int) {
        bytes.withUnsafeMutableBytes { $0.baseAddress?.put32(value, offset) }
    }
}

/// Takes numbers and runs from the front of an array; nil where it ends too early.
struct ByteReader {
    let bytes: [UInt8]
    private(set) var at = 0

    init(_ bytes: [UInt8], from start: Int = 0) {
        self.bytes = bytes
        at = start
    }

    var left: Int { bytes.count - at }

    mutating func take32() -> UInt32? {
        if left < 4 { return nil }
        defer { at += 4 }
        return bytes.withUnsafeBytes { $0.baseAddress.unsafelyUnwrapped.get32(at) }
    }

    mutating func take64() -> UInt64? {
        if left < 8 { return nil }
        defer { at += 8 }
        return bytes.withUnsafeBytes { $0.baseAddress.unsafelyUnwrapped.get64(at) }
    }

    mutating func take(_ count: Int) -> [UInt8]? {
        if count < 0 || left < count { return nil }
        defer { at += count }
        return Array(bytes[at..<at + count])
    }

    mutating func skipPadding(to step: Int) { at = min(bytes.count, roundedUp(at, to: step)) }
}
