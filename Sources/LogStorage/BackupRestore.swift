import Glibc
import Storage

/// Makes a data directory out of a copy. The copy may have been written by anybody: names are held against
/// what a store has, links are not followed, sizes are bounded, every byte is covered by a checksum.
///
///     restore.tmp      this is not a store yet, and what is in it may be thrown away
///     all but `store`  copied, compared with the manifest, synced
///     checked          as `brokerctl store check` does, with `store` as it will be
///     `store`          by renaming, last: from here on it is a store
public struct BackupRestore {
    /// What was made.
    public struct Outcome: Sendable {
        public var manifest: BackupManifest
        /// Of the new data directory.
        public var report: StoreReport
    }

    static let mark = "restore.tmp"

    private let source: any Disk
    private let target: any Disk
    private let progress: (UInt64) -> Void
    private var done: UInt64 = 0

    /// Errors: `unavailable` for a directory that is in use or not empty, else what is wrong with the copy.
    public static func run(
        from directory: String, to target: String, progress: @escaping (UInt64) -> Void
    ) throws(StorageFailure) -> Outcome {
        let disks: (source: SystemDisk, target: SystemDisk)
        do throws(DiskError) {
            disks.source = try SystemDisk(directory: directory, mustExist: true)
            disks.target = try SystemDisk(directory: target)
        } catch {
            throw StorageFailure("\(error)", .unavailable)
        }
        return try run(from: disks.source, to: disks.target, progress: progress)
    }

    static func run(
        from source: any Disk, to target: any Disk, progress: @escaping (UInt64) -> Void = { _ in }
    ) throws(StorageFailure) -> Outcome {
        var restore = BackupRestore(source: source, target: target, progress: progress)
        let lock = try restore.takeTarget()
        defer { withExtendedLifetime(lock) {} }
        let manifest = try restore.readManifest()
        do throws(StorageFailure) {
            let report = try restore.fill(manifest)
            return Outcome(manifest: manifest, report: report)
        } catch {
            restore.clear()
            throw error
        }
    }

    private init(source: any Disk, target: any Disk, progress: @escaping (UInt64) -> Void) {
        self.source = source
        self.target = target
        self.progress = progress
    }

    // MARK: The directory

    /// An empty directory, or one in which an earlier attempt was cut short.
    private func takeTarget() throws(StorageFailure) -> any DiskLock {
        do throws(DiskError) {
            try refuseWhatIsThere()
            let lock = try target.lock(StorePath.lock)
            try refuseWhatIsThere()
            return lock
        } catch {
            let problem = error.isHeld ? "the directory is in use: \(error.detail)" : "\(error)"
            throw StorageFailure(problem, .unavailable)
        }
    }

    private func refuseWhatIsThere() throws(DiskError) {
        let names = Set(try target.names(in: "")).subtracting([StorePath.lock])
        if names.isEmpty || names.contains(Self.mark) && !names.contains(StorePath.store) { return }
        throw DiskError("restoring", "", code: ENOTEMPTY, detail: "the directory is not empty")
    }

    /// Takes away what was copied. What cannot be taken away does no harm: without `store` it is none.
    private func clear() {
        do throws(DiskError) {
            for name in try target.names(in: StorePath.journal) { try target.remove("\(StorePath.journal)/\(name)") }
            for queue in try target.names(in: StorePath.queues) {
                let path = "\(StorePath.queues)/\(queue)"
                for name in try target.names(in: path) { try target.remove("\(path)/\(name)") }
                try target.removeDirectory(path)
            }
            for name in try target.names(in: "") where name != StorePath.lock && name != Self.mark {
                if name == StorePath.journal || name == StorePath.queues {
                    try target.removeDirectory(name)
                } else {
                    try target.remove(name)
                }
            }
            if try target.names(in: "").contains(Self.mark) { try target.remove(Self.mark) }
        } catch {
            return
        }
    }

    // MARK: The copy

    private func readManifest() throws(StorageFailure) -> BackupManifest {
        let bytes: [UInt8]
        do throws(DiskError) {
            let file = try source.open(BackupManifest.path, .reading)
            if try file.size() > BackupManifest.sizeLimit {
                throw DiskError("reading", BackupManifest.path, code: EFBIG, detail: "it is too large")
            }
            bytes = try file.contents(limit: BackupManifest.sizeLimit)
        } catch {
            throw StorageFailure(
                error.isMissing
                    ? "there is no file `\(BackupManifest.path)`: this is no copy that `brokerctl backup` finished"
                    : "the copy cannot be read: \(error)", .unavailable)
        }
        let manifest: BackupManifest
        do throws(BackupManifest.Mistake) { manifest = try BackupManifest(decoding: bytes) } catch {
            throw StorageFailure("the file `\(BackupManifest.path)` of the copy cannot be used: \(error.sentence)")
        }
        if manifest.formatVersion > FormatVersion.current {
            throw StorageFailure(
                "the copy is of format version \(manifest.formatVersion), this program knows "
                    + "\(FormatVersion.current) and older: use the brokerctl of the broker that it is from")
        }
        return manifest
    }

    private mutating func fill(_ manifest: BackupManifest) throws(StorageFailure) -> StoreReport {
        do throws(DiskError) {
            let free = try target.freeBytes()
            if manifest.bytes > free {
                throw DiskError(
                    "writing", "", code: ENOSPC, detail: "the copy has \(manifest.bytes) bytes, and \(free) are free")
            }
            clear()
            try target.open(Self.mark, .create).sync()
            try target.syncDirectory("")
            let directories = FileTree(target)
            for directory in [StorePath.journal, StorePath.queues] { try directories.make(directory) }
            try checkDirectories(manifest)
            for entry in manifest.entries {
                try directories.make(above: entry.path)
                try copy(entry)
            }
            try directories.sync()
        } catch {
            throw StorageFailure("the copy cannot be restored: \(error)")
        }
        let report = try check()
        do throws(DiskError) {
            try target.rename(StorePath.storeDraft, to: StorePath.store)
            try target.syncDirectory("")
            try target.remove(Self.mark)
            try target.syncDirectory("")
        } catch {
            throw StorageFailure("the last step of restoring failed: \(error)")
        }
        return report
    }

    /// No directory of the copy is a link to somewhere else.
    private func checkDirectories(_ manifest: BackupManifest) throws(DiskError) {
        var seen: Set<String> = []
        for entry in manifest.entries {
            var directory = ""
            for piece in entry.path.split(separator: "/").dropLast() {
                directory += directory.isEmpty ? String(piece) : "/\(piece)"
                if seen.insert(directory).inserted { _ = try source.names(in: directory) }
            }
        }
    }

    private mutating func copy(_ entry: BackupManifest.Entry) throws(DiskError) {
        let from = try source.open(entry.path, .reading)
        let path = entry.path == StorePath.store ? StorePath.storeDraft : entry.path
        let file = try target.open(path, .create)
        if try from.size() != entry.bytes {
            throw DiskError("reading", entry.path, code: EIO, detail: "it has not the size that the manifest says")
        }
        var sum: UInt32 = 0
        var at = 0
        while at < entry.bytes {
            let run = try from.exactly(at..<min(entry.bytes, at + SegmentFactory.zeroRun))
            sum = run.withUnsafeBytes { Checksum.of($0, seed: sum) }
            try file.write(run, at: at)
            at += run.count
            done += UInt64(run.count)
            progress(done)
        }
        if sum != entry.checksum {
            throw DiskError("reading", entry.path, code: EIO, detail: "it is damaged: its checksum is another")
        }
        if path.hasSuffix(".seg") { try fillUp(file, from: at) }
        try file.sync()
    }

    /// Zeros up to the end of a segment, so that a commit never has to make the file longer.
    private func fillUp(_ file: any DiskFile, from start: Int) throws(DiskError) {
        let head = try file.contents(limit: SegmentHeader.size)
        guard let header = head.withUnsafeBytes({ SegmentHeader($0) }),
            header.segmentBytes <= UInt64(JournalPlace.offsetLimit)
        else { return }
        var at = start
        while at < Int(header.segmentBytes) {
            let count = min(SegmentFactory.zeroRun, Int(header.segmentBytes) - at)
            try file.write([UInt8](repeating: 0, count: count), at: at)
            at += count
        }
    }

    /// As `brokerctl store check`, with the file `store` in its place already. Errors: a store that would not
    /// start.
    private func check() throws(StorageFailure) -> StoreReport {
        let trial = TrialDisk(target)
        do throws(DiskError) { try trial.rename(StorePath.storeDraft, to: StorePath.store) } catch {
            throw StorageFailure("the copy cannot be checked: \(error)")
        }
        let start = try StoreCheck.tryStart(on: trial)
        if case .refuses(let sentence) = start {
            throw StorageFailure("no broker would start on this copy: \(sentence)")
        }
        return try Examination(trial, start).report
    }
}
