import BrokerCore
import Glibc
import Storage

/// What a store stands on: its id, its checkpoint, and which files there are. Where the checkpoint is
/// gone, one is put together from queue files.
struct Foundation {
    private let disk: any Disk
    private(set) var segmentNumbers: [UInt32] = []
    private(set) var firstSegment: UInt32 = 1
    private var report = StoreReport()

    init(_ disk: any Disk) { self.disk = disk }

    /// The state that the journal is read on top of. Errors: what a newer program wrote; nothing that says
    /// which store this is.
    mutating func salvage() throws(StorageFailure) -> Salvage {
        let said: UInt64?
        do throws(DiskError) {
            try listSegments()
            said = try readStoreFile()
        } catch {
            throw Self.failure(error)
        }
        if let (checkpoint, ledger) = try readCheckpoint(said) {
            firstSegment = checkpoint.firstSegment
            return Salvage(checkpoint, ledger, isRebuilt: false, report: report)
        }
        do throws(DiskError) { return try salvageWithoutCheckpoint(said) } catch { throw Self.failure(error) }
    }

    static func failure(_ error: DiskError) -> StorageFailure {
        StorageFailure("the data directory cannot be read: \(error)", .unavailable)
    }

    private mutating func listSegments() throws(DiskError) {
        for name in try disk.names(in: StorePath.journal).sorted() {
            guard let number = number(in: name, before: ".seg").flatMap({ UInt32(exactly: $0) }),
                "\(StorePath.journal)/\(name)" == StorePath.segment(number)
            else { continue }
            segmentNumbers.append(number)
        }
        segmentNumbers.sort()
    }

    private mutating func salvageWithoutCheckpoint(_ said: UInt64?) throws(DiskError) -> Salvage {
        var found = said
        if found == nil { found = try storeIDFromFiles() }
        guard let storeID = found else {
            throw DiskError("reading", StorePath.store, code: EIO, detail: "no file says which store this is")
        }
        let nothing = Checkpoint(storeID: storeID, firstSegment: 1, firstSequence: 1, applied: 0)
        if try reachesBack(storeID) { return Salvage(nothing, Ledger(), isRebuilt: false, report: report) }
        let (ledger, nameless) = try rebuild(storeID)
        report.consequences.append(
            "which messages of queue files were acknowledged is not known any more: all that can be read come again")
        return Salvage(nothing, ledger, isRebuilt: true, nameless: nameless, report: report)
    }

    // MARK: The files at the top

    /// The store's id, as far as the file `store` says it.
    private mutating func readStoreFile() throws(DiskError) -> UInt64? {
        do throws(DiskError) {
            let bytes = try disk.open(StorePath.store, .existing).contents(limit: 4096)
            do throws(Checkpoint.Damage) {
                let header = try StoreHeader.decode(bytes)
                report.formatVersion = header.version
                return header.storeID
            } catch {
                if case .newer(let version) = error {
                    throw DiskError(
                        "reading", StorePath.store, code: EIO,
                        detail: "it has format version \(version), this program knows \(FormatVersion.current) and "
                            + "older: use the brokerctl that belongs to the brokerd that wrote it")
                }
                report.note(StorePath.store, nil, "the file is damaged")
            }
        } catch {
            if !error.isMissing { throw error }
            report.note(StorePath.store, nil, "the file is missing")
        }
        return nil
    }

    /// The newer copy of those that are whole. Errors: only for one that a newer program wrote.
    private mutating func readCheckpoint(_ storeID: UInt64?) throws(StorageFailure) -> (Checkpoint, Ledger)? {
        var copies = try CheckpointCopies(on: disk, storeID: storeID)
        var found: (Checkpoint, Ledger)?
        do throws(StorageFailure) {
            if let (checkpoint, ledger, _) = try copies.decode(on: disk) { found = (checkpoint, ledger) }
        } catch {
            // What the disk does not give back is among the problems that are noted below.
            found = nil
        }
        let hasCopies = (report.formatVersion ?? FormatVersion.current) >= FormatVersion.withCopies
        for (index, copy) in copies.found.enumerated() where index == 0 || hasCopies {
            switch copy {
            case .whole: break
            case .missing: report.note(CheckpointCopies.paths[index], nil, "the file is missing")
            case .useless(let why): report.note(CheckpointCopies.paths[index], nil, "the file \(why)")
            case .unreadable(let error): report.note(CheckpointCopies.paths[index], nil, "\(error)")
            }
        }
        return found
    }

    /// As segments and queue files say, if the first that can be read are of one mind.
    private func storeIDFromFiles() throws(DiskError) -> UInt64? {
        for number in segmentNumbers {
            let bytes = try disk.open(StorePath.segment(number), .existing).contents(limit: SegmentHeader.size)
            if let header = bytes.withUnsafeBytes({ SegmentHeader($0) }) { return header.storeID }
        }
        for (queue, firsts) in try queueFiles() {
            for first in firsts {
                let bytes = try disk.open(StorePath.queueFile(queue, first: first), .existing)
                    .contents(limit: QueueFileHeader.size)
                if let header = bytes.withUnsafeBytes({ QueueFileHeader($0) }) { return header.storeID }
            }
        }
        return nil
    }

    /// The journal begins with the first batch that the store ever had.
    private func reachesBack(_ storeID: UInt64) throws(DiskError) -> Bool {
        guard segmentNumbers.first == 1 else { return false }
        let bytes = try disk.open(StorePath.segment(1), .existing).contents(limit: SegmentHeader.size)
        guard let header = bytes.withUnsafeBytes({ SegmentHeader($0) }) else { return false }
        return header.number == 1 && header.storeID == storeID
    }

    // MARK: Without a checkpoint

    /// The first sequences of the files of each queue directory, rising.
    private func queueFiles() throws(DiskError) -> [(queue: UInt32, firsts: [UInt64])] {
        var found: [(queue: UInt32, firsts: [UInt64])] = []
        for directory in try disk.names(in: StorePath.queues) {
            guard let id = number(in: directory, before: "").flatMap({ UInt32(exactly: $0) }), id > 0, id < .max,
                "\(StorePath.queues)/\(directory)" == StorePath.queue(id)
            else { continue }
            var firsts: [UInt64] = []
            for name in try disk.names(in: StorePath.queue(id)) {
                guard let first = number(in: name, before: ".log"), first > 0,
                    "\(StorePath.queue(id))/\(name)" == StorePath.queueFile(id, first: first)
                else { continue }
                firsts.append(first)
            }
            found.append((id, firsts.sorted()))
        }
        return found.sorted { $0.queue < $1.queue }
    }

    /// Queues as their files say: every message in them counts as not done with, none of them has a name.
    private mutating func rebuild(_ storeID: UInt64) throws(DiskError) -> (Ledger, Set<UInt32>) {
        var ledger = Ledger()
        var nameless: Set<UInt32> = []
        for (id, firsts) in try queueFiles() {
            var files: [QueueFile] = []
            var settled = SettledSet()
            var next: UInt64 = 1
            for first in firsts where first >= next {
                let header = QueueFileHeader(storeID: storeID, queue: id, first: first)
                let file = try disk.open(StorePath.queueFile(id, first: first), .existing)
                var scan = try QueueFileScan(file, header, count: try file.size())
                var found = QueueFile(first: first, last: first, bytes: 0, kind: .unsummed)
                scan.eachMessage { (message, _) in
                    let sequence = message.head.sequence
                    if !message.isWhole || sequence < next || sequence == .max { return }
                    _ = settled.insert(next, sequence)
                    next = sequence + 1
                    found.last = sequence
                    found.bytes = message.offset + message.head.diskBytes
                }
                if found.bytes > 0 { files.append(try withFooter(found, file, header)) }
            }
            if files.isEmpty { continue }
            var queue = QueueLedger(id: id, name: Salvage.inventedName(id), located: next)
            (queue.next, queue.settled, queue.files) = (next, settled, files)
            ledger.add(queue)
            nameless.insert(id)
        }
        return (ledger, nameless)
    }

    /// The same with what its footer says, if it has one that fits.
    private func withFooter(
        _ found: QueueFile, _ file: any DiskFile, _ header: QueueFileHeader
    ) throws(DiskError) -> QueueFile {
        let bytes = try file.bytes(found.bytes..<found.bytes + QueueFileFooter.size)
        guard let footer = bytes.withUnsafeBytes({ QueueFileFooter($0) }), footer.storeID == header.storeID,
            footer.queue == header.queue, footer.file.first == found.first, footer.file.last == found.last,
            footer.file.bytes == found.bytes
        else { return found }
        var closed = footer.file
        closed.bytes += QueueFileFooter.size
        closed.kind = .closed
        return closed
    }

    // MARK: Other files

    /// Files that no store has, or that the next start takes away.
    func otherFiles(beside ledger: Ledger) throws(DiskError) -> [String] {
        var others: [String] = []
        let known: Set = [
            StorePath.lock, StorePath.store, StorePath.checkpoint, StorePath.secondCheckpoint, StorePath.reserve,
            StorePath.journal,
            StorePath.queues, "admin.sock", BackupRestore.mark,
        ]
        others += try disk.names(in: "").filter { !known.contains($0) }
        let segments = Set(segmentNumbers.filter { $0 >= firstSegment }.map { StorePath.segment($0) })
        others += try disk.names(in: StorePath.journal).map { "\(StorePath.journal)/\($0)" }.filter {
            !segments.contains($0) && !$0.hasSuffix(".spare")
        }
        for directory in try disk.names(in: StorePath.queues) {
            let path = "\(StorePath.queues)/\(directory)"
            let id = number(in: directory, before: "").flatMap { UInt32(exactly: $0) } ?? 0
            let named = Set((ledger.queue(id)?.files ?? []).map { StorePath.queueFile(id, first: $0.first) })
            others += try disk.names(in: path).map { "\(path)/\($0)" }.filter { !named.contains($0) }
        }
        return others.sorted()
    }
}
