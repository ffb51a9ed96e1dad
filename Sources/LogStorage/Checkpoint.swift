import Base
import BrokerCore

/// What a checkpoint is made of. Taken under the store's lock; commits go on while it is written down.
struct CheckpointMoment: Sendable {
    let checkpoint: Checkpoint
    let ledger: Ledger

    init(_ state: borrowing StoreState, storeID: UInt64, number: UInt64) {
        let first = state.segments[0]
        ledger = state.ledger.withoutPlaces
        checkpoint = Checkpoint(
            storeID: storeID, firstSegment: first.segment.number, firstSequence: first.firstSequence,
            applied: ledger.applied, number: number)
    }

    var encoded: [UInt8] { checkpoint.encoded(ledger) }
}

/// The durable state at one batch, so that the journal before it is not needed.
///
///     0       8         12    16       24        32              36           40               48        56       60            64        72
///     | magic | version | CRC | length | storeID | first segment | next queue | first sequence | applied | queues | note length | number |
///     | note on the broker, zeros to a multiple of 8 |
///     then for each queue, rising by id:
///     | id 4 | name length 4 | head 8 | next 8 | located 8 | live bytes 8 | attempts 4 | pages 4 | files 4 |
///     | note length 4 | remembered ids 4 | 0 4 |
///     | name, zeros to a multiple of 8 | note, zeros to a multiple of 8 |
///     | attempts: sequence 8, count 4, verdict 4, not before 8 | pages: number 8, kind 8, words 512 if kind is 0 |
///     | files: first 8, last 8, bytes 8, messages 4, checksum 4, kind 4, 0 4 |
///     | ids: high 8, low 8, second 4; zeros to a multiple of 8 |
///
/// The CRC covers all behind it and starts from the version. There are two copies, see `CheckpointCopies`.
/// Version 2 has no number, and ends a file behind its bytes. Version 1 has besides zeros for the lengths of
/// notes, ends a queue's numbers behind that, has 16 bytes for an attempt (sequence 8, count 8), and no notes
/// and no ids.
struct Checkpoint: Equatable {
    static let headerSize = 72
    static let magic: UInt64 = 0x3154_504B_434B_5242  // "BRKCKPT1"
    /// A checkpoint larger than this is not believed: 4 GiB.
    static let sizeLimit = 1 << 32

    var storeID: UInt64
    /// Replay starts with this segment; none before it is needed.
    var firstSegment: UInt32
    /// Sequence of the first batch of that segment.
    var firstSequence: UInt64
    /// What all batches up to this sequence say is contained.
    var applied: UInt64
    /// Counts the checkpoints of the store: of two copies the one with the higher number is the newer.
    var number: UInt64 = 0
    var version = FormatVersion.current

    enum Damage: Error {
        case newer(UInt32)
        case damaged
    }

    func encoded(_ ledger: Ledger) -> [UInt8] {
        var writer = FileFront.begin(Self.magic)
        let ids = ledger.ids
        let remembered = ledger.queues.reduce(0) { $0 + $1.remembered.encoded.count }
        writer.bytes.reserveCapacity(Self.headerSize + ids.count * 128 + remembered)
        writer.put(UInt64(0))
        writer.put(storeID)
        writer.put(firstSegment)
        writer.put(ledger.nextQueueID)
        writer.put(firstSequence)
        writer.put(applied)
        writer.put(UInt32(ids.count))
        writer.put(UInt32(ledger.note.count))
        writer.put(number)
        writer.put(ledger.note)
        writer.pad(to: 8)
        for id in ids {
            if let queue = ledger.queue(id) { Self.put(queue, into: &writer) }
        }
        let length = UInt64(writer.bytes.count)
        writer.bytes.withUnsafeMutableBytes { $0.baseAddress?.put64(length, 16) }
        FileFront.seal(&writer)
        return writer.bytes
    }

    private static func put(_ queue: QueueLedger, into writer: inout ByteWriter) {
        var pages: [(UInt64, [UInt64])] = []
        queue.settled.forEachPage { pages.append(($0, $1)) }
        writer.put(queue.id)
        writer.put(UInt32(queue.name.count))
        writer.put(queue.head)
        writer.put(queue.next)
        writer.put(queue.located)
        writer.put(queue.liveBytes)
        writer.put(UInt32(queue.attempts.count))
        writer.put(UInt32(pages.count))
        writer.put(UInt32(queue.files.count))
        writer.put(UInt32(queue.note.count))
        writer.put(UInt32(queue.remembered.count))
        writer.put(UInt32(0))
        writer.put(queue.name)
        writer.pad(to: 8)
        writer.put(queue.note)
        writer.pad(to: 8)
        for (sequence, attempt) in queue.attempts.sorted(by: { $0.key < $1.key }) {
            writer.put(sequence)
            writer.put(attempt.count)
            writer.put(UInt32(attempt.verdict.rawValue))
            writer.put(attempt.notBefore)
        }
        for (number, words) in pages {
            writer.put(number)
            writer.put(UInt64(words.isEmpty ? 1 : 0))
            for word in words { writer.put(word) }
        }
        for file in queue.files {
            writer.put(file.first)
            writer.put(file.last)
            writer.put(UInt64(file.bytes))
            writer.put(file.messages)
            writer.put(file.checksum)
            writer.put(file.kind.rawValue)
            writer.put(UInt32(0))
        }
        writer.bytes.append(contentsOf: queue.remembered.encoded)
        writer.pad(to: 8)
    }

    /// What stands at its front, if the whole is undamaged: enough to choose between two.
    static func front(_ bytes: [UInt8]) throws(Damage) -> Checkpoint { try takeFront(bytes).checkpoint }

    /// Whether a file is an undamaged checkpoint of this store, without reading it into memory.
    static func isWhole(
        _ file: any DiskFile, size: Int, storeID: UInt64, _ window: inout Window
    ) throws(DiskError) -> Bool {
        if size < 64 { return false }
        let front = Array(try window.bytes(0, 64, of: file, ahead: size))
        let (found, version, sum) = front.withUnsafeBytes { bytes in
            let base = bytes.baseAddress.unsafelyUnwrapped
            let isOurs = base.get64(0) == magic && base.get64(16) == UInt64(size) && base.get64(24) == storeID
            return (isOurs, base.get32(8), base.get32(12))
        }
        guard found, FormatVersion.isKnown(version) else { return false }
        var checksum = FormatVersion.checksumStart(version)
        var at = 16
        while at < size {
            let bytes = try window.bytes(at, min(size - at, Window.size), of: file, ahead: size - at)
            checksum = Checksum.of(bytes, seed: checksum)
            at += bytes.count
        }
        return checksum == sum
    }

    private struct Front {
        var checkpoint: Checkpoint
        var nextQueueID: UInt32
        var queues: UInt32
        var noteLength: UInt32
        /// Behind it.
        var reader: ByteReader
    }

    private static func takeFront(_ bytes: [UInt8]) throws(Damage) -> Front {
        var reader = ByteReader(bytes)
        guard let magic = reader.take64(), magic == Self.magic, let version = reader.take32(),
            let sum = reader.take32(), version >= FormatVersion.oldest,
            sum == FormatVersion.checksum(ofFile: bytes, version: version)
        else { throw .damaged }
        // The file `store` is looked at first, and says which version there may be. So one that is newer here
        // is believed only if all of it is undamaged.
        if version > FormatVersion.current { throw .newer(version) }
        guard reader.take64() == UInt64(bytes.count),
            let storeID = reader.take64(), let firstSegment = reader.take32(),
            firstSegment < StorePath.segmentNumberLimit, let nextQueueID = reader.take32(),
            let firstSequence = reader.take64(), let applied = reader.take64(), let count = reader.take32(),
            let noteLength = reader.take32()
        else { throw .damaged }
        var checkpoint = Checkpoint(
            storeID: storeID, firstSegment: firstSegment, firstSequence: firstSequence, applied: applied,
            version: version)
        if version >= FormatVersion.withCopies {
            guard let number = reader.take64() else { throw .damaged }
            checkpoint.number = number
        }
        return Front(
            checkpoint: checkpoint, nextQueueID: nextQueueID, queues: count, noteLength: noteLength, reader: reader)
    }

    /// The checkpoint and the state that it holds.
    static func decode(_ bytes: [UInt8]) throws(Damage) -> (Checkpoint, Ledger) {
        let front = try takeFront(bytes)
        let version = front.checkpoint.version
        var reader = front.reader
        var ledger = Ledger()
        if version > 1 {
            guard let note = takeNote(front.noteLength, limit: Record.brokerNoteLimit, from: &reader) else {
                throw .damaged
            }
            ledger.note = note
        }
        for _ in 0..<front.queues {
            guard let queue = takeQueue(from: &reader, version), queue.id < front.nextQueueID,
                ledger.queue(queue.id) == nil
            else { throw .damaged }
            ledger.add(queue)
        }
        if reader.left != 0 { throw .damaged }
        ledger.nextQueueID = front.nextQueueID
        ledger.applied = front.checkpoint.applied
        return (front.checkpoint, ledger)
    }

    private static func takeNote(_ length: UInt32, limit: Int, from reader: inout ByteReader) -> [UInt8]? {
        guard length <= limit, let note = reader.take(Int(length)) else { return nil }
        reader.skipPadding(to: 8)
        return note
    }

    private static func takeQueue(from reader: inout ByteReader, _ version: UInt32) -> QueueLedger? {
        guard let id = reader.take32(), let nameLength = reader.take32(), let head = reader.take64(),
            let next = reader.take64(), let located = reader.take64(), let liveBytes = reader.take64(),
            let attemptCount = reader.take32(), let pageCount = reader.take32(), let fileCount = reader.take32(),
            let noteLength = reader.take32()
        else { return nil }
        var idCount: UInt32 = 0
        if version > 1 {
            guard let count = reader.take32(), reader.take32() != nil else { return nil }
            idCount = count
        }
        guard let name = reader.take(Int(nameLength)), head >= 1, head <= next, located <= next else { return nil }
        reader.skipPadding(to: 8)
        var queue = QueueLedger(id: id, name: name, located: located)
        if version > 1 {
            guard let note = takeNote(noteLength, limit: Record.noteLimit, from: &reader) else { return nil }
            queue.note = note
        }
        queue.next = next
        queue.liveBytes = liveBytes
        queue.settled = SettledSet(head: head)
        for _ in 0..<attemptCount {
            guard let sequence = reader.take64(), let attempt = takeAttempt(from: &reader, version) else { return nil }
            queue.attempts[sequence] = attempt
        }
        for _ in 0..<pageCount {
            guard let number = reader.take64(), let kind = reader.take64(), kind <= 1 else { return nil }
            var words: [UInt64] = []
            for _ in 0..<(kind == 0 ? SettledSet.wordsInPage : 0) {
                guard let word = reader.take64() else { return nil }
                words.append(word)
            }
            queue.settled.insertPage(number, words: words, limit: next)
        }
        for _ in 0..<fileCount {
            guard let file = takeFile(from: &reader, version), file.last < located,
                file.first > queue.files.last?.last ?? 0
            else { return nil }
            queue.files.append(file)
        }
        guard let ids = reader.take(Int(idCount) * RememberedIDs.size), let remembered = RememberedIDs(ids) else {
            return nil
        }
        queue.remembered = remembered
        reader.skipPadding(to: 8)
        return queue
    }

    private static func takeFile(from reader: inout ByteReader, _ version: UInt32) -> QueueFile? {
        guard let first = reader.take64(), let last = reader.take64(), let length = reader.take64(),
            let bytes = Int(exactly: length), first <= last
        else { return nil }
        var file = QueueFile(first: first, last: last, bytes: bytes, kind: .unsummed)
        if version >= FormatVersion.withCopies {
            guard let messages = reader.take32(), let checksum = reader.take32(),
                let kind = reader.take32().flatMap(QueueFile.Kind.init(rawValue:)), reader.take32() != nil
            else { return nil }
            file.messages = messages
            file.checksum = checksum
            file.kind = kind
        }
        return file.contentBytes >= QueueFileHeader.size ? file : nil
    }

    private static func takeAttempt(from reader: inout ByteReader, _ version: UInt32) -> Attempt? {
        guard let count = reader.take32(), let verdict = reader.take32() else { return nil }
        if version == 1 { return Attempt(count: count) }
        guard let known = UInt8(exactly: verdict).flatMap(Attempt.Verdict.init(rawValue:)),
            let notBefore = reader.take64()
        else { return nil }
        return Attempt(count: count, notBefore: notBefore, verdict: known)
    }
}
