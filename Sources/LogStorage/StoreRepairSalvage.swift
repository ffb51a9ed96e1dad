import BrokerCore
import Storage

/// What can still be read of a store, whatever happened to it: its state, put together from what is
/// undamaged, and what is missing. Only reads.
///
/// Where nothing is damaged this gives what a start gives. Where a part of the journal cannot be read, what
/// comes behind it is taken all the same, as far as that cannot lose anything:
///
///     append            taken; messages between it and the one before were in what cannot be read
///     settle            taken, also for messages that cannot be read; but not from a batch of which a message is
///                       damaged: it may have moved here what it settles there
///     create, delete    taken; a queue whose creation cannot be read gets a name of ours
///     note, attempt     taken
///     forget            not taken: which ids were the oldest is not known any more
struct Salvage {
    /// Everything but where messages lie in the journal is as it shall be.
    var ledger = Ledger()
    var report = StoreReport()
    /// Segments that could be read, for the places in the ledger. Oldest first.
    private(set) var segments: [Segment] = []
    private(set) var storeID: UInt64
    /// Of the last batch that is taken.
    private(set) var sequence: UInt64 = 0
    /// The highest segment number that any file bears, or that the journal says there was.
    private(set) var highestSegment: UInt32 = 0
    private(set) var segmentBytes = 0
    /// How many sequences of a queue are not to be given out, since they may have been.
    var skips: [UInt32: UInt64] = [:]
    /// Of the checkpoint that it starts from.
    let checkpointNumber: UInt64
    /// Messages that are in no file, but of which something says that they were there.
    var missing: [UInt32: SequenceRanges] = [:]
    /// Acknowledged in batches that are not taken as a whole.
    var returning: [UInt32: SequenceRanges] = [:]
    /// Queues that were there when a part of the journal was that cannot be read, with their next
    /// sequence then.
    var nextAtHole: [UInt32: UInt64] = [:]
    /// Those of which a later record says how far they were.
    var seenSinceHole: Set<UInt32> = []
    /// More records than this cannot have been in what was not read.
    var unreadRecords: UInt64 = 0
    /// There is no checkpoint: what came before the journal is known from queue files only.
    let isRebuilt: Bool
    var hasHole = false
    /// The last batch that was read says that the log goes on in the next segment.
    private var isSealed = false
    /// Where a segment ended without saying so.
    private var openEnd: (String, Int)?
    /// Queues whose names cannot be read.
    var nameless: Set<UInt32> = []
    private var ids: [[UInt8]: UInt32] = [:]

    /// `nameless`: queues of `base` that have a name of ours.
    init(
        _ checkpoint: Checkpoint, _ base: Ledger, isRebuilt: Bool, nameless: Set<UInt32> = [],
        report: StoreReport
    ) {
        self.nameless = nameless
        ledger = base
        storeID = checkpoint.storeID
        checkpointNumber = checkpoint.number
        sequence = checkpoint.firstSequence &- 1
        self.isRebuilt = isRebuilt
        self.report = report
        for id in ledger.ids { ids[ledger.queue(id)?.name ?? []] = id }
    }

    // MARK: The journal

    private struct Survey {
        var number: UInt32
        var path: String
        var hasBatch = false
        var hasHeader = false
        var highestDurable: UInt64 = 0
    }

    /// Takes what can be read of the segments `first` and later.
    mutating func readJournal(_ numbers: [UInt32], first: UInt32, on disk: any Disk) throws(DiskError) {
        highestSegment = max(numbers.max() ?? 0, first)
        let wanted = numbers.filter { $0 >= first }.sorted()
        if isRebuilt, let start = wanted.first { return try readJournal(wanted, first: start, disk) }
        try readJournal(wanted, first: first, disk)
    }

    private mutating func readJournal(_ wanted: [UInt32], first: UInt32, _ disk: any Disk) throws(DiskError) {
        let surveys = try wanted.map { (number) throws(DiskError) in try survey(number, on: disk) }
        // A number that does not fit with the others belongs to nothing here.
        let last = surveys.last { $0.hasBatch }?.number ?? first
        var highest = max(ledger.applied, surveys.reduce(0) { max($0, $1.highestDurable) })
        if isRebuilt { highest = surveys.reduce(0) { max($0, $1.highestDurable) } }
        var number = first
        while true {
            if let survey = surveys.first(where: { $0.number == number }) {
                try read(survey, later: number < last, highestDurable: highest, on: disk)
            } else if number <= last {
                report.note(StorePath.segment(number), nil, "the file is missing")
                unreadRecords += UInt64(max(segmentBytes, SegmentHeader.size) / RecordFormat.size)
                openHole()
            }
            if number >= last || number == .max { break }
            number += 1
        }
        if isSealed, last < .max, surveys.first(where: { $0.number == last + 1 })?.hasHeader != true {
            report.note(
                StorePath.segment(last + 1), nil,
                "the file is missing or empty, but the segment before it says that the log goes on there")
            // A new one of that number would be taken for the one that is missing.
            highestSegment = max(highestSegment, last + 1)
            unreadRecords += UInt64(segmentBytes / RecordFormat.size)
            openHole()
        }
        if highest > sequence {
            report.note(
                StorePath.segment(last), nil,
                "the journal ends behind batch \(sequence), but batch \(highest) was on disk once")
            if highest > ledger.applied || isRebuilt { openHole() }
        }
    }

    private func survey(_ number: UInt32, on disk: any Disk) throws(DiskError) -> Survey {
        var survey = Survey(number: number, path: StorePath.segment(number))
        let image = try SegmentImage(
            disk.open(survey.path, .existing), SegmentImage.Expectation(number: number, storeID: storeID))
        survey.hasHeader = image.header != nil
        var at = SegmentHeader.size
        while at + BatchHeader.size <= image.size {
            if let batch = image.batch(at: at) {
                survey.hasBatch = true
                survey.highestDurable = max(survey.highestDurable, batch.durable)
                at += batch.diskBytes
            } else {
                at += BatchHeader.alignment
            }
        }
        return survey
    }

    private mutating func read(
        _ survey: Survey, later: Bool, highestDurable: UInt64, on disk: any Disk
    ) throws(DiskError) {
        let file = try disk.open(survey.path, .existing)
        let image = try SegmentImage(file, SegmentImage.Expectation(number: survey.number, storeID: storeID))
        if let unreadable = image.unreadable {
            report.note(survey.path, unreadable, "the disk does not give the bytes back")
        }
        if image.header == nil, later || survey.hasBatch {
            let way = image.seed == nil ? "nothing in it can be read" : "its batches can be read without it"
            report.note(survey.path, 0, "the header is damaged or of another segment: \(way)")
        }
        if image.header != nil { segmentBytes = max(segmentBytes, image.size) }
        var row = StoreReport.Segment(path: survey.path, batches: 0, firstBatch: 0, bytes: SegmentHeader.size)
        if let seed = image.seed {
            segments.append(Segment(number: survey.number, file: file, seed: seed, size: image.size))
        }
        walk(image, later: later, highestDurable: highestDurable, &row)
        report.segments.append(row)
    }

    /// All batches of a segment, and what lies between them.
    private mutating func walk(
        _ image: borrowing SegmentImage, later: Bool, highestDurable: UInt64, _ row: inout StoreReport.Segment
    ) {
        var at = SegmentHeader.size
        var hole: Int?
        isSealed = false
        while at + BatchHeader.size <= image.size {
            guard let batch = image.batch(at: at), batch.sequence > sequence else {
                if hole == nil, later || highestDurable > sequence, let flags = image.emptyBatch(at, sequence &+ 1) {
                    report.note(image.path, at, "batch \(sequence &+ 1) is damaged; it is a marker and held nothing")
                    sequence &+= 1
                    at += BatchHeader.size
                    isSealed = flags & BatchHeader.sealFlag != 0
                    if isSealed { break }
                    continue
                }
                hole = hole ?? at
                at += BatchHeader.alignment
                continue
            }
            // Behind a torn tail nothing was ever confirmed.
            if hole != nil, highestDurable <= sequence, !later { break }
            close(hole, at, before: batch, image.path)
            hole = nil
            if !take(batch, of: image, isLast: highestDurable < batch.sequence && !later) {
                hole = at
                break
            }
            row.batches += 1
            if row.firstBatch == 0 { row.firstBatch = batch.sequence }
            at += batch.diskBytes
            row.bytes = at
            isSealed = batch.isSeal
            if isSealed { break }
        }
        if later, !isSealed {
            openEnd = (image.path, hole ?? at)
            unreadRecords += UInt64(max(0, image.size - (hole ?? image.size)) / RecordFormat.size)
        }
    }

    /// Says what is missing in front of a batch that was found.
    private mutating func close(_ hole: Int?, _ at: Int, before batch: BatchHeader, _ path: String) {
        let expected = sequence &+ 1
        if batch.sequence == expected || isRebuilt && sequence == 0 { return }
        let batches = batch.sequence - expected
        let place = openEnd ?? (path, hole ?? at)
        openEnd = nil
        let what = batches == 1 ? "batch \(expected)" : "batches \(expected) to \(batch.sequence - 1)"
        report.note(place.0, place.1, "\(what) cannot be read")
        if let hole { unreadRecords += UInt64((at - hole) / RecordFormat.size) }
        // What the checkpoint contains is known; only messages can be missing.
        if batch.sequence - 1 > ledger.applied { openHole() }
    }

    /// From here on something is not known that was told between the last batch and the next.
    private mutating func openHole() {
        hasHole = true
        for id in ledger.ids { nextAtHole[id] = ledger.queue(id)?.next }
        seenSinceHole = []
    }

    // MARK: A batch

    /// False for a batch that a start would take for the torn tail.
    private mutating func take(
        _ batch: BatchHeader, of image: borrowing SegmentImage, isLast: Bool
    ) -> Bool {
        guard image.hasWholeRecords(batch) else {
            if isLast { return false }
            report.note(
                image.path, batch.offset, "batch \(batch.sequence) is damaged: which queues it is about cannot be read")
            sequence = batch.sequence
            unreadRecords += UInt64(batch.recordCount)
            if batch.sequence > ledger.applied { openHole() }
            return true
        }
        let records = image.records(of: batch)
        let isWhole = records.count == batch.recordCount && records.allSatisfy(\.isWhole)
        if !isWhole, isLast { return false }
        if !isWhole { noteDamaged(batch, records, image.path) }
        let payload = image.payloadOffset(of: batch)
        let isKnown = batch.sequence <= ledger.applied && !isRebuilt
        for found in records {
            if isKnown {
                locate(found, image.number, payload)
            } else {
                apply(found, image.number, payload, image.bytes, batchIsWhole: isWhole)
            }
        }
        sequence = batch.sequence
        return true
    }

    private mutating func noteDamaged(_ batch: BatchHeader, _ records: [SegmentImage.Found], _ path: String) {
        var touched: [UInt32: SequenceRanges] = [:]
        for found in records where !found.isWhole && found.record.kind == .append {
            touched[found.record.queue.rawValue, default: SequenceRanges()].insert(
                found.record.sequence...found.record.sequence)
        }
        let names = touched.keys.sorted().prefix(8).map { id in
            "\(name(id)) message \(touched[id]?.text(limit: 5) ?? "")"
        }
        let about = names.isEmpty ? "" : ": " + names.joined(separator: "; ")
        report.note(path, batch.offset, "batch \(batch.sequence) is damaged\(about)")
    }

    func name(_ id: UInt32) -> String { ledger.queue(id).map { spoken($0.name) } ?? "queue number \(id)" }

    /// Of a batch that the checkpoint contains: where its messages lie.
    private mutating func locate(_ found: SegmentImage.Found, _ segment: UInt32, _ payload: Int) {
        let record = found.record
        let id = record.queue.rawValue
        guard record.kind == .append, let queue = ledger.queue(id), record.sequence < queue.next,
            record.sequence >= queue.located
        else { return }
        fill(id, upTo: record.sequence, segment)
        _ = ledger.locate(record, checksum: found.checksum, segment: segment, payload: payload)
        if !found.isWhole { loseLive(id, record.sequence...record.sequence) }
    }

    private mutating func apply(
        _ found: SegmentImage.Found, _ segment: UInt32, _ payload: Int, _ bytes: UnsafeRawBufferPointer,
        batchIsWhole: Bool
    ) {
        var record = found.record
        let id = record.queue.rawValue
        switch record.kind {
        case .append:
            adopt(id, at: record.sequence)
            guard let next = ledger.queue(id)?.next, record.sequence >= next else { return }
            if !reach(id, record.sequence, segment) { return }
            seenSinceHole.insert(id)
        case .settle:
            if !batchIsWhole { return giveBack(record) }
            let last = record.sequence.addingReportingOverflow(UInt64(max(1, record.count)) - 1)
            if last.overflow || record.count == 0 { return }
            // What cannot be read was there once, and is done with.
            if ledger.queue(id) != nil, last.partialValue < .max, hasHole, reach(id, last.partialValue + 1, segment) {
                missing[id]?.remove(record.sequence...last.partialValue)
            }
        case .createQueue: return create(found, payload, bytes)
        case .deleteQueue:
            if !batchIsWhole { return giveBackAll(id) }
            forget(id)
        case .note:
            if !found.isWhole {
                report.consequences.append(
                    "a note on \(id == 0 ? "the broker" : name(id)) is damaged: the one before stays")
                return
            }
        case .forget:
            if hasHole || !batchIsWhole { return }
        case .remember, .attempt: break
        }
        if record.kind == .append, !found.isWhole { record.headerBytes = 0 }
        let fits = ledger.apply(record, checksum: found.checksum, segment: segment, payload: payload) { record in
            Array(bytes[(payload + Int(record.offset))...].prefix(Int(record.bytes)))
        }
        if !fits {
            report.note(
                StorePath.segment(segment), payload, "a record of \(name(id)) does not follow what came before it")
        }
        if record.kind == .append, fits, !found.isWhole { lose(id, record.sequence...record.sequence) }
    }

    // MARK: What is not there

    /// A queue that a record is about without its creation having been read.
    private mutating func adopt(_ id: UInt32, at sequence: UInt64) {
        guard id > 0, id < .max, ledger.queue(id) == nil, hasHole || isRebuilt, sequence > 0 else { return }
        var queue = QueueLedger(id: id, name: Self.inventedName(id), located: sequence)
        queue.next = sequence
        queue.settled = SettledSet(head: sequence)
        ledger.add(queue)
        ids[queue.name] = id
        if sequence > 1, !isRebuilt {
            missing[id, default: SequenceRanges()].insert(1...sequence - 1)
        }
        nameless.insert(id)
    }

    static func inventedName(_ id: UInt32) -> [UInt8] { Array("/queue/repaired.\(id)".utf8) }

    private mutating func create(_ found: SegmentImage.Found, _ payload: Int, _ bytes: UnsafeRawBufferPointer) {
        let id = found.record.queue.rawValue
        guard id > 0, id < .max else { return }
        let name =
            found.isWhole
            ? Array(bytes[(payload + Int(found.record.offset))...].prefix(Int(found.record.bytes)))
            : Self.inventedName(id)
        if !found.isWhole { nameless.insert(id) }
        // Names are not used twice at a time: the deletion of the other was not read.
        if let other = ids[name], other != id {
            report.consequences.append("\(spoken(name)) was deleted and made anew: what the old one held is gone")
            forget(other)
            _ = ledger.apply(
                Record(kind: .deleteQueue, queue: QueueID(rawValue: other)), checksum: 0, segment: 0, payload: 0
            ) { _ in [] }
        }
        if let queue = ledger.queue(id) {
            if isRebuilt, queue.placeCount == 0 { rename(queue, name) }
            return
        }
        ledger.add(QueueLedger(id: id, name: name))
        ids[name] = id
        seenSinceHole.insert(id)
    }

    /// Gives a queue that was found by its files the name that its creation says.
    private mutating func rename(_ queue: QueueLedger, _ name: [UInt8]) {
        var named = QueueLedger(id: queue.id, name: name, located: queue.located)
        named.next = queue.next
        named.settled = queue.settled
        named.liveBytes = queue.liveBytes
        named.files = queue.files
        named.note = queue.note
        named.attempts = queue.attempts
        named.remembered = queue.remembered
        ids[queue.name] = nil
        ids[name] = queue.id
        _ = ledger.with(queue.id) { $0 = named }
        nameless.remove(queue.id)
    }

    private mutating func forget(_ id: UInt32) {
        if let name = ledger.queue(id)?.name { ids[name] = nil }
        missing[id] = nil
        returning[id] = nil
        nextAtHole[id] = nil
    }

    /// Brings a queue to where its next message is `sequence`: those in between cannot be read. False if
    /// there cannot have been so many.
    private mutating func reach(_ id: UInt32, _ sequence: UInt64, _ segment: UInt32) -> Bool {
        guard let next = ledger.queue(id)?.next else { return false }
        if sequence <= next { return true }
        if isRebuilt, let queue = ledger.queue(id), queue.placeCount == 0 {
            // What lies between the files and the journal was done with before it was filed.
            var fresh = QueueLedger(id: id, name: queue.name, located: sequence)
            (fresh.next, fresh.settled, fresh.files) = (sequence, queue.settled, queue.files)
            _ = fresh.settled.insert(next, sequence)
            (fresh.note, fresh.attempts, fresh.remembered) = (queue.note, queue.attempts, queue.remembered)
            _ = ledger.with(id) { $0 = fresh }
            return true
        }
        if !hasHole || sequence - next > unreadRecords { return false }
        let nowhere = JournalPlace(segment: segment, offset: 0, length: 0, headerBytes: 0, flags: 0, checksum: 0)
        _ = ledger.with(id) { queue in
            while queue.next < sequence { queue.append(nowhere, bytes: 0) }
        }
        lose(id, next...sequence - 1)
        return true
    }

    /// Of a queue that the checkpoint knows: messages up to `sequence` that should be in the journal.
    mutating func fill(_ id: UInt32, upTo sequence: UInt64, _ segment: UInt32) {
        guard let end = ledger.queue(id)?.placesEnd, end < sequence else { return }
        let nowhere = JournalPlace(segment: segment, offset: 0, length: 0, headerBytes: 0, flags: 0, checksum: 0)
        _ = ledger.with(id) { queue in
            var at = end
            while at < sequence {
                _ = queue.locate(at, nowhere)
                at = max(at + 1, queue.placesEnd)
            }
        }
        loseLive(id, end...sequence - 1)
    }

    /// Takes messages out of the ledger that cannot be read.
    mutating func lose(_ id: UInt32, _ range: ClosedRange<UInt64>) {
        missing[id, default: SequenceRanges()].insert(range)
        _ = ledger.with(id) { $0.settle(range) }
    }

    /// The same for those of them that are not done with.
    private mutating func loseLive(_ id: UInt32, _ range: ClosedRange<UInt64>) {
        guard let queue = ledger.queue(id) else { return }
        for run in queue.liveRuns(in: range) { lose(id, run) }
    }

    private mutating func giveBack(_ record: Record) {
        let last = record.sequence.addingReportingOverflow(UInt64(max(1, record.count)) - 1)
        if last.overflow || record.count == 0 { return }
        returning[record.queue.rawValue, default: SequenceRanges()].insert(record.sequence...last.partialValue)
    }

    private mutating func giveBackAll(_ id: UInt32) {
        guard let queue = ledger.queue(id), queue.next > 1 else { return }
        returning[id, default: SequenceRanges()].insert(1...queue.next - 1)
    }
}
