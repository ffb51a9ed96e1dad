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
    private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    init(_ checkpoint: Checkpoint, _ ledger: Ledger, storeID: UInt64) {
        self.ledger = ledger
        self.storeID = storeID
        sequence = checkpoint.firstSequence
        highestDurable = checkpoint.applied
    }

    deinit { memory.deallocate() }

    static let advice = "Nothing was changed. Put the file back from a copy, or see docs/operations.md: "
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
                "the journal lacks message \(queue.placesEnd) of queue \(spoken(queue.name)), which the checkpoint says is there")
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
        let segment = Segment(number: header.number, file: found[index].file, seed: header.seed, size: found[index].size)
        segments.append(SegmentUse(segment: segment, firstSequence: sequence))
        try load(found[index])
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<segment.size])
        offset = SegmentHeader.size
        while let batch = BatchHeader(in: bytes, at: offset, segment: segment.number, seed: segment.seed),
            batch.sequence == sequence, Self.isWhole(batch, in: bytes, seed: segment.seed)
        {
            try apply(batch, in: bytes, segment)
            highestDurable = max(highestDurable, batch.durable)
            mending.note(sequence, segment, offset..<offset + batch.diskBytes)
            offset += batch.diskBytes
            sequence += 1
            replayedBytes += batch.diskBytes
            if batch.isSeal { return false }
        }
        try judgeEnd(of: found[index], segment, bytes, later: found[(index + 1)...])
        return true
    }

    /// The whole segment in `memory`, zeros where the file is too short.
    private mutating func load(_ found: FoundSegment) throws(StorageFailure) {
        if memory.count < found.size {
            memory.deallocate()
            memory = UnsafeMutableRawBufferPointer.allocate(byteCount: found.size, alignment: 64)
        }
        let target = UnsafeMutableRawBufferPointer(rebasing: memory[..<found.size])
        do throws(DiskError) {
            let got = try found.file.read(into: target, at: 0)
            if got < target.count, let base = target.baseAddress { memset(base + got, 0, target.count - got) }
        } catch {
            throw refusal("the journal cannot be read: \(error)")
        }
    }

    /// Whether records and payload are as they were written.
    private static func isWhole(_ batch: BatchHeader, in bytes: UnsafeRawBufferPointer, seed: UInt32) -> Bool {
        guard let base = bytes.baseAddress, hasWholeRecords(batch, in: bytes, seed: seed) else { return false }
        var source = base + batch.offset + BatchHeader.size
        let payload = source + batch.recordCount * RecordFormat.size
        for _ in 0..<batch.recordCount {
            guard let (record, checksum) = RecordFormat.decode(source) else { return false }
            if record.hasPayload {
                guard record.bytes <= UInt64(batch.payloadBytes),
                    Int(record.offset) + Int(record.bytes) <= batch.payloadBytes
                else { return false }
                if Checksum.of(payload + Int(record.offset), Int(record.bytes)) != checksum { return false }
            }
            source += RecordFormat.size
        }
        return true
    }

    private static func hasWholeRecords(_ batch: BatchHeader, in bytes: UnsafeRawBufferPointer, seed: UInt32) -> Bool {
        guard let base = bytes.baseAddress else { return false }
        let records = base + batch.offset + BatchHeader.size
        return Checksum.of(records, batch.recordCount * RecordFormat.size, seed: seed) == batch.recordsChecksum
    }

    private mutating func apply(
        _ batch: BatchHeader, in bytes: UnsafeRawBufferPointer, _ segment: Segment
    ) throws(StorageFailure) {
        guard let base = bytes.baseAddress else { return }
        var source = base + batch.offset + BatchHeader.size
        let payloadOffset = batch.offset + BatchHeader.size + batch.recordCount * RecordFormat.size
        let isKnown = batch.sequence <= ledger.applied
        for _ in 0..<batch.recordCount {
            guard let (record, checksum) = RecordFormat.decode(source) else { continue }
            let fits: Bool
            if isKnown {
                fits = ledger.locate(record, checksum: checksum, segment: segment.number, payload: payloadOffset)
            } else {
                fits = ledger.apply(record, checksum: checksum, segment: segment.number, payload: payloadOffset) { record in
                    Array(bytes[(payloadOffset + Int(record.offset))...].prefix(Int(record.bytes)))
                }
            }
            if !fits {
                throw refusal(
                    "\(segment.file.path) holds at offset \(batch.offset) a record of queue \(record.queue.rawValue) "
                        + "that does not follow what came before it")
            }
            source += RecordFormat.size
        }
        if !isKnown { ledger.applied = batch.sequence }
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
        of found: FoundSegment, _ segment: Segment, _ bytes: UnsafeRawBufferPointer, later: ArraySlice<FoundSegment>
    ) throws(StorageFailure) {
        let own = BatchHeader(in: bytes, at: offset, segment: segment.number, seed: segment.seed)
        let evidence = gather(segment, bytes)
        let known = max(evidence.highestDurable, highestDurable)
        if known >= sequence {
            throw refusal(
                "\(segment.file.path) is damaged at offset \(offset): batch \(sequence) cannot be read, though it was on "
                    + "disk when batch \(known) was\(concerned(own, bytes, segment.seed))")
        }
        if let own, own.sequence != sequence {
            throw refusal("\(segment.file.path) holds at offset \(offset) batch \(own.sequence) instead of \(sequence)")
        }
        for other in later {
            guard let path = try pathIfUsed(other) else { continue }
            throw refusal(
                "\(segment.file.path) is damaged at offset \(offset): batch \(sequence) cannot be read, but the log "
                    + "goes on in \(path)\(concerned(own, bytes, segment.seed))")
        }
        var end = evidence.end
        if found.header?.isRecycled == false { end = max(end, Self.endOfContents(bytes, from: offset)) }
        if Self.looksLikeBatch(bytes, at: offset, segment.number, sequence) { end = max(end, offset + BatchHeader.size) }
        if end > offset {
            mending.cut(segment, offset..<end)
            report.append(
                "\(segment.file.path): \(end - offset) bytes of unfinished batches at offset \(offset) are cut off; nothing in "
                    + "them was ever confirmed")
        } else if found.bytesOnDisk < segment.size {
            mending.cut(segment, offset..<offset)
            report.append("\(segment.file.path) was too short and is filled up to \(segment.size) bytes")
        }
    }

    private func gather(_ segment: Segment, _ bytes: UnsafeRawBufferPointer) -> Evidence {
        var evidence = Evidence(end: offset)
        var at = offset
        while at + BatchHeader.size <= bytes.count {
            if let batch = BatchHeader(in: bytes, at: at, segment: segment.number, seed: segment.seed) {
                evidence.highestDurable = max(evidence.highestDurable, batch.durable)
                evidence.end = max(evidence.end, at + batch.diskBytes)
            }
            at += BatchHeader.alignment
        }
        return evidence
    }

    /// The path of a segment in which a batch can be found.
    private func pathIfUsed(_ found: FoundSegment) throws(StorageFailure) -> String? {
        guard let header = found.header else { return nil }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: found.size, alignment: 64)
        defer { memory.deallocate() }
        let count: Int
        do throws(DiskError) { count = try found.file.read(into: memory, at: 0) } catch {
            throw refusal("the journal cannot be read: \(error)")
        }
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<count])
        var at = SegmentHeader.size
        while at + BatchHeader.size <= count {
            if BatchHeader(in: bytes, at: at, segment: header.number, seed: header.seed) != nil { return found.path }
            at += BatchHeader.alignment
        }
        return nil
    }

    /// Behind the last byte that is not zero; `start` if all are.
    private static func endOfContents(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        guard let base = bytes.baseAddress else { return start }
        var end = bytes.count
        while end - start >= 8, base.get64(end - 8) == 0 { end -= 8 }
        while end > start, bytes[end - 1] == 0 { end -= 1 }
        return end
    }

    /// Whether a header that is damaged was meant to be batch `sequence` here: stale bytes of an
    /// earlier use of the file agree in one of these at most.
    private static func looksLikeBatch(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, _ segment: UInt32, _ sequence: UInt64
    ) -> Bool {
        guard let base = bytes.baseAddress, bytes.count - offset >= BatchHeader.size else { return false }
        let header = base + offset
        return header.get32(24) == segment && header.get64(8) == sequence
            || header.get32(0) == BatchHeader.magic && (header.get32(24) == segment || header.get64(8) == sequence)
    }

    /// The queues that a damaged batch names, as the end of a sentence.
    private func concerned(_ batch: BatchHeader?, _ bytes: UnsafeRawBufferPointer, _ seed: UInt32) -> String {
        guard let batch, let base = bytes.baseAddress, Self.hasWholeRecords(batch, in: bytes, seed: seed) else {
            return "; which queues it concerns cannot be read"
        }
        var ids: Set<UInt32> = []
        for index in 0..<batch.recordCount {
            let source = base + batch.offset + BatchHeader.size + index * RecordFormat.size
            if let (record, _) = RecordFormat.decode(source) { ids.insert(record.queue.rawValue) }
        }
        let names = ids.sorted().prefix(8).map { id in ledger.queue(id).map { spoken($0.name) } ?? "number \(id)" }
        return "; it concerns the queues " + names.joined(separator: ", ") + (ids.count > 8 ? " and \(ids.count - 8) more" : "")
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
