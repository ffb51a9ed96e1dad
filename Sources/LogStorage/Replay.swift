import BrokerCore
import Glibc
import Storage

/// A segment file as it was found.
struct FoundSegment {
    var number: UInt32
    var path: String
    /// nil when damaged or cut short.
    var header: SegmentHeader?
    var file: any DiskFile
    var bytesOnDisk: Int

    var size: Int { header.map { Int(truncatingIfNeeded: $0.segmentBytes) } ?? 0 }
}

/// Reads the journal from the checkpoint on, and decides what the first unreadable place means.
///
/// The rule (promise 5). Every batch says up to which batch the log was known to be on disk when it
/// was written (`durable`); so does the checkpoint. Let *n* be the first batch that is not there
/// whole, and *w* the highest such word found anywhere: behind *n*, in later segments, in the
/// checkpoint.
///
///     w >= n    batch n had been synced, so it was damaged later: corruption. Nothing is changed.
///     w <  n    nobody was ever told that n is safe: a torn tail. It is saved, cut, and said so.
///
/// `run` only reads. What has to be changed it leaves to `Mending`, so that a refused start changes
/// nothing.
struct Replay: ~Copyable {
    private(set) var ledger: Ledger
    private(set) var report: [String] = []
    /// In use, oldest first; the log ends in the last one.
    private(set) var segments: [SegmentUse] = []
    /// Where the log ends in the last segment.
    private(set) var offset = SegmentHeader.size
    /// The sequence that the next batch gets.
    private(set) var sequence: UInt64
    private(set) var replayedBytes = 0
    private(set) var mending = Mending()
    /// Files behind the end of the log without a batch in them.
    private(set) var unused: ArraySlice<FoundSegment> = []

    private let storeID: UInt64
    /// The highest batch that is known to have been synced.
    private var highestDurable: UInt64
    private var reader = SegmentReader()

    init(_ checkpoint: Checkpoint, _ ledger: Ledger, storeID: UInt64) {
        self.ledger = ledger
        self.storeID = storeID
        sequence = checkpoint.firstSequence
        highestDurable = checkpoint.applied
    }

    static let advice =
        "Nothing was changed. Put the file back from a copy, or see docs/operations.md: "
        + "`brokerctl store check` tells what is there and what a repair would lose."

    private func refusal(_ sentence: String) -> StorageFailure { StorageFailure("\(sentence). \(Self.advice)") }

    /// Replays segments sorted by number, of which the first is `first`.
    mutating func run(_ found: [FoundSegment], first: UInt32) throws(StorageFailure) {
        try check(found, first)
        var index = 0
        while try !replaySegment(found, index) { index += 1 }
        unused = found[(index + 1)...]
        if let queue = ledger.queueWithMissingMessages() {
            throw refusal(
                "the journal lacks message \(queue.placesEnd) of queue \(spoken(queue.name)), "
                    + "which the checkpoint says is there"
            )
        }
        mending.keepUnproven(above: highestDurable)
    }

    /// Numbers without gaps, and headers that say the same. The last may be without a header: it
    /// counts as never made, unless the seal of the one before says otherwise.
    private func check(_ found: [FoundSegment], _ first: UInt32) throws(StorageFailure) {
        if found.isEmpty { throw refusal("\(StorePath.segment(first)) is missing") }
        for (index, segment) in found.enumerated() {
            let expected = UInt64(first) + UInt64(index)
            if UInt64(segment.number) != expected {
                throw refusal("\(StorePath.segment(UInt32(truncatingIfNeeded: expected))) is missing")
            }
            guard let header = segment.header else {
                if index > 0, index == found.count - 1 { continue }
                throw refusal("\(segment.path) is damaged at offset 0: its header cannot be read")
            }
            if header.number != segment.number {
                throw refusal("\(segment.path) is in the wrong place: it is segment \(header.number)")
            }
            if header.storeID != storeID { throw refusal("\(segment.path) belongs to another store") }
            if segment.size < SegmentHeader.size || segment.size > JournalPlace.offsetLimit {
                throw refusal("\(segment.path) says that it has \(segment.size) bytes")
            }
        }
    }

    // MARK: One segment

    /// True when the log ends in it.
    private mutating func replaySegment(_ found: [FoundSegment], _ index: Int) throws(StorageFailure) -> Bool {
        guard index < found.count, let header = found[index].header else {
            let path = index < found.count ? found[index].path : StorePath.segment(found[index - 1].number &+ 1)
            throw refusal("\(path) is missing or empty, but the segment before it says that the log goes on there")
        }
        let segment = Segment(
            number: header.number, file: found[index].file, seed: header.seed, size: found[index].size,
            isWritten: header.isRecycled)
        segments.append(SegmentUse(segment: segment, firstSequence: sequence))
        reader.open(segment.file, number: segment.number, seed: segment.seed, size: segment.size)
        offset = SegmentHeader.size
        while let batch = try nextHeader(), batch.sequence == sequence, try apply(batch, segment) {
            highestDurable = max(highestDurable, batch.durable)
            mending.note(sequence, segment, offset..<offset + batch.diskBytes, durable: highestDurable)
            offset += batch.diskBytes
            sequence += 1
            replayedBytes += batch.diskBytes
            if batch.isSeal { return false }
        }
        try judgeEnd(of: found[index], segment, later: found[(index + 1)...])
        return true
    }

    private mutating func reading<Result>(
        _ body: (inout SegmentReader) throws(DiskError) -> Result
    ) throws(StorageFailure) -> Result {
        do throws(DiskError) { return try body(&reader) } catch {
            throw refusal("the journal cannot be read: \(error)")
        }
    }

    private mutating func nextHeader() throws(StorageFailure) -> BatchHeader? {
        let offset = offset
        return try reading { (reader) throws(DiskError) in try reader.header(at: offset) }
    }

    /// False, having done nothing, when the batch is not as it was written.
    private mutating func apply(_ batch: BatchHeader, _ segment: Segment) throws(StorageFailure) -> Bool {
        let found = try reading { (reader) throws(DiskError) in try reader.wholeRecords(of: batch) }
        guard let found else { return false }
        let payload = batch.offset + BatchHeader.size + found.count
        let isKnown = batch.sequence <= ledger.applied
        for index in 0..<batch.recordCount {
            guard let base = found.baseAddress,
                let (record, checksum) = RecordFormat.decode(base + index * RecordFormat.size)
            else { continue }
            if record.kind == .append { segments[segments.count - 1].messages += 1 }
            let fits: Bool
            if isKnown {
                fits = ledger.locate(record, checksum: checksum, segment: segment.number, payload: payload)
            } else {
                // Names and notes are the only bytes that the ledger keeps.
                let isWanted = record.hasPayload && record.kind != .append
                let bytes = isWanted ? try self.bytes(payload + Int(record.offset), Int(record.bytes)) : []
                fits = ledger.apply(record, checksum: checksum, segment: segment.number, payload: payload) { _ in bytes
                }
            }
            if !fits {
                throw refusal(
                    "\(segment.file.path) holds at offset \(batch.offset) a record of queue \(record.queue.rawValue) "
                        + "that does not follow what came before it")
            }
        }
        if !isKnown { ledger.applied = batch.sequence }
        return true
    }

    private mutating func bytes(_ offset: Int, _ count: Int) throws(StorageFailure) -> [UInt8] {
        try reading { (reader) throws(DiskError) in Array(try reader.bytes(offset, count)) }
    }

    // MARK: The end

    /// What can be read behind the end of the log.
    private struct Evidence {
        var highestDurable: UInt64 = 0
        /// Behind the last thing that was written in this use of the segment.
        var end: Int
    }

    /// No batch `sequence` can be read at `offset`: the end of the log, a torn tail, or damage.
    private mutating func judgeEnd(
        of found: FoundSegment, _ segment: Segment, later: ArraySlice<FoundSegment>
    ) throws(StorageFailure) {
        let own = try nextHeader()
        let looks = try looksLikeBatch(segment.number)
        let evidence = try gather(isRecycled: found.header?.isRecycled ?? true)
        let known = max(evidence.highestDurable, highestDurable)
        if known >= sequence {
            throw refusal(
                "\(segment.file.path) is damaged at offset \(offset): batch \(sequence) cannot be read, though it was "
                    + "on disk when batch \(known) was\(try concerned(own))")
        }
        if let own, own.sequence != sequence {
            throw refusal("\(segment.file.path) holds at offset \(offset) batch \(own.sequence) instead of \(sequence)")
        }
        for other in later {
            guard let path = try pathIfUsed(other) else { continue }
            throw refusal(
                "\(segment.file.path) is damaged at offset \(offset): batch \(sequence) cannot be read, but the log "
                    + "goes on in \(path)\(try concerned(own))")
        }
        let end = looks ? max(evidence.end, offset + BatchHeader.size) : evidence.end
        if end > offset {
            mending.cut(segment, offset..<end)
            report.append(
                "\(segment.file.path): \(end - offset) bytes of unfinished batches at offset \(offset) are cut off; "
                    + "nothing in them was ever confirmed")
        } else if found.bytesOnDisk < segment.size {
            mending.cut(segment, offset..<offset)
            report.append("\(segment.file.path) was too short and is filled up to \(segment.size) bytes")
        }
    }

    /// Looks at all from `offset` to the end of the segment. In a file that was not used before, every byte
    /// that is not zero was written by us.
    private mutating func gather(isRecycled: Bool) throws(StorageFailure) -> Evidence {
        var evidence = Evidence(end: offset)
        let start = offset
        try reading { (reader) throws(DiskError) in
            try reader.eachBlock(from: start) { at, block, batch in
                if let batch {
                    evidence.highestDurable = max(evidence.highestDurable, batch.durable)
                    evidence.end = max(evidence.end, at + batch.diskBytes)
                }
                if isRecycled { return true }
                let end = Self.endOfContents(block)
                if end > 0 { evidence.end = max(evidence.end, at + end) }
                return true
            }
        }
        return evidence
    }

    /// The path of a segment in which a batch can be found.
    private mutating func pathIfUsed(_ found: FoundSegment) throws(StorageFailure) -> String? {
        guard let header = found.header else { return nil }
        var other = SegmentReader()
        other.open(found.file, number: header.number, seed: header.seed, size: found.size)
        var isUsed = false
        do throws(DiskError) {
            try other.eachBlock(from: SegmentHeader.size) { _, _, batch in
                isUsed = batch != nil
                return !isUsed
            }
        } catch {
            throw refusal("the journal cannot be read: \(error)")
        }
        return isUsed ? found.path : nil
    }

    /// Behind the last byte that is not zero; 0 if all are.
    private static func endOfContents(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        var end = bytes.count
        while end >= 8, base.get64(end - 8) == 0 { end -= 8 }
        while end > 0, bytes[end - 1] == 0 { end -= 1 }
        return end
    }

    /// Whether a header that is damaged was meant to be batch `sequence` at `offset`: stale bytes of an
    /// earlier use of the file agree in one of these at most.
    private mutating func looksLikeBatch(_ segment: UInt32) throws(StorageFailure) -> Bool {
        if reader.size - offset < BatchHeader.size { return false }
        let offset = offset
        let header = try bytes(offset, BatchHeader.size)
        return header.withUnsafeBytes { header in
            guard let base = header.baseAddress else { return false }
            return base.get32(24) == segment && base.get64(8) == sequence
                || base.get32(0) == BatchHeader.magic && (base.get32(24) == segment || base.get64(8) == sequence)
        }
    }

    /// The queues that a damaged batch names, as the end of a sentence.
    private mutating func concerned(_ batch: BatchHeader?) throws(StorageFailure) -> String {
        let ids = try batch.flatMap { (batch) throws(StorageFailure) in
            try reading { (reader) throws(DiskError) in try reader.queues(in: batch) }
        }
        guard let ids else { return "; which queues it concerns cannot be read" }
        let names = ids.prefix(8).map { id in ledger.queue(id).map { spoken($0.name) } ?? "number \(id)" }
        return "; it concerns the queues " + names.joined(separator: ", ")
            + (ids.count > 8 ? " and \(ids.count - 8) more" : "")
    }
}

/// A queue's name for a sentence: bounded, and nothing in it that a terminal would act on.
func spoken(_ name: [UInt8]) -> String {
    var text = "\""
    for scalar in String(decoding: name.prefix(120), as: UTF8.self).unicodeScalars {
        let isPlain = scalar.value >= 0x20 && scalar.value < 0x7F && scalar != "\"" && scalar != "\\"
        text += isPlain ? String(scalar) : "\\u{\(String(scalar.value, radix: 16))}"
    }
    return text + (name.count > 120 ? "...\"" : "\"")
}
