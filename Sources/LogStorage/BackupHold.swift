import BrokerCore
import Glibc
import Storage
import Synchronization

/// A copy of the store as it is at one moment, inside the data directory, made while it is in use.
///
///     backup/checkpoint      the durable state of that moment
///     backup/queues/7/...    the same files as in queues/7: one more name for each
///     backup/journal/12.seg  the same files, but for the last, which is being written: a copy up to its end
///     backup/files           how many bytes of each file count, a line for each: number, blank, path
///
/// The keeper makes and removes it, so nothing is retired meanwhile; commits go on. What has a second name here
/// is never overwritten: segments that are given up are removed instead of being used again, and what is
/// appended to a queue file lies behind the bytes that count.
public struct BackupHold: Sendable, Equatable {
    /// Its name in the data directory.
    public static let directory = "backup"
    /// The list of files, in `directory`.
    public static let list = "files"

    /// How many files are to be copied, and how many of their bytes count.
    public internal(set) var files = 0
    public internal(set) var bytes: UInt64 = 0

    /// Everything of one moment, taken under the store's lock.
    private struct Moment {
        var checkpoint: CheckpointMoment
        var segments: [Segment]
        /// The synced part of the last segment.
        var end: Int
        var ready: Segment?
        var queueFiles: [(queue: UInt32, file: QueueFile)]
    }

    private var lines = ""

    /// Only to be called with the keeper's lock held.
    static func make(_ store: Store, number: UInt64) throws(DiskError) -> BackupHold {
        try takeName(on: store.disk)
        let moment = Self.moment(of: store, number)
        var hold = BackupHold()
        do throws(DiskError) {
            try hold.fill(moment, store.disk)
        } catch {
            let problem = error
            try Self.letGo(store)
            throw problem
        }
        return hold
    }

    private static func moment(of store: Store, _ number: UInt64) -> Moment {
        store.state.withLock { state in
            var files: [(queue: UInt32, file: QueueFile)] = []
            for id in state.ledger.ids {
                for file in state.ledger.queue(id)?.files ?? [] { files.append((id, file)) }
            }
            state.held = Set(state.segments.map(\.segment.number))
            return Moment(
                checkpoint: CheckpointMoment(state, storeID: store.storeID, number: max(1, number)),
                segments: state.segments.map(\.segment), end: state.syncedEnd, ready: state.ready, queueFiles: files)
        }
    }

    private static func path(_ path: String) -> String { "\(directory)/\(path)" }

    private mutating func fill(_ moment: Moment, _ disk: any Disk) throws(DiskError) {
        try disk.makeDirectory(Self.directory)
        try disk.makeDirectory(Self.path(StorePath.journal))
        try disk.makeDirectory(Self.path(StorePath.queues))
        try take(StorePath.store, StoreHeader.size, on: disk)
        let checkpoint = moment.checkpoint.encoded
        for path in CheckpointCopies.paths {
            try disk.open(Self.path(path), .create).write(checkpoint, at: 0)
            count(path, checkpoint.count)
        }
        var queue: UInt32 = 0
        for item in moment.queueFiles {
            if item.queue != queue { try disk.makeDirectory(Self.path(StorePath.queue(item.queue))) }
            queue = item.queue
            try take(StorePath.queueFile(queue, first: item.file.first), item.file.bytes, on: disk)
        }
        for segment in moment.segments.dropLast() {
            try take(StorePath.segment(segment.number), segment.size, on: disk)
        }
        if let last = moment.segments.last { try copy(last, moment.end, on: disk) }
        // The last may say already that the log goes on there.
        if let ready = moment.ready { try copy(ready, SegmentHeader.size, on: disk) }
        try disk.open(Self.path(Self.list), .create).write(Array(lines.utf8), at: 0)
        lines = ""
    }

    private mutating func count(_ path: String, _ length: Int) {
        lines += "\(length) \(path)\n"
        files += 1
        bytes += UInt64(length)
    }

    /// One more name for a file whose first `length` bytes do not change any more.
    private mutating func take(_ path: String, _ length: Int, on disk: any Disk) throws(DiskError) {
        try disk.link(path, to: Self.path(path))
        count(path, length)
    }

    /// A copy of the front of a segment that is being written; zeros behind it.
    private mutating func copy(_ segment: Segment, _ length: Int, on disk: any Disk) throws(DiskError) {
        let path = StorePath.segment(segment.number)
        let copy = try disk.open(Self.path(path), .create)
        var at = 0
        while at < length {
            let end = min(length, at + SegmentFactory.zeroRun)
            try copy.write(try segment.file.bytes(at..<end), at: at)
            at = end
        }
        try copy.truncate(to: segment.size)
        count(path, length)
    }

    // MARK: The end

    /// Removes it, if there is one. Only to be called with the keeper's lock held.
    static func letGo(_ store: Store) throws(DiskError) {
        store.state.withLock { $0.held = [] }
        try remove(on: store.disk)
    }

    /// What a process left that ended while there was one. Anything of another name is not ours and stays where
    /// it is, and so does a finished copy that somebody put there.
    static func remove(on disk: any Disk) throws(DiskError) {
        let found = try names(in: directory, on: disk)
        if found.contains(BackupManifest.path) { return }
        for name in found {
            switch name {
            case StorePath.journal: try removeFiles(in: name, on: disk)
            case StorePath.queues:
                for queue in try names(in: path(name), on: disk) { try removeFiles(in: "\(name)/\(queue)", on: disk) }
                try leaveWhatIsTaken { () throws(DiskError) in try disk.removeDirectory(path(name)) }
            case list, StorePath.lock: try removeFile(name, on: disk)
            default: if BackupManifest.limit(of: name) != nil { try removeFile(name, on: disk) }
            }
        }
        try leaveWhatIsTaken { () throws(DiskError) in try disk.removeDirectory(directory) }
    }

    /// The files of a store that are in it, and the directory.
    private static func removeFiles(in directory: String, on disk: any Disk) throws(DiskError) {
        for name in try names(in: path(directory), on: disk) {
            let file = "\(directory)/\(name)"
            if BackupManifest.limit(of: file) != nil { try removeFile(file, on: disk) }
        }
        try leaveWhatIsTaken { () throws(DiskError) in try disk.removeDirectory(path(directory)) }
    }

    private static func removeFile(_ file: String, on disk: any Disk) throws(DiskError) {
        try leaveWhatIsTaken { () throws(DiskError) in try disk.remove(path(file)) }
    }

    /// None in what is no directory.
    private static func names(in directory: String, on disk: any Disk) throws(DiskError) -> [String] {
        do throws(DiskError) { return try disk.names(in: directory) } catch {
            if error.code == ENOTDIR || error.code == ELOOP { return [] }
            throw error
        }
    }

    /// A directory that has something in it, or a name that stands for something of another kind, is no error.
    private static func leaveWhatIsTaken(_ work: () throws(DiskError) -> Void) throws(DiskError) {
        do throws(DiskError) { try work() } catch {
            if ![ENOENT, ENOTEMPTY, EEXIST, ENOTDIR, EISDIR].contains(error.code) { throw error }
        }
    }

    /// Makes sure that the name is free.
    private static func takeName(on disk: any Disk) throws(DiskError) {
        try remove(on: disk)
        if try disk.names(in: "").contains(directory) {
            throw DiskError(
                "making", directory, code: EEXIST,
                detail: "the name `\(directory)` in the data directory is taken by something else: move it away")
        }
    }
}

extension Store {
    /// Makes the copy. It is there until `endBackup`, or until the next start.
    package func beginBackup() throws(StorageFailure) -> BackupHold {
        try keeper.withLock { (keeper) throws(StorageFailure) in
            do throws(DiskError) { return try BackupHold.make(self, number: keeper.checkpointNumber) } catch {
                throw StorageFailure("a copy of the store cannot be set aside: \(error)")
            }
        }
    }

    package func endBackup() throws(StorageFailure) {
        try keeper.withLock { (_) throws(StorageFailure) in
            do throws(DiskError) { try BackupHold.letGo(self) } catch {
                throw StorageFailure("the copy of the store cannot be removed: \(error)")
            }
        }
    }
}
