import Glibc
import Storage

/// Copies what a running broker has set aside into a directory of its own.
public struct BackupCopy {
    private let source: any Disk
    private let target: any Disk
    private let progress: (UInt64) throws(StorageFailure) -> Void
    private let confirm: () throws(StorageFailure) -> Void
    private var done: UInt64 = 0

    /// `directory` is the broker's data directory. `progress` is told how many bytes are copied, about every
    /// MiB, and `confirm` is asked before the copy is called whole; what they throw ends it. Errors: `unavailable` for a target that is not empty.
    public static func run(
        from directory: String, to target: String, progress: @escaping (UInt64) throws(StorageFailure) -> Void,
        confirm: @escaping () throws(StorageFailure) -> Void
    ) throws(StorageFailure) -> BackupManifest {
        let disks: (source: SystemDisk, target: SystemDisk)
        do throws(DiskError) {
            disks.source = try SystemDisk(directory: directory, mustExist: true)
            disks.target = try SystemDisk(directory: target)
        } catch {
            throw StorageFailure("\(error)", .unavailable)
        }
        return try run(from: disks.source, to: disks.target, progress: progress, confirm: confirm)
    }

    static func run(
        from source: any Disk, to target: any Disk,
        progress: @escaping (UInt64) throws(StorageFailure) -> Void = { _ in },
        confirm: @escaping () throws(StorageFailure) -> Void = {}
    ) throws(StorageFailure) -> BackupManifest {
        var copy = BackupCopy(source: source, target: target, progress: progress, confirm: confirm)
        return try copy.run()
    }

    private init(
        source: any Disk, target: any Disk, progress: @escaping (UInt64) throws(StorageFailure) -> Void,
        confirm: @escaping () throws(StorageFailure) -> Void
    ) {
        self.source = source
        self.target = target
        self.progress = progress
        self.confirm = confirm
    }

    private mutating func run() throws(StorageFailure) -> BackupManifest {
        do throws(DiskError) {
            if !(try target.names(in: "").isEmpty) {
                throw DiskError("writing", "", code: ENOTEMPTY, detail: "the directory for the copy is not empty")
            }
        } catch {
            throw StorageFailure("\(error)", .unavailable)
        }
        do throws(DiskError) {
            let header = try source.open("\(BackupHold.directory)/\(StorePath.store)", .reading)
                .contents(limit: StoreHeader.size)
            guard let store = try? StoreHeader.decode(header) else {
                throw DiskError("reading", StorePath.store, code: EIO, detail: "it is damaged")
            }
            var manifest = BackupManifest(storeID: store.storeID, formatVersion: store.version)
            let directories = FileTree(target)
            for (path, bytes) in try list() {
                try directories.make(above: path)
                let from = try source.open("\(BackupHold.directory)/\(path)", .reading)
                let sum = try copy(from, to: path, bytes)
                manifest.entries.append(BackupManifest.Entry(path: path, bytes: bytes, checksum: sum))
            }
            try directories.sync()
            do throws(StorageFailure) { try confirm() } catch {
                throw DiskError("copying", BackupHold.directory, code: ECANCELED, detail: error.description)
            }
            try target.replace(BackupManifest.path, BackupManifest.draft, manifest.encoded())
            return manifest
        } catch {
            throw StorageFailure("the copy cannot be made: \(error)")
        }
    }

    /// The files that the broker says there are.
    private func list() throws(DiskError) -> [(path: String, bytes: Int)] {
        let path = "\(BackupHold.directory)/\(BackupHold.list)"
        let text = try source.open(path, .reading).contents(limit: BackupManifest.sizeLimit)
        var files: [(path: String, bytes: Int)] = []
        for line in text.split(separator: 0x0A) {
            let words = String(decoding: line, as: UTF8.self).split(separator: " ").map(String.init)
            guard words.count == 2, let length = UInt64(strict: words[0]), let bytes = Int(exactly: length),
                let limit = BackupManifest.limit(of: words[1]), bytes <= limit
            else { throw DiskError("reading", path, code: EIO, detail: "a line of it is not understood") }
            files.append((words[1], bytes))
        }
        return files
    }

    private mutating func copy(
        _ from: any DiskFile, to path: String, _ bytes: Int
    ) throws(DiskError) -> UInt32 {
        let file = try target.open(path, .create)
        var sum: UInt32 = 0
        var at = 0
        while at < bytes {
            let run = try from.exactly(at..<min(bytes, at + SegmentFactory.zeroRun))
            sum = run.withUnsafeBytes { Checksum.of($0, seed: sum) }
            try file.write(run, at: at)
            at += run.count
            done += UInt64(run.count)
            do throws(StorageFailure) { try progress(done) } catch {
                throw DiskError("copying", path, code: ECANCELED, detail: error.description)
            }
        }
        try file.sync()
        return sum
    }
}

/// Directories of a copy, each made once and synced in the end.
final class FileTree {
    private let disk: any Disk
    private var made: Set<String> = []

    init(_ disk: any Disk) { self.disk = disk }

    func make(above path: String) throws(DiskError) {
        var directory = ""
        for piece in path.split(separator: "/").dropLast() {
            directory += directory.isEmpty ? String(piece) : "/\(piece)"
            try make(directory)
        }
    }

    /// Those above it must be there.
    func make(_ directory: String) throws(DiskError) {
        if made.insert(directory).inserted { try disk.makeDirectory(directory) }
    }

    /// The deepest first.
    func sync() throws(DiskError) {
        for directory in made.sorted(by: { $0.utf8.count > $1.utf8.count }) { try disk.syncDirectory(directory) }
        try disk.syncDirectory("")
    }
}

extension DiskFile {
    /// The bytes of `range`; a file that is shorter is an error.
    func exactly(_ range: Range<Int>) throws(DiskError) -> [UInt8] {
        if try size() < range.upperBound {
            throw DiskError("reading", path, code: EIO, detail: "it ends before offset \(range.upperBound)")
        }
        return try bytes(range)
    }
}
