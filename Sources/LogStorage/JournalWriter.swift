import Base
import BrokerCore
import Glibc
import Storage
import Synchronization

/// Puts batches at the end of the journal.
///
///     segment   | header | batch | batch | batch | seal |      the next: | header | batch ...
///                        `--- one write, one sync ---'
///
/// A commit never spans segments: the seal and all before it are synced before the next segment is
/// written to. So only the last commit, and the marker before it, can be torn.
struct JournalWriter: ~Copyable {
    private var segment: Segment
    /// Where the next batch goes.
    private var offset: Int
    /// The sequence that the next batch gets.
    private var sequence: UInt64
    /// All up to this sequence is known to be synced.
    private var durable: UInt64
    private var isSealed: Bool
    private var door: Door
    /// Where the part of the segment ends that was written before: a commit behind it changes the file's metadata,
    /// and its sync takes longer.
    private var written: Int
    private let zeros: UnsafeMutableRawBufferPointer

    /// Headers, records and small payloads of a commit; large payloads are written from their chunks.
    private var scratch = Buffer()
    private var pieces: [UnsafeRawBufferPointer] = []
    private var planned: [Planned] = []

    /// Payload pieces up to this size are cheaper to copy than to name in a vector.
    private static let copyLimit = 1024
    /// Zeros written behind a small commit where nothing was written before, for the next ones to write over.
    private static let aheadBytes = 256 << 10
    /// Larger commits do without: to them the metadata is little, and the zeros would be much.
    private static let aheadLimit = 64 << 10

    /// Where a batch of the commit lies, in the segment and in `scratch`.
    private struct Planned {
        var offset: Int
        var scratch: Int
    }

    init(segment: Segment, offset: Int, sequence: UInt64, isSealed: Bool, door: Door) {
        self.segment = segment
        self.offset = offset
        self.sequence = sequence
        durable = sequence - 1
        self.isSealed = isSealed
        self.door = door
        written = segment.isWritten ? segment.size : offset
        zeros = .allocate(byteCount: Self.aheadBytes, alignment: 4096)
        zeros.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { zeros.deallocate() }

    mutating func commit(_ batches: [Batch], from start: Int, to store: Store) throws(StorageFailure) -> Int {
        if start >= batches.count { return start }
        while true {
            if isSealed {
                if try !roll(store) { return start }
            }
            let began = offset
            let end = try plan(batches, from: start, store.settings)
            for index in start..<end { try encode(batches[index]) }
            if end < batches.count, !fits(batches[end], at: offset), store.hasReadySegment { seal() }
            if offset == began { return start }
            try writePending(isSynced: true, statistics: store)
            if end > start {
                try apply(batches, start..<end, store)
                return end
            }
        }
    }

    /// Marks the log as idle: a batch without records and without a sync, whose `durable` says that
    /// all before it is on disk. A damaged last batch can then be told from a torn one.
    /// Where there is no room for it, the seal does the same.
    mutating func mark(syncing: Bool, in store: Store) throws(StorageFailure) {
        scratch.clear()
        scratch.reserve(BatchHeader.size)
        if !isSealed {
            if offset + 2 * BatchHeader.size <= segment.size {
                encodeEmpty(flags: BatchHeader.idleFlag)
            } else if store.hasReadySegment {
                seal()
            }
        }
        try writePending(isSynced: syncing, statistics: nil)
    }

    // MARK: A commit

    private func fits(_ batch: Batch, at offset: Int, of segmentBytes: Int? = nil) -> Bool {
        let size = BatchHeader.diskBytes(records: batch.records.count, payload: batch.payloadBytes)
        return offset + size + BatchHeader.size <= segmentBytes ?? segment.size
    }

    /// Decides which batches go into this commit and where; returns the end. Makes room in `scratch`.
    private mutating func plan(
        _ batches: [Batch], from start: Int, _ settings: LogSettings
    ) throws(StorageFailure) -> Int {
        // Segments may have been smaller before a restart: the next one has the size that is set.
        let largest = max(segment.size, settings.segmentBytes)
        planned.removeAll(keepingCapacity: true)
        scratch.clear()
        var at = offset
        var needed = BatchHeader.size
        var end = start
        while end < batches.count {
            let batch = batches[end]
            guard fits(batch, at: SegmentHeader.size, of: largest) else {
                throw StorageFailure(
                    "a batch of \(batch.records.count) records and \(batch.payloadBytes) bytes does not fit in a "
                        + "journal segment of \(largest) bytes: raise segmentBytes or limit transactions")
            }
            if !fits(batch, at: at) { break }
            if at - offset >= settings.commitBytes { break }
            at += BatchHeader.diskBytes(records: batch.records.count, payload: batch.payloadBytes)
            needed += BatchHeader.size + BatchHeader.alignment + batch.records.count * RecordFormat.size
            for piece in batch.pieces where Int(piece.count) <= Self.copyLimit { needed += Int(piece.count) }
            end += 1
        }
        scratch.reserve(needed)
        return end
    }

    private mutating func encode(_ batch: Batch) throws(StorageFailure) {
        let start = scratch.count
        let head = UnsafeMutableRawPointer(scratch.room.baseAddress.unsafelyUnwrapped)
        let recordBytes = batch.records.count * RecordFormat.size
        var cursor = PieceCursor(batch)
        var target = head + BatchHeader.size
        for record in batch.records {
            var checksum: UInt32 = 0
            if record.hasPayload {
                guard let bytes = cursor.bytes(Int(record.offset), record.bytes) else {
                    throw StorageFailure("batch \(batch.number) names bytes that its payload does not hold")
                }
                checksum = Checksum.of(bytes)
            }
            try door.admit(record)
            RecordFormat.encode(record, checksum: checksum, to: target)
            target += RecordFormat.size
        }
        guard cursor.total == batch.payloadBytes else {
            throw StorageFailure("batch \(batch.number) says \(batch.payloadBytes) bytes but has \(cursor.total)")
        }
        var header = BatchHeader(
            sequence: sequence, durable: durable, segment: segment.number, offset: offset,
            recordCount: batch.records.count, payloadBytes: batch.payloadBytes)
        header.recordsChecksum = Checksum.of(head + BatchHeader.size, recordBytes, seed: segment.seed)
        header.encode(to: head, seed: segment.seed)
        scratch.written(BatchHeader.size + recordBytes)
        gather(from: start)
        for piece in batch.pieces where piece.count > 0 {
            if Int(piece.count) <= Self.copyLimit {
                let from = scratch.count
                scratch.append(piece.bytes)
                gather(from: from)
            } else {
                pieces.append(UnsafeRawBufferPointer(piece.bytes))
            }
        }
        pad(header.diskBytes - BatchHeader.size - recordBytes - batch.payloadBytes)
        planned.append(Planned(offset: offset, scratch: start))
        offset += header.diskBytes
        sequence += 1
    }

    /// Adds what was written to `scratch` from `start` on to the vectors, joined to the one before
    /// where that ends there. Memory of `scratch` does not move during a commit: `plan` made room.
    private mutating func gather(from start: Int) {
        let bytes = UnsafeRawBufferPointer(UnsafeBufferPointer(scratch.readable))
        let fresh = UnsafeRawBufferPointer(rebasing: bytes[start...])
        guard let base = fresh.baseAddress, fresh.count > 0 else { return }
        if let last = pieces.last, let lastBase = last.baseAddress, lastBase + last.count == base {
            pieces[pieces.count - 1] = UnsafeRawBufferPointer(start: lastBase, count: last.count + fresh.count)
        } else {
            pieces.append(fresh)
        }
    }

    private mutating func pad(_ count: Int) {
        if count == 0 { return }
        let start = scratch.count
        memset(scratch.room.baseAddress.unsafelyUnwrapped, 0, count)
        scratch.written(count)
        gather(from: start)
    }

    /// Ends this segment behind what is pending. Only when the next one is there, by name and on
    /// disk: so a log whose last segment is sealed has lost a file.
    private mutating func seal() {
        encodeEmpty(flags: BatchHeader.sealFlag)
        isSealed = true
    }

    private mutating func encodeEmpty(flags: UInt32) {
        let start = scratch.count
        var header = BatchHeader(
            sequence: sequence, durable: durable, segment: segment.number, offset: offset, flags: flags)
        // The checksum of no bytes is what it starts from.
        header.recordsChecksum = segment.seed
        header.encode(to: UnsafeMutableRawPointer(scratch.room.baseAddress.unsafelyUnwrapped), seed: segment.seed)
        scratch.written(BatchHeader.size)
        gather(from: start)
        offset += BatchHeader.size
        sequence += 1
    }

    private mutating func writePending(isSynced: Bool, statistics store: Store?) throws(StorageFailure) {
        let bytes = pieces.reduce(0) { $0 + $1.count }
        let at = offset - bytes
        if isSynced, bytes > 0, offset > written { writeAhead(bytes) }
        let began = Instant.now
        var written = began
        do throws(DiskError) {
            if bytes > 0 { try segment.file.write(pieces, at: at) }
            written = Instant.now
            if isSynced { try segment.file.syncData() }
        } catch {
            throw StorageFailure("the journal cannot be written: \(error)")
        }
        pieces.removeAll(keepingCapacity: true)
        if !isSynced { return }
        durable = sequence - 1
        guard let store else { return }
        let ended = Instant.now
        let took = (ended.nanoseconds - written.nanoseconds) / 1000
        store.pace.note(microseconds: (ended.nanoseconds - began.nanoseconds) / 1000)
        store.state.withLock { state in
            state.statistics.syncs += 1
            state.statistics.writtenBytes += UInt64(bytes)
            state.statistics.syncMicrosecondsMax = max(took, state.statistics.syncMicrosecondsMax * 1023 / 1024)
            let mean = state.statistics.syncMicrosecondsMean
            state.statistics.syncMicrosecondsMean = mean == 0 ? took : (mean * 15 + took) / 16
            state.bytesSinceCheckpoint += bytes
        }
    }

    /// What is pending reaches behind what was written before.
    private mutating func writeAhead(_ bytes: Int) {
        let ahead = bytes > Self.aheadLimit ? 0 : min(Self.aheadBytes, segment.size - offset)
        if ahead > 0 { pieces.append(UnsafeRawBufferPointer(rebasing: zeros[..<ahead])) }
        written = offset + ahead
    }

    /// Goes on in the next segment. False if none is ready.
    private mutating func roll(_ store: Store) throws(StorageFailure) -> Bool {
        let first = sequence
        guard let ready = store.state.withLock({ $0.ready }) else { return false }
        if durable != sequence - 1 {
            // The seal was written as an idle marker: it must be on disk before anything behind it.
            try writePending(isSynced: true, statistics: store)
        }
        store.state.withLock { state in
            state.segments.append(SegmentUse(segment: ready, firstSequence: first))
            state.syncedEnd = SegmentHeader.size
            state.ready = nil
        }
        segment = ready
        offset = SegmentHeader.size
        written = segment.isWritten ? segment.size : offset
        isSealed = false
        return true
    }

    /// What was synced becomes the durable state.
    private func apply(_ batches: [Batch], _ range: Range<Int>, _ store: Store) throws(StorageFailure) {
        let base = UnsafeRawPointer(UnsafePointer(scratch.readable.baseAddress.unsafelyUnwrapped))
        let number = segment.number
        let last = durable
        let fits = store.state.withLock { state in
            var fits = true
            var messages = 0
            for index in range {
                let batch = batches[index]
                let place = planned[index - range.lowerBound]
                var source = base + place.scratch + BatchHeader.size
                let payload = place.offset + BatchHeader.size + batch.records.count * RecordFormat.size
                for record in batch.records {
                    let applied = state.ledger.apply(
                        record, checksum: source.get32(36), segment: number, payload: payload
                    ) { record in
                        var cursor = PieceCursor(batch)
                        return cursor.bytes(Int(record.offset), record.bytes).map(Array.init) ?? []
                    }
                    fits = fits && applied
                    if record.kind == .append { messages += 1 }
                    if record.kind == .settle { state.noteShrunk(record.queue.rawValue) }
                    source += RecordFormat.size
                }
            }
            state.ledger.applied = last
            state.syncedEnd = offset
            state.segments[state.segments.count - 1].messages += messages
            state.statistics.batches += UInt64(range.count)
            return fits
        }
        if !fits { throw StorageFailure("a record passed the door that does not fit: this is a bug of the broker") }
    }
}

extension StoreState {
    /// Something of the queue was settled: one of its files may be of no use now.
    @inline(__always) mutating func noteShrunk(_ id: UInt32) {
        guard let slot = ledger.slot(of: id), !ledger.queues[slot].files.isEmpty else { return }
        shrunk.insert(id)
    }
}

/// Finds the bytes that records name in the pieces of a batch. Records usually name them in order.
struct PieceCursor {
    private let pieces: [Slice]
    private var index = 0
    private var start = 0
    /// Bytes in all pieces.
    let total: Int

    init(_ batch: Batch) {
        pieces = batch.pieces
        total = batch.pieces.reduce(0) { $0 + Int($1.count) }
    }

    /// nil when they lie outside, or across two pieces.
    @inline(__always) mutating func bytes(_ offset: Int, _ count: UInt64) -> UnsafeRawBufferPointer? {
        guard count <= UInt64(Batch.payloadLimit) else { return nil }
        if offset < start {
            index = 0
            start = 0
        }
        while index < pieces.count {
            let length = Int(pieces[index].count)
            if offset < start + length || (count == 0 && offset == start + length) {
                let inside = offset - start
                guard inside + Int(count) <= length else { return nil }
                return UnsafeRawBufferPointer(
                    rebasing: UnsafeRawBufferPointer(pieces[index].bytes)[inside..<inside + Int(count)])
            }
            start += length
            index += 1
        }
        return count == 0 ? UnsafeRawBufferPointer(start: nil, count: 0) : nil
    }
}

/// Lets into the journal only what replay will accept. A record that does not fit is a bug above us;
/// found here it stops the broker, found at the next start it would keep it from starting.
struct Door: Sendable {
    private var nexts: [UInt32: UInt64]
    private var nextQueueID: UInt32
    private var recentID: UInt32 = .max
    private var recentNext: UInt64 = 0

    init(_ ledger: Ledger) {
        nexts = [:]
        for id in ledger.ids { nexts[id] = ledger.queue(id)?.next ?? 1 }
        nextQueueID = ledger.nextQueueID
    }

    @inline(__always) mutating func admit(_ record: Record) throws(StorageFailure) {
        let id = record.queue.rawValue
        switch record.kind {
        case .append:
            if id != recentID { turn(to: id) }
            guard record.sequence == recentNext, recentNext > 0, UInt64(record.headerBytes) <= record.bytes else {
                throw refusal(record)
            }
            recentNext &+= 1
        case .settle, .remember, .forget:
            return
        case .attempt:
            if record.attempt == nil { throw refusal(record) }
        case .note:
            let limit = id == 0 ? Record.brokerNoteLimit : Record.noteLimit
            if record.bytes > UInt64(limit) {
                throw StorageFailure(
                    "a note on queue \(id) has \(record.bytes) bytes, more than \(limit): this is a bug of the broker")
            }
        case .createQueue:
            guard id >= nextQueueID, id < .max else { throw refusal(record) }
            nextQueueID = id + 1
            nexts[id] = 1
        case .deleteQueue:
            if id == recentID {
                recentID = .max
                recentNext = 0
            }
            nexts[id] = nil
        }
    }

    private mutating func turn(to id: UInt32) {
        if recentID != .max { nexts[recentID] = recentNext }
        recentNext = nexts[id] ?? 0
        recentID = recentNext == 0 ? .max : id
    }

    private func refusal(_ record: Record) -> StorageFailure {
        StorageFailure(
            "a record of kind \(record.kind) for queue \(record.queue.rawValue), sequence \(record.sequence), does "
                + "not follow what came before it (expected \(recentNext)): this is a bug of the broker")
    }
}
