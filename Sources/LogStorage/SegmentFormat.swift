import BrokerCore

/// The first 4 KiB of a journal segment.
///
///     0        8         12    16       20      24     32        40        48            4096
///     | magic  | version | CRC | number | flags | salt | storeID | size    | zeros         |
///
/// The CRC covers everything behind it. The salt is drawn anew for each use of a file, so what an
/// earlier use left behind cannot be taken for a batch of this one.
struct SegmentHeader: Equatable {
    static let size = 4096
    static let magic: UInt64 = 0x314D_4745_534B_5242  // "BRKSEGM1"

    var number: UInt32
    /// The bytes behind the header are of an earlier use, not zeros.
    var isRecycled: Bool
    var salt: UInt64
    var storeID: UInt64
    var segmentBytes: UInt64

    /// What the checksums of this segment start from.
    var seed: UInt32 { Checksum.seed(salt, UInt64(number), storeID) }

    func encoded() -> [UInt8] {
        var writer = FileFront.begin(Self.magic)
        writer.put(number)
        writer.put(UInt32(isRecycled ? 1 : 0))
        writer.put(salt)
        writer.put(storeID)
        writer.put(segmentBytes)
        writer.pad(to: Self.size)
        FileFront.seal(&writer)
        return writer.bytes
    }

    /// nil when the bytes are no header of a version that is known, or damaged.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard let base = FileFront.check(bytes, Self.magic, size: Self.size) else { return nil }
        number = base.get32(16)
        isRecycled = base.get32(20) & 1 != 0
        salt = base.get64(24)
        storeID = base.get64(32)
        segmentBytes = base.get64(40)
    }

    init(number: UInt32, isRecycled: Bool, salt: UInt64, storeID: UInt64, segmentBytes: UInt64) {
        self.number = number
        self.isRecycled = isRecycled
        self.salt = salt
        self.storeID = storeID
        self.segmentBytes = segmentBytes
    }
}

/// The first 64 bytes of a batch on disk; records and payload follow, then zeros up to the next
/// multiple of 64.
///
///     0       4     8          16        24        28       32        36        40        44      48    64
///     | magic | CRC | sequence | durable | segment | offset | records | payload | rec.CRC | flags | zeros |
///
/// `CRC` covers bytes 8 to 64, `rec.CRC` the records; both start from the segment's seed. `offset`
/// is the batch's own place in the segment, in units of 64 bytes: a copy elsewhere is not a batch.
struct BatchHeader: Equatable {
    static let size = 64
    static let alignment = 64
    static let magic: UInt32 = 0x4843_5442  // "BTCH"
    /// Written unsynced when the log goes idle; holds no records.
    static let idleFlag: UInt32 = 1
    /// The last of its segment; holds no records. The log goes on in the next segment.
    static let sealFlag: UInt32 = 2

    /// Counts batches on disk since the store was made; without gaps, over all segments.
    var sequence: UInt64
    /// The highest sequence known to be synced when this was written.
    var durable: UInt64
    var segment: UInt32
    var offset: Int
    var recordCount: Int
    var payloadBytes: Int
    var recordsChecksum: UInt32 = 0
    var flags: UInt32 = 0

    var isSeal: Bool { flags & Self.sealFlag != 0 }
    var isIdle: Bool { flags & Self.idleFlag != 0 }
    /// Bytes on disk, with the zeros at the end.
    var diskBytes: Int { Self.diskBytes(records: recordCount, payload: payloadBytes) }

    @inline(__always) static func diskBytes(records: Int, payload: Int) -> Int {
        roundedUp(size &+ records &* RecordFormat.size &+ payload, to: alignment)
    }

    func encode(to target: UnsafeMutableRawPointer, seed: UInt32) {
        target.put32(Self.magic, 0)
        target.put64(sequence, 8)
        target.put64(durable, 16)
        target.put32(segment, 24)
        target.put32(UInt32(truncatingIfNeeded: offset / Self.alignment), 28)
        target.put32(UInt32(truncatingIfNeeded: recordCount), 32)
        target.put32(UInt32(truncatingIfNeeded: payloadBytes), 36)
        target.put32(recordsChecksum, 40)
        target.put32(flags, 44)
        target.put64(0, 48)
        target.put64(0, 56)
        target.put32(Checksum.of(target + 8, Self.size - 8, seed: seed), 4)
    }

    /// The header at `offset` of a segment whose bytes are `segment`; nil if there is none, or it is
    /// damaged, or it belongs elsewhere, or it says more than the segment holds.
    init?(in bytes: UnsafeRawBufferPointer, at offset: Int, segment: UInt32, seed: UInt32) {
        guard let base = bytes.baseAddress, offset >= 0, bytes.count - offset >= Self.size else { return nil }
        self.init(base + offset, at: offset, segmentSize: bytes.count, segment: segment, seed: seed)
    }

    /// The same of the 64 bytes alone.
    init?(_ header: UnsafeRawPointer, at offset: Int, segmentSize: Int, segment: UInt32, seed: UInt32) {
        guard header.get32(0) == Self.magic, header.get32(24) == segment else { return nil }
        guard header.get32(4) == Checksum.of(header + 8, Self.size - 8, seed: seed) else { return nil }
        guard Int(header.get32(28)) * Self.alignment == offset else { return nil }
        sequence = header.get64(8)
        durable = header.get64(16)
        self.segment = segment
        self.offset = offset
        recordCount = Int(header.get32(32))
        payloadBytes = Int(header.get32(36))
        recordsChecksum = header.get32(40)
        flags = header.get32(44)
        // 32-bit counts times 40 cannot overflow 64 bits.
        guard diskBytes <= segmentSize - offset else { return nil }
    }

    init(
        sequence: UInt64, durable: UInt64, segment: UInt32, offset: Int, recordCount: Int = 0, payloadBytes: Int = 0,
        flags: UInt32 = 0
    ) {
        self.sequence = sequence
        self.durable = durable
        self.segment = segment
        self.offset = offset
        self.recordCount = recordCount
        self.payloadBytes = payloadBytes
        self.flags = flags
    }
}

/// A record on disk: 40 bytes.
///
///     0      1       2       4             8       12      16         24      32       36              40
///     | kind | flags | zeros | headerBytes | queue | count | sequence | bytes | offset | payload's CRC |
enum RecordFormat {
    static let size = 40

    @inline(__always)
    static func encode(_ record: Record, checksum: UInt32, to target: UnsafeMutableRawPointer) {
        let first = UInt32(record.kind.rawValue) | UInt32(record.flags) << 8
        target.put64(UInt64(first) | UInt64(record.headerBytes) << 32, 0)
        target.put64(UInt64(record.queue.rawValue) | UInt64(record.count) << 32, 8)
        target.put64(record.sequence, 16)
        target.put64(record.bytes, 24)
        target.put64(UInt64(record.offset) | UInt64(checksum) << 32, 32)
    }

    /// nil when the kind is unknown.
    @inline(__always)
    static func decode(_ source: UnsafeRawPointer) -> (record: Record, checksum: UInt32)? {
        let first = source.get32(0)
        guard first >> 16 == 0, let kind = Record.Kind(rawValue: UInt8(truncatingIfNeeded: first)) else { return nil }
        let record = Record(
            kind: kind, flags: UInt8(truncatingIfNeeded: first >> 8), headerBytes: source.get32(4),
            queue: QueueID(rawValue: source.get32(8)), sequence: source.get64(16), count: source.get32(12),
            bytes: source.get64(24), offset: source.get32(32))
        return (record, source.get32(36))
    }
}

extension Record {
    /// Most bytes that a note on a queue may have, and the one on the whole broker.
    static let noteLimit = 64 << 10
    static let brokerNoteLimit = 1 << 20

    /// Whether the record names bytes of the payload.
    @inline(__always) var hasPayload: Bool {
        kind == .append || kind == .createQueue || (kind == .note && bytes > 0)
    }

    /// What a record of kind `attempt` says. nil when its verdict is none that we know.
    var attempt: Attempt? {
        Attempt.Verdict(rawValue: flags).map { Attempt(count: count, notBefore: bytes, verdict: $0) }
    }
}
