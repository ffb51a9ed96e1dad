/// Reads the synced batches of one journal segment again, a slice at a time.
struct SegmentCheck {
    struct Damage: Equatable {
        var offset: Int
        var problem: String
        /// The queues whose records are hit; empty if that cannot be read.
        var queues: [UInt32] = []
    }

    let use: SegmentUse
    /// Batches behind this one may still be being written.
    private let last: UInt64
    private(set) var damage: Damage?
    private(set) var isDone = false
    private var offset = 0
    private var sequence: UInt64

    init(_ use: SegmentUse, through last: UInt64) {
        self.use = use
        self.last = last
        sequence = use.firstSequence
    }

    /// Goes on for about `budget` bytes, but one batch at least; returns how many they were.
    mutating func slice(_ budget: Int, _ reader: inout SegmentReader) throws(DiskError) -> Int {
        let segment = use.segment
        let start = offset
        segment.file.dropCache(start..<start + budget + SegmentReader.windowSize)
        reader.open(segment.file, number: segment.number, seed: segment.seed, size: segment.size)
        while !isDone, offset - start < budget { try step(&reader) }
        segment.file.dropCache(start..<offset)
        reader.forget()
        return offset - start
    }

    private mutating func step(_ reader: inout SegmentReader) throws(DiskError) {
        let segment = use.segment
        if offset == 0 {
            offset = SegmentHeader.size
            let header = SegmentHeader(try reader.bytes(0, SegmentHeader.size))
            if header?.number == segment.number, header?.seed == segment.seed { return }
            return end(0, "the header is damaged")
        }
        if sequence > last {
            isDone = true
            return
        }
        guard let batch = try reader.header(at: offset), batch.sequence == sequence else {
            return end(offset, "batch \(sequence) is damaged")
        }
        if try reader.wholeRecords(of: batch) == nil {
            return end(offset, "batch \(sequence) is damaged", try reader.queues(in: batch) ?? [])
        }
        offset += batch.diskBytes
        sequence += 1
        if batch.isSeal { isDone = true }
    }

    /// Behind damage no batch can be told from what is left of an earlier use.
    private mutating func end(_ offset: Int, _ problem: String, _ queues: [UInt32] = []) {
        damage = Damage(offset: offset, problem: problem, queues: queues)
        isDone = true
    }
}
