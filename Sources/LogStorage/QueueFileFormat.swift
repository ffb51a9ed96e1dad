/// A queue file: a header, then messages in the order of their sequences, and a footer once it is closed.
///
///     0       8         12    16        24      32               40        64
///     | magic | version | CRC | storeID | queue | first sequence | zeros   |
struct QueueFileHeader: Equatable {
    static let size = 64
    static let magic: UInt64 = 0x3145_5545_514B_5242  // "BRKQEUE1"

    var storeID: UInt64
    var queue: UInt32
    var first: UInt64

    /// What the checksums of the records' heads start from.
    var seed: UInt32 { Checksum.seed(storeID, UInt64(queue), first) }

    func encoded() -> [UInt8] {
        var writer = FileFront.begin(Self.magic)
        writer.put(storeID)
        writer.put(UInt64(queue))
        writer.put(first)
        writer.pad(to: Self.size)
        FileFront.seal(&writer)
        return writer.bytes
    }

    /// nil when the bytes are no header of a version that is known, or damaged.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard let base = FileFront.check(bytes, Self.magic, size: Self.size) else { return nil }
        storeID = base.get64(16)
        guard let queue = UInt32(exactly: base.get64(24)) else { return nil }
        self.queue = queue
        first = base.get64(32)
    }

    init(storeID: UInt64, queue: UInt32, first: UInt64) {
        self.storeID = storeID
        self.queue = queue
        self.first = first
    }
}

/// The end of a queue file that is closed: nothing is appended any more. Says what all before it is.
///
///     0       8         12    16        24      28              32      40     48         56             64
///     | magic | version | CRC | storeID | queue | CRC of before | first | last | messages | bytes before |
///
/// `CRC` covers bytes 16 to 64 and starts from the version.
struct QueueFileFooter: Equatable {
    static let size = 64
    static let magic: UInt64 = 0x3146_5545_514B_5242  // "BRKQEUF1"

    var storeID: UInt64
    var queue: UInt32
    /// As it stood in the ledger when it was written: `file.bytes` does not count it yet.
    var file: QueueFile

    func encoded() -> [UInt8] {
        var writer = FileFront.begin(Self.magic)
        writer.put(storeID)
        writer.put(queue)
        writer.put(file.checksum)
        writer.put(file.first)
        writer.put(file.last)
        writer.put(UInt64(file.messages))
        writer.put(UInt64(file.bytes))
        FileFront.seal(&writer)
        return writer.bytes
    }

    init(storeID: UInt64, queue: UInt32, file: QueueFile) {
        self.storeID = storeID
        self.queue = queue
        self.file = file
    }

    /// nil when the bytes are no footer of a version that is known, or damaged.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard let base = FileFront.check(bytes, Self.magic, size: Self.size),
            let messages = UInt32(exactly: base.get64(48)), let bytes = Int(exactly: base.get64(56))
        else { return nil }
        storeID = base.get64(16)
        queue = base.get32(24)
        file = QueueFile(
            first: base.get64(32), last: base.get64(40), bytes: bytes, messages: messages, checksum: base.get32(28))
    }
}

/// The head of one message in a queue file; the message follows, then zeros up to the next multiple
/// of 8.
///
///     0       4     8          16       20            24             28      29      32
///     | magic | CRC | sequence | length | headerBytes | message's CRC | flags | zeros |
///
/// `CRC` covers bytes 8 to 32 and starts from the file's seed. The message's own CRC is the one made
/// when it was appended to the journal: it is checked, never made anew, until the message is gone.
struct StoredHead: Equatable {
    static let size = 32
    static let alignment = 8
    static let magic: UInt32 = 0x4753_454D  // "MESG"

    var sequence: UInt64
    var length: Int
    var headerBytes: UInt32
    var checksum: UInt32
    var flags: UInt8

    /// Bytes in the file, with the zeros at the end.
    var diskBytes: Int { roundedUp(Self.size + length, to: Self.alignment) }

    func encode(to target: UnsafeMutableRawPointer, seed: UInt32) {
        target.put32(Self.magic, 0)
        target.put64(sequence, 8)
        target.put32(UInt32(truncatingIfNeeded: length), 16)
        target.put32(headerBytes, 20)
        target.put32(checksum, 24)
        target.put32(UInt32(flags), 28)
        target.put32(Checksum.of(target + 8, Self.size - 8, seed: seed), 4)
    }

    /// nil when there is no undamaged head at `source`.
    init?(_ source: UnsafeRawPointer, seed: UInt32) {
        guard source.get32(0) == Self.magic else { return nil }
        guard source.get32(4) == Checksum.of(source + 8, Self.size - 8, seed: seed) else { return nil }
        sequence = source.get64(8)
        length = Int(source.get32(16))
        headerBytes = source.get32(20)
        checksum = source.get32(24)
        flags = UInt8(truncatingIfNeeded: source.get32(28))
    }

    init(sequence: UInt64, length: Int, headerBytes: UInt32, checksum: UInt32, flags: UInt8) {
        self.sequence = sequence
        self.length = length
        self.headerBytes = headerBytes
        self.checksum = checksum
        self.flags = flags
    }
}
