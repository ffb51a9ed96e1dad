import Base
import BrokerCore
import Glibc

/// Appends live messages of a retired segment to the files of their queues.
struct Filer: ~Copyable {
    /// The messages of one queue that have to move.
    struct Work: Sendable {
        var queue: UInt32
        var messages: [(sequence: UInt64, place: JournalPlace)]
        /// The file to go on with, if there is one.
        var tail: QueueFile?
    }

    /// What the ledger has to be told: a file of a queue that is new or longer.
    struct Change: Sendable {
        var queue: UInt32
        var file: QueueFile
        var isNew: Bool
        /// Bytes of the file that counted before.
        var before: Int

        var path: String { StorePath.queueFile(queue, first: file.first) }

        func apply(to queue: inout QueueLedger) {
            if !isNew, let index = queue.files.firstIndex(where: { $0.first == file.first }) {
                queue.files[index] = file
            } else {
                queue.files.append(file)
            }
        }
    }

    private let disk: any Disk
    private let settings: LogSettings
    private let storeID: UInt64
    private(set) var changes: [Change] = []
    /// Written and not synced yet.
    private var unsynced: [(file: any DiskFile, isNew: Bool)] = []
    private var output = Buffer()
    private var window = Window()
    private var directories: Set<UInt32> = []

    private static let writeSize = 1 << 20
    private var wasClosedUnsynced = false

    init(disk: any Disk, settings: LogSettings, storeID: UInt64) {
        self.disk = disk
        self.settings = settings
        self.storeID = storeID
    }

    /// Queues of which a file was written to.
    var touched: Set<UInt32> { Set(changes.map(\.queue)) }

    /// Writes the messages of one queue, without a sync.
    mutating func file(_ work: Work, from segment: Segment, isClosed: Bool) throws(DiskError) {
        guard !work.messages.isEmpty else { return }
        var next = 0
        // What a sync failed on is left as it is: a footer would need one more sync of the same file.
        if let tail = work.tail, !isClosed, tail.kind != .closed {
            if tail.bytes < settings.queueFileBytes {
                let file = try disk.open(StorePath.queueFile(work.queue, first: tail.first), .existing)
                next = try append(work, from: next, to: file, tail, isNew: false, segment)
            } else if tail.kind == .open {
                try close(tail, of: work.queue)
            }
        }
        while next < work.messages.count {
            try makeDirectory(work.queue)
            let first = work.messages[next].sequence
            let file = try disk.open(StorePath.queueFile(work.queue, first: first), .create)
            let header = QueueFileHeader(storeID: storeID, queue: work.queue, first: first)
            let bytes = header.encoded()
            let fresh = QueueFile(
                first: first, last: first, bytes: bytes.count, checksum: bytes.withUnsafeBytes { Checksum.of($0) })
            try file.write(bytes, at: 0)
            next = try append(work, from: next, to: file, fresh, isNew: true, segment)
        }
    }

    private mutating func makeDirectory(_ queue: UInt32) throws(DiskError) {
        if directories.insert(queue).inserted { try disk.makeDirectory(StorePath.queue(queue)) }
    }

    /// Fills one file; returns the index behind the last message that went in.
    private mutating func append(
        _ work: Work, from start: Int, to target: any DiskFile, _ before: QueueFile, isNew: Bool, _ segment: Segment
    ) throws(DiskError) -> Int {
        let seed = QueueFileHeader(storeID: storeID, queue: work.queue, first: before.first).seed
        var file = before
        var written = file.bytes
        note(Change(queue: work.queue, file: file, isNew: isNew, before: before.bytes), target)
        var next = start
        output.clear()
        window.forget()
        while next < work.messages.count, file.bytes < settings.queueFileBytes || next == start {
            let (sequence, place) = work.messages[next]
            let content = try window.bytes(of: work.messages, next, in: segment)
            let head = StoredHead(
                sequence: sequence, length: place.length, headerBytes: place.headerBytes, checksum: place.checksum,
                flags: place.flags)
            let checksum = take(head, content, seed: seed, fileChecksum: file.checksum)
            if file.kind != .unsummed {
                file.checksum = checksum
                file.messages &+= 1
            }
            file.bytes += head.diskBytes
            file.last = sequence
            next += 1
            if output.count >= Self.writeSize { try flush(to: target, &written) }
        }
        if file.bytes >= settings.queueFileBytes, file.kind == .open {
            let footer = QueueFileFooter(storeID: storeID, queue: work.queue, file: file).encoded()
            output.append(footer)
            file.bytes += footer.count
            file.kind = .closed
        }
        try flush(to: target, &written)
        changes[changes.count - 1].file = file
        return next
    }

    private mutating func note(_ change: Change, _ target: any DiskFile) {
        changes.append(change)
        if unsynced.count >= settings.filesSyncedSingly {
            // Too many for one by one: they are synced all together in the end.
            unsynced.removeAll()
            wasClosedUnsynced = true
        }
        unsynced.append((target, change.isNew))
    }

    /// A file that is long enough, but was not when it was last written to: the setting is another now.
    private mutating func close(_ tail: QueueFile, of queue: UInt32) throws(DiskError) {
        let target = try disk.open(StorePath.queueFile(queue, first: tail.first), .existing)
        let footer = QueueFileFooter(storeID: storeID, queue: queue, file: tail).encoded()
        var file = tail
        file.bytes += footer.count
        file.kind = .closed
        note(Change(queue: queue, file: file, isNew: false, before: tail.bytes), target)
        try target.write(footer, at: tail.bytes)
    }

    /// Adds one message to `output`, and returns the file's checksum with it. A damaged one is carried along
    /// with the checksum that it had: reading it will say so, as it would have before.
    private mutating func take(
        _ head: StoredHead, _ content: UnsafeRawBufferPointer, seed: UInt32, fileChecksum: UInt32
    ) -> UInt32 {
        output.reserve(head.diskBytes)
        let target = UnsafeMutableRawPointer(output.room.baseAddress.unsafelyUnwrapped)
        memset(target + (head.diskBytes - StoredHead.alignment), 0, StoredHead.alignment)
        head.encode(to: target, seed: seed)
        if let source = content.baseAddress { memcpy(target + StoredHead.size, source, content.count) }
        output.written(head.diskBytes)
        return Checksum.of(target, head.diskBytes, seed: fileChecksum)
    }

    private mutating func flush(to file: any DiskFile, _ written: inout Int) throws(DiskError) {
        if output.isEmpty { return }
        let bytes = UnsafeRawBufferPointer(UnsafeBufferPointer(output.readable))
        try file.write(bytes, at: written)
        written += bytes.count
        output.clear()
    }

    /// Makes everything durable: bytes, names, and directories.
    mutating func sync() throws(DiskError) {
        if wasClosedUnsynced {
            unsynced.removeAll()
            if try disk.syncEverything() { return }
            for change in changes { try disk.open(change.path, .existing).sync() }
        }
        for (file, isNew) in unsynced {
            if isNew { try file.sync() } else { try file.syncData() }
        }
        unsynced.removeAll()
        for queue in directories.sorted() { try disk.syncDirectory(StorePath.queue(queue)) }
        if !directories.isEmpty { try disk.syncDirectory(StorePath.queues) }
    }

    /// Gives back the room that was taken; nothing names it. What cannot be given back now is cut or
    /// overwritten by a later round, or at the next start.
    mutating func undo() {
        unsynced.removeAll()
        for change in changes {
            do throws(DiskError) {
                if change.isNew {
                    try disk.remove(change.path)
                } else {
                    try disk.open(change.path, .existing).truncate(to: change.before)
                }
            } catch {
                continue
            }
        }
    }
}

extension QueueLedger {
    /// Adds live messages at the front of the journal part that lie in `slot`, of at most `most` from `from` on.
    /// Returns where to go on, nil at the end of them.
    func gather(
        inSlot slot: UInt32, from: UInt64, most: UInt64, into messages: inout [(sequence: UInt64, place: JournalPlace)]
    ) -> UInt64? {
        var sequence = max(from, located)
        let end = placesEnd
        let pause = sequence + most
        while sequence < end {
            if sequence == pause { return sequence }
            let place = place(sequence)
            if place.slot != slot { break }
            if !settled.contains(sequence) { messages.append((sequence, place)) }
            sequence += 1
        }
        return nil
    }

    /// Messages in `slot` are not looked for in the journal any more.
    mutating func forgetPlaces(inSlot slot: UInt32) {
        var sequence = located
        let end = placesEnd
        while sequence < end, place(sequence).slot == slot { sequence += 1 }
        forgetPlaces(below: sequence)
    }

    /// Takes away the files in which nothing is alive, and returns them.
    mutating func dropSettledFiles() -> [QueueFile] {
        let gone = files.filter { settled.firstLive(from: $0.first) > $0.last }
        if !gone.isEmpty { files.removeAll { file in gone.contains { $0.first == file.first } } }
        return gone
    }
}
