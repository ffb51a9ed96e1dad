import BrokerCore
import Glibc

/// Reads the batches of a segment through a window, so that no segment is ever in memory as a whole.
///
/// Where a file is shorter than its segment should be, it reads as zeros.
struct SegmentReader: ~Copyable {
    private var file: (any DiskFile)?
    private var number: UInt32 = 0
    private var seed: UInt32 = 0
    private(set) var size = 0

    private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var start = 0
    private var count = 0
    /// The records of a batch whose payload is being read.
    private var kept = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// Bytes that were read from the disk.
    private(set) var bytesRead = 0

    static let windowSize = 1 << 20

    init() {}

    deinit {
        memory.deallocate()
        kept.deallocate()
    }

    /// From now on the batches of this segment are read.
    mutating func open(_ file: any DiskFile, number: UInt32, seed: UInt32, size: Int) {
        self.file = file
        self.number = number
        self.seed = seed
        self.size = size
        forget()
    }

    /// What was read may have changed.
    mutating func forget() {
        start = 0
        count = 0
    }

    /// `length` bytes at `offset`, both within the segment. Valid until the next call.
    mutating func bytes(_ offset: Int, _ length: Int) throws(DiskError) -> UnsafeRawBufferPointer {
        if offset < start || offset + length > start + count { try fill(offset, length) }
        return UnsafeRawBufferPointer(rebasing: memory[(offset - start)..<(offset - start + length)])
    }

    private mutating func fill(_ offset: Int, _ length: Int) throws(DiskError) {
        forget()
        let wanted = max(length, min(Self.windowSize, size - offset))
        if memory.count < wanted || memory.count > 4 * Self.windowSize && wanted <= Self.windowSize {
            memory.deallocate()
            memory = .allocate(byteCount: max(wanted, Self.windowSize), alignment: 64)
        }
        let target = UnsafeMutableRawBufferPointer(rebasing: memory[..<wanted])
        let got = try file?.read(into: target, at: offset) ?? 0
        bytesRead += got
        if got < wanted, let base = target.baseAddress { memset(base + got, 0, wanted - got) }
        start = offset
        count = wanted
    }

    /// The header at `offset`; nil if there is none, or it is damaged, or it belongs elsewhere, or it says
    /// more than the segment holds.
    mutating func header(at offset: Int) throws(DiskError) -> BatchHeader? {
        guard offset >= 0, size - offset >= BatchHeader.size else { return nil }
        let bytes = try bytes(offset, BatchHeader.size)
        return bytes.baseAddress.flatMap {
            BatchHeader($0, at: offset, segmentSize: size, segment: number, seed: seed)
        }
    }

    /// Goes through all places where a batch could begin, from `offset` on: calls with each place, what is there
    /// up to the next, and the batch whose header is there. Ends when `body` says false.
    mutating func eachBlock(
        from offset: Int, _ body: (Int, UnsafeRawBufferPointer, BatchHeader?) -> Bool
    ) throws(DiskError) {
        let step = BatchHeader.alignment
        var at = offset
        while at < size {
            let run = try bytes(at, min(size - at, Self.windowSize))
            var inside = 0
            while inside < run.count {
                let block = UnsafeRawBufferPointer(rebasing: run[inside..<min(inside + step, run.count)])
                var batch: BatchHeader?
                if block.count >= BatchHeader.size, let base = block.baseAddress {
                    batch = BatchHeader(base, at: at + inside, segmentSize: size, segment: number, seed: seed)
                }
                if !body(at + inside, block, batch) { return }
                inside += step
            }
            at += run.count
        }
    }

    /// The records of a batch, whatever its payload is; nil when they are damaged. Valid until the next call.
    mutating func records(of batch: BatchHeader) throws(DiskError) -> UnsafeRawBufferPointer? {
        let bytes = try bytes(batch.offset + BatchHeader.size, batch.recordCount * RecordFormat.size)
        return Checksum.of(bytes, seed: seed) == batch.recordsChecksum ? bytes : nil
    }

    /// The records of a batch that is as it was written, with all that they name. nil when it is not. Valid
    /// until the next call of this.
    mutating func wholeRecords(of batch: BatchHeader) throws(DiskError) -> UnsafeRawBufferPointer? {
        guard let found = try records(of: batch) else { return nil }
        if kept.count < found.count || kept.count > 4 * Self.windowSize && found.count <= Self.windowSize {
            kept.deallocate()
            kept = .allocate(byteCount: max(found.count, 4096), alignment: 64)
        }
        kept.copyMemory(from: found)
        let payload = batch.offset + BatchHeader.size + found.count
        for index in 0..<batch.recordCount {
            guard let (record, checksum) = RecordFormat.decode(UnsafeRawPointer(place(of: index))) else { return nil }
            if !record.hasPayload { continue }
            guard record.bytes <= UInt64(batch.payloadBytes),
                Int(record.offset) + Int(record.bytes) <= batch.payloadBytes
            else { return nil }
            if try sum(payload + Int(record.offset), Int(record.bytes)) != checksum { return nil }
        }
        return UnsafeRawBufferPointer(rebasing: kept[..<found.count])
    }

    /// The queues that the records of a batch name, rising; nil when these are damaged.
    mutating func queues(in batch: BatchHeader) throws(DiskError) -> [UInt32]? {
        guard let records = try records(of: batch) else { return nil }
        var ids: Set<UInt32> = []
        for index in 0..<batch.recordCount {
            guard let base = records.baseAddress else { break }
            if let (record, _) = RecordFormat.decode(base + index * RecordFormat.size) {
                ids.insert(record.queue.rawValue)
            }
        }
        return ids.sorted()
    }

    private func place(of index: Int) -> UnsafeMutableRawPointer {
        kept.baseAddress.unsafelyUnwrapped + index * RecordFormat.size
    }

    /// The checksum of bytes that need not fit into the window.
    private mutating func sum(_ offset: Int, _ length: Int) throws(DiskError) -> UInt32 {
        var sum: UInt32 = 0
        var at = offset
        while at < offset + length {
            // What is in the window already, or as much as one read gives.
            let isThere = at >= start && at < start + count
            let run = min(offset + length - at, isThere ? start + count - at : Self.windowSize)
            sum = Checksum.of(try bytes(at, run), seed: sum)
            at += run
        }
        return sum
    }
}
