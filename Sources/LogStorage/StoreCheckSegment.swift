import BrokerCore
import CSystem
import Glibc

/// A journal segment as it lies on the disk, with what of it can be believed.
struct SegmentImage: ~Copyable {
    let number: UInt32
    let path: String
    /// nil when damaged; then `seed` may have been found out from the batches.
    let header: SegmentHeader?
    let seed: UInt32?
    let size: Int
    /// The first place that the disk does not give back.
    let unreadable: Int?
    private let memory: UnsafeMutableRawBufferPointer

    /// Whose a segment must be.
    struct Expectation {
        var number: UInt32
        var storeID: UInt64
    }

    /// Reads a file whole: at most `JournalPlace.offsetLimit` bytes of it.
    init(_ file: any DiskFile, _ expected: Expectation) throws(DiskError) {
        number = expected.number
        path = file.path
        let onDisk = min(try file.size(), JournalPlace.offsetLimit)
        let head = try file.contents(limit: SegmentHeader.size)
        var found = head.withUnsafeBytes { SegmentHeader($0) }
        if let header = found, header.number != expected.number || header.storeID != expected.storeID { found = nil }
        header = found
        let said = found.map { Int(truncatingIfNeeded: $0.segmentBytes) } ?? onDisk
        size = said >= SegmentHeader.size && said <= JournalPlace.offsetLimit ? said : max(onDisk, SegmentHeader.size)
        memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(size, 1), alignment: 64)
        unreadable = Self.read(file, into: UnsafeMutableRawBufferPointer(rebasing: memory[..<size]))
        seed =
            found?.seed
            ?? Self.seedFromBatches(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<size]), number)
    }

    deinit { memory.deallocate() }

    /// Fills `memory` with what there is: zeros behind the end of the file and where the disk fails.
    private static func read(_ file: any DiskFile, into memory: UnsafeMutableRawBufferPointer) -> Int? {
        guard let base = memory.baseAddress else { return nil }
        if let got = try? file.read(into: memory, at: 0) {
            if got < memory.count { memset(base + got, 0, memory.count - got) }
            return nil
        }
        var failed: Int?
        var at = 0
        while at < memory.count {
            let block = UnsafeMutableRawBufferPointer(
                rebasing: memory[at..<min(memory.count, at + QueueFileScan.blockSize)])
            memset(base + at, 0, block.count)
            if (try? file.read(into: block, at: at)) == nil {
                memset(base + at, 0, block.count)
                failed = failed ?? at
            }
            at += block.count
        }
        return failed
    }

    /// Valid as long as the image.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<size]) }

    /// The batch header at `offset`, if there is an undamaged one.
    func batch(at offset: Int) -> BatchHeader? {
        guard let seed else { return nil }
        return BatchHeader(in: bytes, at: offset, segment: number, seed: seed)
    }

    /// The flags of batch `sequence` at `offset` if its header is damaged and it had no records: the
    /// checksum of no records is the seed itself.
    func emptyBatch(_ offset: Int, _ sequence: UInt64) -> UInt32? {
        guard let base = bytes.baseAddress, let seed, bytes.count - offset >= BatchHeader.size else { return nil }
        let header = base + offset
        guard header.get32(40) == seed, header.get64(8) == sequence, header.get32(24) == number else { return nil }
        return header.get32(44)
    }

    func hasWholeRecords(_ batch: BatchHeader) -> Bool {
        guard let base = bytes.baseAddress, let seed else { return false }
        let records = base + batch.offset + BatchHeader.size
        return Checksum.of(records, batch.recordCount * RecordFormat.size, seed: seed) == batch.recordsChecksum
    }

    /// A record of a batch, and whether the bytes that it names are as they were written.
    struct Found {
        var record: Record
        var checksum: UInt32
        var isWhole: Bool
    }

    /// The records of a batch whose records are whole.
    func records(of batch: BatchHeader) -> [Found] {
        guard let base = bytes.baseAddress else { return [] }
        var found: [Found] = []
        found.reserveCapacity(batch.recordCount)
        var source = base + batch.offset + BatchHeader.size
        let payload = source + batch.recordCount * RecordFormat.size
        for _ in 0..<batch.recordCount {
            if let (record, checksum) = RecordFormat.decode(source) {
                var isWhole = true
                if record.hasPayload {
                    let (end, overflow) = UInt64(record.offset).addingReportingOverflow(record.bytes)
                    isWhole =
                        !overflow && end <= UInt64(batch.payloadBytes)
                        && Checksum.of(payload + Int(record.offset), Int(record.bytes)) == checksum
                }
                found.append(Found(record: record, checksum: checksum, isWhole: isWhole))
            }
            source += RecordFormat.size
        }
        return found
    }

    func payloadOffset(of batch: BatchHeader) -> Int {
        batch.offset + BatchHeader.size + batch.recordCount * RecordFormat.size
    }

    // MARK: A damaged header

    /// What the checksums of a segment start from when its header cannot be read. A checksum can be run
    /// backwards: the first batch's says what it started from, and those of its records must agree.
    private static func seedFromBatches(_ bytes: UnsafeRawBufferPointer, _ number: UInt32) -> UInt32? {
        guard let base = bytes.baseAddress, bytes.count >= SegmentHeader.size + BatchHeader.size else { return nil }
        let header = base + SegmentHeader.size
        guard header.get32(0) == BatchHeader.magic, header.get32(24) == number else { return nil }
        let seed = Checksum.seed(before: UnsafeRawBufferPointer(start: header + 8, count: 56), sum: header.get32(4))
        guard let first = BatchHeader(in: bytes, at: SegmentHeader.size, segment: number, seed: seed) else {
            return nil
        }
        if first.recordCount > 0 {
            let records = header + BatchHeader.size
            let sum = Checksum.of(records, first.recordCount * RecordFormat.size, seed: seed)
            return sum == first.recordsChecksum ? seed : nil
        }
        return first.recordsChecksum == seed ? seed : nil
    }
}

extension Checksum {
    /// What a checksum started from that is `sum` behind `bytes`.
    static func seed(before bytes: UnsafeRawBufferPointer, sum: UInt32) -> UInt32 {
        let polynomial: UInt32 = 0x82F6_3B78
        var state = ~sum
        for byte in bytes.reversed() {
            for _ in 0..<8 {
                // The polynomial's top bit is set, so the top bit says whether it was added.
                state = state & 0x8000_0000 != 0 ? (state ^ polynomial) << 1 | 1 : state << 1
            }
            state ^= UInt32(byte)
        }
        return ~state
    }
}
