import BrokerCore
import Glibc
import Storage

/// The files of a store that says what could be read of a damaged one. What is alive in the journal goes to
/// queue files, so that the new journal is empty; queue files that are undamaged stay where they are.
struct RepairBuilding: ~Copyable {
    private let source: any Disk
    private let target: any Disk
    private var ledger: Ledger
    private let salvage: Salvage
    private let damagedFiles: [Examination.DamagedFile]
    /// Paths of what was made.
    private(set) var made: [String] = []
    /// Files of each queue that were made here: only these can be appended to.
    private var fresh: Set<UInt32> = []

    init(_ examination: Examination, from source: any Disk, to target: any Disk) {
        self.source = source
        self.target = target
        salvage = examination.salvage
        ledger = examination.salvage.ledger
        damagedFiles = examination.damagedFiles
    }

    mutating func build() throws(DiskError) {
        for item in damagedFiles { try rewrite(item) }
        try emptyJournal()
        let (number, isTooHigh) = salvage.highestSegment.addingReportingOverflow(1)
        if isTooHigh {
            throw DiskError(
                "making", StorePath.journal, code: EOVERFLOW,
                detail: "\(StorePath.segment(.max)) has the last number there is; it belongs to no store: move it away")
        }
        let size = salvage.segmentBytes > 0 ? salvage.segmentBytes : LogSettings().segmentBytes
        _ = try SegmentFactory.make(number: number, storeID: salvage.storeID, size: size, on: target)
        made.append(StorePath.segment(number))
        ledger.condemned = []
        let checkpoint = Checkpoint(
            storeID: salvage.storeID, firstSegment: number, firstSequence: ledger.applied + 1,
            applied: ledger.applied, number: salvage.checkpointNumber + 1)
        try CheckpointCopies.write(checkpoint.encoded(ledger), on: target)
        try target.replace(
            StorePath.store, StorePath.storeDraft, StoreHeader(storeID: salvage.storeID).encoded())
        made += CheckpointCopies.paths + [StorePath.store]
        for directory in [StorePath.journal, StorePath.queues, ""] { try target.syncDirectory(directory) }
    }

    // MARK: Queue files

    /// The same file without what is damaged and without what is done with.
    private mutating func rewrite(_ item: Examination.DamagedFile) throws(DiskError) {
        guard let queue = ledger.queue(item.queue) else { return }
        var kept: QueueFile?
        if !item.isMissing { kept = try copy(item, queue) }
        _ = ledger.with(item.queue) { queue in
            guard let index = queue.files.firstIndex(where: { $0.first == item.file.first }) else { return }
            if let kept { queue.files[index] = kept } else { queue.files.remove(at: index) }
        }
    }

    /// nil when nothing in it is alive and whole.
    private mutating func copy(
        _ item: Examination.DamagedFile, _ queue: QueueLedger
    ) throws(DiskError) -> QueueFile? {
        let old = QueueFileHeader(storeID: salvage.storeID, queue: queue.id, first: item.file.first)
        let path = StorePath.queueFile(queue.id, first: item.file.first)
        var scan = try QueueFileScan(try source.open(path, .reading), old, count: item.file.contentBytes)
        var writer: RepairFile?
        var last = item.file.first - 1
        let (disk, storeID) = (target, salvage.storeID)
        try scan.eachMessage { (message, content) throws(DiskError) in
            let sequence = message.head.sequence
            guard message.isWhole, sequence > last, sequence <= item.file.last, !queue.settled.contains(sequence)
            else { return }
            last = sequence
            if writer == nil { writer = try RepairFile(storeID, queue.id, first: sequence, on: disk) }
            try writer?.append(message.head, content)
        }
        guard let file = try writer?.close() else { return nil }
        made.append(StorePath.queueFile(queue.id, first: file.first))
        return file
    }

    // MARK: The journal

    /// Everything alive in it is written to queue files.
    private mutating func emptyJournal() throws(DiskError) {
        var filer = Filer(disk: target, settings: LogSettings(), storeID: salvage.storeID)
        var noted = 0
        for id in ledger.ids {
            guard let queue = ledger.queue(id) else { continue }
            for (segment, messages) in try runs(of: queue) {
                let tail = fresh.contains(id) ? ledger.queue(id)?.files.last : nil
                try filer.file(
                    Filer.Work(queue: id, messages: messages, tail: tail), from: segment, isClosed: tail == nil)
                fresh.insert(id)
                for change in filer.changes[noted...] {
                    _ = ledger.with(id) { change.apply(to: &$0) }
                    if change.isNew { made.append(change.path) }
                }
                noted = filer.changes.count
            }
            _ = ledger.with(id) {
                $0.forgetPlaces(below: $0.next)
                $0.skip(salvage.skips[id] ?? 0)
            }
        }
        try filer.sync()
    }

    /// Live messages of a queue in the journal, by segment.
    private func runs(
        of queue: QueueLedger
    ) throws(DiskError) -> [(segment: Segment, messages: [(sequence: UInt64, place: JournalPlace)])] {
        var runs: [(segment: Segment, messages: [(sequence: UInt64, place: JournalPlace)])] = []
        var sequence = queue.settled.firstLive(from: queue.located)
        while sequence < queue.placesEnd {
            let place = queue.place(sequence)
            // Only the number is looked at: a copy of the run would be copied with each message that is added.
            if let last = runs.last?.segment.number, last & 63 == place.slot {
                runs[runs.count - 1].messages.append((sequence, place))
            } else {
                guard let segment = salvage.segments.first(where: { $0.number & 63 == place.slot }) else {
                    throw DiskError("reading", "", code: EIO, detail: "message \(sequence) lies in no segment")
                }
                runs.append((segment, [(sequence, place)]))
            }
            sequence = queue.settled.firstLive(from: sequence + 1)
        }
        return runs
    }
}

/// A queue file written message by message, closed with a footer.
struct RepairFile {
    private let file: any DiskFile
    private let header: QueueFileHeader
    private let disk: any Disk
    private var state: QueueFile

    init(_ storeID: UInt64, _ queue: UInt32, first: UInt64, on disk: any Disk) throws(DiskError) {
        header = QueueFileHeader(storeID: storeID, queue: queue, first: first)
        self.disk = disk
        try disk.makeDirectory(StorePath.queue(queue))
        file = try disk.open(StorePath.queueFile(queue, first: first), .create)
        let bytes = header.encoded()
        try file.write(bytes, at: 0)
        state = QueueFile(
            first: first, last: first, bytes: bytes.count, checksum: bytes.withUnsafeBytes { Checksum.of($0) })
    }

    mutating func append(_ head: StoredHead, _ content: UnsafeRawBufferPointer) throws(DiskError) {
        var bytes = [UInt8](repeating: 0, count: head.diskBytes)
        bytes.withUnsafeMutableBytes { target in
            guard let base = target.baseAddress else { return }
            head.encode(to: base, seed: header.seed)
            UnsafeMutableRawBufferPointer(rebasing: target[StoredHead.size...]).copyBytes(from: content)
        }
        try file.write(bytes, at: state.bytes)
        state.checksum = bytes.withUnsafeBytes { Checksum.of($0, seed: state.checksum) }
        state.bytes += bytes.count
        state.messages &+= 1
        state.last = head.sequence
    }

    /// Durable, with its name.
    mutating func close() throws(DiskError) -> QueueFile {
        let footer = QueueFileFooter(storeID: header.storeID, queue: header.queue, file: state).encoded()
        try file.write(footer, at: state.bytes)
        try file.sync()
        try disk.syncDirectory(StorePath.queue(header.queue))
        var closed = state
        closed.bytes += footer.count
        closed.kind = .closed
        return closed
    }
}
