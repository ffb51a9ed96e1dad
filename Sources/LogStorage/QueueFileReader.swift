import Base
import Glibc

/// Finds messages in one queue file.
///
/// Every 64 KiB or so the place of a message is remembered, as far as was read: so a file opens
/// without being read, and no message is far from a known place.
struct QueueFileReader {
    private let file: any DiskFile
    private let seed: UInt32
    /// Rising in both; the first message is the first entry.
    private var index: [(sequence: UInt64, offset: Int)]
    /// Behind the message that was last read: pages are read in order.
    private var last: (sequence: UInt64, end: Int)
    /// When it was last used, by the reader's count.
    var usedAt: UInt64 = 0

    private static let indexStep = 64 << 10

    init(queue: UInt32, first: UInt64, storeID: UInt64, _ disk: any Disk) throws(DiskError) {
        let path = StorePath.queueFile(queue, first: first)
        file = try disk.open(path, .existing)
        let header = QueueFileHeader(storeID: storeID, queue: queue, first: first)
        let found = try file.contents(limit: QueueFileHeader.size).withUnsafeBytes { QueueFileHeader($0) }
        if found != header {
            throw DiskError("reading", path, code: EIO, detail: "its header is damaged or of another file")
        }
        seed = header.seed
        index = [(first, QueueFileHeader.size)]
        last = (0, QueueFileHeader.size)
    }

    /// Adds message `sequence` to the page, or the reason why it cannot be read. Only the first
    /// `limit` bytes of the file count.
    mutating func read(
        _ sequence: UInt64, limit: Int, _ window: inout Window, into filling: inout Filling
    ) throws(DiskError) {
        var offset = place(before: sequence)
        if filling.endsHere(unless: window.holds(offset, StoredHead.size)) { return }
        while let (head, found) = try nextHead(from: offset, limit: limit, &window, ahead: filling.readAhead) {
            remember(head.sequence, found)
            if head.sequence > sequence { break }
            if head.sequence < sequence {
                offset = found + head.diskBytes
                continue
            }
            if !filling.hasRoom(for: head.length) { return }
            let start = found + StoredHead.size
            if filling.endsHere(unless: window.holds(start, head.length)) { return }
            let content = try window.bytes(start, head.length, of: file, ahead: min(limit - start, filling.readAhead))
            last = (sequence, found + head.diskBytes)
            filling.add(head, content, window, file.path, at: found)
            return
        }
        filling.fail(
            at: sequence, "\(file.path) is damaged near offset \(offset): message \(sequence) is not found there")
    }

    private func place(before sequence: UInt64) -> Int {
        var low = 0
        var high = index.count
        while low < high {
            let middle = (low + high) / 2
            if index[middle].sequence <= sequence { low = middle + 1 } else { high = middle }
        }
        let known = index[max(0, low - 1)].offset
        return last.sequence < sequence ? max(known, last.end) : known
    }

    private mutating func remember(_ sequence: UInt64, _ offset: Int) {
        if let last = index.last, offset >= last.offset + Self.indexStep, sequence > last.sequence {
            index.append((sequence, offset))
        }
    }

    /// The first undamaged head at or behind `offset`. After damage the next head is found by its
    /// checksum, which says that it belongs to this file.
    private func nextHead(
        from offset: Int, limit: Int, _ window: inout Window, ahead: Int
    ) throws(DiskError) -> (StoredHead, Int)? {
        var at = offset
        while at + StoredHead.size <= limit {
            let bytes = try window.bytes(at, StoredHead.size, of: file, ahead: min(limit - at, ahead))
            if let head = StoredHead(bytes.baseAddress.unsafelyUnwrapped, seed: seed), head.diskBytes <= limit - at {
                return (head, at)
            }
            at += StoredHead.alignment
        }
        return nil
    }
}
