/// The version that all files of the store carry: written as `current`, read from `oldest` on. A newer
/// one is refused, never guessed at.
///
///     1    kinds of records up to `attempt`, without time and verdict
///     2    notes and remembered ids, in records and in the checkpoint
///     3    two copies of the checkpoint, counted; footers and checksums of queue files; headers' checksums
///          start from the version
enum FormatVersion {
    static let current: UInt32 = 3
    static let oldest: UInt32 = 1
    /// The first with two checkpoints, and with checksums of whole queue files.
    static let withCopies: UInt32 = 3

    static func isKnown(_ version: UInt32) -> Bool { version >= oldest && version <= current }

    /// The checksum in a file's header, of what stands behind its first 16 bytes. It starts from the version,
    /// so that no flipped bit makes a file one of another version.
    static func checksum(_ bytes: UnsafeRawBufferPointer, version: UInt32) -> UInt32 {
        Checksum.of(bytes, seed: checksumStart(version))
    }

    static func checksumStart(_ version: UInt32) -> UInt32 {
        version < withCopies ? 0 : Checksum.seed(UInt64(version))
    }

    /// The same of a whole file in memory.
    static func checksum(ofFile bytes: [UInt8], version: UInt32) -> UInt32 {
        bytes.withUnsafeBytes { all in
            checksum(UnsafeRawBufferPointer(rebasing: all[min(16, all.count)...]), version: version)
        }
    }
}

/// What every file of the store begins with, and the footer of a queue file.
///
///     0       8         12    16
///     | magic | version | CRC | ...
///
/// The CRC covers all behind it and starts from the version.
enum FileFront {
    static let size = 16

    /// A writer with the front, but for the CRC.
    static func begin(_ magic: UInt64, version: UInt32 = FormatVersion.current) -> ByteWriter {
        var writer = ByteWriter()
        writer.put(magic)
        writer.put(version)
        writer.put(UInt32(0))
        return writer
    }

    /// All is written: puts the CRC in its place.
    static func seal(_ writer: inout ByteWriter, version: UInt32 = FormatVersion.current) {
        writer.set(FormatVersion.checksum(ofFile: writer.bytes, version: version), at: 12)
    }

    /// Where the first `size` bytes start, if they are of that magic, of a version that is known, and undamaged.
    static func check(_ bytes: UnsafeRawBufferPointer, _ magic: UInt64, size: Int) -> UnsafeRawPointer? {
        guard bytes.count >= size, let base = bytes.baseAddress else { return nil }
        let version = base.get32(8)
        guard base.get64(0) == magic, FormatVersion.isKnown(version) else { return nil }
        let rest = UnsafeRawBufferPointer(start: base + Self.size, count: size - Self.size)
        return base.get32(12) == FormatVersion.checksum(rest, version: version) ? base : nil
    }
}
