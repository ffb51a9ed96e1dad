import BrokerCore
import Storage

/// Opens a store: takes it, checks what it is, brings the journal and the files back to a state that
/// can be gone on from. Or says why not, having changed nothing.
package struct Opening {
    private let disk: any Disk
    private let settings: LogSettings
    private var report: [String] = []
    /// The file `store` has to be made anew.
    private var isStoreDamaged = false

    package static func open(
        _ disk: any Disk, _ settings: LogSettings
    ) throws(StorageFailure) -> (store: Store, recovery: Recovery) {
        try settings.validate()
        var opening = Opening(disk: disk, settings: settings)
        return try opening.run()
    }

    private init(disk: any Disk, settings: LogSettings) {
        self.disk = disk
        self.settings = settings
    }

    private mutating func run() throws(StorageFailure) -> (store: Store, recovery: Recovery) {
        let lock = try takeLock()
        let header = try identify()
        let storeID = header.storeID
        var copies = try CheckpointCopies(on: disk, storeID: storeID)
        let (checkpoint, ledger, bytes) = try readCheckpoint(&copies, header)
        let named = ledger.ids.flatMap { id in
            (ledger.queue(id)?.files ?? []).map { NamedFile(queue: id, file: $0) }
        }
        let tooLong = try check(named)
        let journal = try listJournal(from: checkpoint.firstSegment)
        var replay = Replay(checkpoint, ledger, storeID: storeID)
        try replay.run(journal.live, first: checkpoint.firstSegment)
        report += replay.report
        // The names that were acted on must be on disk before anything is destroyed.
        try attempt { () throws(DiskError) in
            // A copy of a store without queue files may lack it.
            try disk.makeDirectory(StorePath.queues)
            try disk.syncDirectory("")
            try disk.syncDirectory(StorePath.journal)
        }
        try upgrade(header)
        var said: [String] = []
        do throws(DiskError) { try replay.mending.carryOut(on: disk, report: &said) } catch {
            throw Self.failure(error)
        }
        report += said
        try attempt { () throws(DiskError) in try BackupHold.remove(on: disk) }
        try makeEqual(copies, bytes)
        try cut(tooLong)
        try removeStrayFiles(except: named)
        let spares = try tidy(journal, unused: replay.unused)
        return finish(replay, checkpoint, lock, spares: spares)
    }

    private func finish(
        _ replay: consuming Replay, _ checkpoint: Checkpoint, _ lock: any DiskLock, spares: [String]
    ) -> (store: Store, recovery: Recovery) {
        let ledger = replay.ledger
        let storeID = checkpoint.storeID
        var state = StoreState(
            ledger: ledger, segments: replay.segments, ready: nil, syncedEnd: replay.offset,
            neededFrom: checkpoint.firstSegment)
        if let next = replay.unused.first, let header = next.header {
            state.ready = Segment(
                number: next.number, file: next.file, seed: header.seed, size: next.size, isWritten: header.isRecycled)
        }
        // Where both copies of the checkpoint were of no use, new ones are due at once.
        state.bytesSinceCheckpoint = checkpoint.number == 0 ? settings.checkpointBytes : replay.replayedBytes
        for queue in ledger.queues where !queue.files.isEmpty { state.shrunk.insert(queue.id) }
        let recovery = Recovery(
            queues: ledger.ids.compactMap { ledger.queue($0)?.recovered }, nextQueueID: ledger.nextQueueID,
            storeID: storeID, note: ledger.note, report: report)
        let last = replay.segments[replay.segments.count - 1].segment
        let writer = JournalWriter(
            segment: last, offset: replay.offset, sequence: replay.sequence, isSealed: false, door: Door(ledger))
        let store = Store(
            disk: disk, lock: lock, settings: settings, storeID: storeID, state: state, journal: writer,
            keeper: Keeper(spares: spares, checkpointNumber: checkpoint.number))
        return (store, recovery)
    }

    // MARK: Failures

    static func failure(_ error: DiskError) -> StorageFailure {
        StorageFailure("the store cannot be opened: \(error)")
    }

    private func attempt<Result>(_ work: () throws(DiskError) -> Result) throws(StorageFailure) -> Result {
        do throws(DiskError) { return try work() } catch { throw Self.failure(error) }
    }

    static func sentence(_ damage: Checkpoint.Damage, about path: String) -> StorageFailure {
        switch damage {
        case .newer(let version):
            StorageFailure(
                "\(path) has format version \(version), this program knows \(FormatVersion.current) and older: the "
                    + "data was written by a newer brokerd. Start that one; nothing was changed.")
        case .damaged: StorageFailure("\(path) is damaged or of something else. \(Replay.advice)")
        }
    }

    /// nil if there is no such file.
    private func contents(_ path: String, limit: Int) throws(StorageFailure) -> [UInt8]? {
        do throws(DiskError) {
            return try disk.open(path, .existing).contents(limit: limit)
        } catch {
            if error.isMissing { return nil }
            throw Self.failure(error)
        }
    }

    // MARK: What is it

    private func takeLock() throws(StorageFailure) -> any DiskLock {
        do throws(DiskError) { return try disk.lock(StorePath.lock) } catch {
            let problem = error.isHeld ? "is in use: \(error.detail)" : "cannot be used: \(error)"
            throw StorageFailure("the data directory \(problem)", .unavailable)
        }
    }

    /// Whose the store is, and of which version. Makes the store where there is none.
    private mutating func identify() throws(StorageFailure) -> StoreHeader {
        guard let bytes = try contents(StorePath.store, limit: 4096) else { return try create() }
        do throws(Checkpoint.Damage) { return try StoreHeader.decode(bytes) } catch {
            if case .damaged = error, let header = try headerFromOtherFiles() { return header }
            throw Self.sentence(error, about: StorePath.store)
        }
    }

    /// What a damaged `store` said, if the checkpoint and the journal agree on it. A missing one is another
    /// thing: it is the last file that a new store or a copy gets.
    private mutating func headerFromOtherFiles() throws(StorageFailure) -> StoreHeader? {
        guard let (_, checkpoint) = try CheckpointCopies(on: disk, storeID: nil).newest,
            let segment = try inspect(checkpoint.firstSegment)?.header, segment.number == checkpoint.firstSegment,
            segment.storeID == checkpoint.storeID
        else { return nil }
        isStoreDamaged = true
        report.append(
            "\(StorePath.store) is damaged: it is made anew from what the checkpoint and the journal say")
        return StoreHeader(storeID: checkpoint.storeID, version: checkpoint.version)
    }

    /// The first thing that is changed about an older store: before any file of our version is in it,
    /// `store` says so, and an older program refuses it rather than take what it cannot read for damage.
    /// Other files become of our version when they are next written.
    private mutating func upgrade(_ header: StoreHeader) throws(StorageFailure) {
        if header.version == FormatVersion.current, !isStoreDamaged { return }
        let bytes = StoreHeader(storeID: header.storeID).encoded()
        try attempt { () throws(DiskError) in
            try disk.replace(StorePath.store, StorePath.storeDraft, bytes)
        }
        if header.version == FormatVersion.current { return }
        report.append(
            "the store was of format version \(header.version) and is of version \(FormatVersion.current) now: older "
                + "programs will refuse it")
    }

    /// Makes an empty store. The file `store` comes last: where it is, all else must be too.
    private mutating func create() throws(StorageFailure) -> StoreHeader {
        try makeSureThatNothingIsThere()
        let storeID = disk.randomWord()
        let settings = settings
        try attempt { () throws(DiskError) in
            try disk.makeDirectory(StorePath.journal)
            try disk.makeDirectory(StorePath.queues)
            _ = try SegmentFactory.make(number: 1, storeID: storeID, size: settings.segmentBytes, on: disk)
            let checkpoint = Checkpoint(storeID: storeID, firstSegment: 1, firstSequence: 1, applied: 0, number: 1)
            try CheckpointCopies.write(checkpoint.encoded(Ledger()), on: disk)
            let header = StoreHeader(storeID: storeID).encoded()
            try disk.replace(StorePath.store, StorePath.storeDraft, header)
        }
        report.append("made a new store")
        return StoreHeader(storeID: storeID)
    }

    /// Without the file `store` there may be what a creation left that was cut short, but no data.
    private func makeSureThatNothingIsThere() throws(StorageFailure) {
        if try contents(BackupRestore.mark, limit: 1) != nil {
            throw StorageFailure(
                "\(BackupRestore.mark) is here: a restore into this directory was cut off, and it is no store yet. Run "
                    + "`brokerctl restore` again, with the same copy.")
        }
        let refusal = StorageFailure(
            "\(StorePath.store) is missing, but there is data: this is not a whole store. \(Replay.advice)")
        for path in CheckpointCopies.paths {
            guard let bytes = try contents(path, limit: Checkpoint.sizeLimit) else { continue }
            do throws(Checkpoint.Damage) {
                let (checkpoint, ledger) = try Checkpoint.decode(bytes)
                if checkpoint.applied > 0 || ledger.nextQueueID > 1 || checkpoint.firstSegment != 1 { throw .damaged }
            } catch {
                throw refusal
            }
        }
        let names = try attempt { () throws(DiskError) in
            (try disk.names(in: StorePath.journal), try disk.names(in: StorePath.queues))
        }
        let segments = names.0.filter { number(in: $0, before: ".seg") != nil }
        if !names.1.isEmpty || segments.contains(where: { "journal/\($0)" != StorePath.segment(1) }) { throw refusal }
        guard !segments.isEmpty, let found = try inspect(1), let header = found.header else { return }
        var replay = Replay(
            Checkpoint(storeID: header.storeID, firstSegment: 1, firstSequence: 1, applied: 0), Ledger(),
            storeID: header.storeID)
        try replay.run([found], first: 1)
        if replay.sequence > 1 { throw refusal }
    }

    /// The state that replay starts from. Without a checkpoint that is nothing at all, which is right
    /// if no segment was ever given up.
    private mutating func readCheckpoint(
        _ copies: inout CheckpointCopies, _ header: StoreHeader
    ) throws(StorageFailure) -> (Checkpoint, Ledger, bytes: [UInt8]) {
        let storeID = header.storeID
        if let (checkpoint, ledger, bytes) = try copies.decode(on: disk) {
            if header.version >= FormatVersion.withCopies {
                for problem in copies.problems {
                    report.append("\(problem): the other copy of it is whole, was used, and is written in its place")
                }
            }
            return (checkpoint, ledger, copies.areEqual ? [] : bytes)
        }
        let problem = header.version < FormatVersion.withCopies ? copies.problems[0] : copies.problems.spoken
        guard let first = try inspect(1), first.header?.number == 1, first.header?.storeID == storeID else {
            throw StorageFailure(
                "\(problem), and the journal does not reach back to the beginning. \(Replay.advice)")
        }
        report.append("\(problem): everything was read anew from the journal, which is complete")
        return (Checkpoint(storeID: storeID, firstSegment: 1, firstSequence: 1, applied: 0), Ledger(), [])
    }

    /// Before anything is destroyed that only the older copy of the checkpoint names.
    private mutating func makeEqual(_ copies: CheckpointCopies, _ bytes: [UInt8]) throws(StorageFailure) {
        let isDone = try attempt { () throws(DiskError) in try copies.makeEqual(to: bytes, on: disk) }
        if !isDone { report.append("there is no room for the second copy of the checkpoint: it is made with the next") }
    }

    // MARK: Journal files

    private struct JournalFiles {
        var live: [FoundSegment] = []
        /// Segments that were given up, and files on their way to be one.
        var leftovers: [String] = []
    }

    private func inspect(_ number: UInt32) throws(StorageFailure) -> FoundSegment? {
        let path = StorePath.segment(number)
        guard let bytes = try contents(path, limit: SegmentHeader.size) else { return nil }
        return try attempt { () throws(DiskError) in
            let file = try disk.open(path, .existing)
            let header = bytes.withUnsafeBytes { SegmentHeader($0) }
            return FoundSegment(number: number, path: path, header: header, file: file, bytesOnDisk: try file.size())
        }
    }

    private func listJournal(from first: UInt32) throws(StorageFailure) -> JournalFiles {
        let names = try attempt { () throws(DiskError) in try disk.names(in: StorePath.journal) }
        var files = JournalFiles()
        var numbers: [UInt32] = []
        for name in names.sorted() {
            let path = "\(StorePath.journal)/\(name)"
            if path == StorePath.segmentDraft || number(in: name, before: ".spare") != nil {
                files.leftovers.append(path)
            } else if let number = number(in: name, before: ".seg").flatMap({ UInt32(exactly: $0) }),
                number < StorePath.segmentNumberLimit,
                path == StorePath.segment(number)
            {
                if number < first { files.leftovers.append(path) } else { numbers.append(number) }
            }
        }
        for number in numbers.sorted() {
            if let found = try inspect(number) { files.live.append(found) }
        }
        return files
    }

    /// Sorts out which files can become segments, and removes the others. Returns the spares.
    private mutating func tidy(
        _ journal: JournalFiles, unused: ArraySlice<FoundSegment>
    ) throws(StorageFailure) -> [String] {
        var spares: [String] = []
        var useless: [String] = []
        for path in journal.leftovers {
            let size = try attempt { () throws(DiskError) in try disk.open(path, .existing).size() }
            let isUsable = size == settings.segmentBytes && path != StorePath.segmentDraft
            if isUsable, spares.count < settings.journalSegmentsWanted(isBusy: true) {
                spares.append(path)
            } else {
                useless.append(path)
            }
        }
        for (index, segment) in unused.enumerated() where index > 0 || segment.header == nil {
            report.append("\(segment.path) was never used and is removed")
            useless.append(segment.path)
        }
        try attempt { () throws(DiskError) in
            for path in useless { try disk.remove(path) }
            try disk.syncDirectory(StorePath.journal)
        }
        return spares
    }

    // MARK: Queue files

    /// The files that the checkpoint names are there, and as long as it says. Returns those that are longer.
    private func check(_ named: [NamedFile]) throws(StorageFailure) -> [NamedFile] {
        var longer: [NamedFile] = []
        for item in named {
            let path = StorePath.queueFile(item.queue, first: item.file.first)
            let size: Int
            do throws(DiskError) { size = try disk.open(path, .existing).size() } catch {
                if error.isMissing { throw StorageFailure("\(path) is missing. \(Replay.advice)") }
                throw Self.failure(error)
            }
            if size < item.file.bytes {
                throw StorageFailure("\(path) has \(size) bytes instead of \(item.file.bytes). \(Replay.advice)")
            }
            if size > item.file.bytes { longer.append(item) }
        }
        return longer
    }

    /// What lies behind the bytes that count was written by a round that did not get to its checkpoint.
    private func cut(_ longer: [NamedFile]) throws(StorageFailure) {
        try attempt { () throws(DiskError) in
            for item in longer {
                let file = try disk.open(StorePath.queueFile(item.queue, first: item.file.first), .existing)
                try file.truncate(to: item.file.bytes)
            }
        }
    }

    /// So were files that no checkpoint names.
    private func removeStrayFiles(except named: [NamedFile]) throws(StorageFailure) {
        let kept = Set(named.map { StorePath.queueFile($0.queue, first: $0.file.first) })
        let keptDirectories = Set(named.map { StorePath.queue($0.queue) })
        try attempt { () throws(DiskError) in
            for directory in try disk.names(in: StorePath.queues) where number(in: directory, before: "") != nil {
                let path = "\(StorePath.queues)/\(directory)"
                for name in try disk.names(in: path) where number(in: name, before: ".log") != nil {
                    if !kept.contains("\(path)/\(name)") { try disk.remove("\(path)/\(name)") }
                }
                if !keptDirectories.contains(path), try disk.names(in: path).isEmpty { try disk.removeDirectory(path) }
            }
        }
    }
}

extension QueueLedger {
    /// As the broker is told at the start.
    var recovered: Recovery.Queue {
        Recovery.Queue(
            id: QueueID(rawValue: id), name: name, head: head, next: next, messages: live, bytes: liveBytes,
            attempts: attempts, note: note, dedup: remembered.entries)
    }
}

extension [String] {
    /// As a list in a sentence.
    fileprivate var spoken: String { joined(separator: " and ") }
}
