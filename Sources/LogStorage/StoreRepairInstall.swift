import Glibc

/// Puts the new files of a repair in the place of the old ones. Can be cut off anywhere and done again.
///
///     1  the new, empty segment: from here on the directory never looks like one without a store
///     2  `store` and the checkpoints are taken away: from here on nothing starts
///     3  what is replaced is taken away, what is new put in its place, all but
///     4  the checkpoints, then `store`
///
/// A plan whose second step was not begun is thrown away by the next repair: a broker may have been at work since.
struct RepairInstall {
    static let new = "new"
    static let plan = "ready"
    private static let draft = "ready.tmp"
    private static let done = "done"

    private let disk: any Disk
    private let folder: String
    /// Paths of files in `new`.
    var installs: [String] = []
    /// Paths that are not among them.
    var removals: [String] = []

    init(_ disk: any Disk, _ folder: String) {
        self.disk = disk
        self.folder = folder
    }

    private func pending(_ path: String) -> String { "\(folder)/\(Self.new)/\(path)" }

    // MARK: The plan

    func writeDown() throws(DiskError) {
        var text = ""
        for path in installs { text += "install \(path)\n" }
        for path in removals { text += "remove \(path)\n" }
        let file = try disk.open("\(folder)/\(Self.draft)", .create)
        try file.write(Array(text.utf8), at: 0)
        try file.sync()
        try disk.syncDirectory("\(folder)/\(Self.new)")
        try disk.syncDirectory("")
        try disk.rename("\(folder)/\(Self.draft)", to: "\(folder)/\(Self.plan)")
        try disk.syncDirectory(folder)
    }

    private mutating func readPlan() throws(DiskError) {
        let path = "\(folder)/\(Self.plan)"
        let bytes = try disk.open(path, .reading).contents(limit: BackupManifest.sizeLimit)
        for line in bytes.split(separator: 0x0A) {
            let words = String(decoding: line, as: UTF8.self).split(separator: " ").map(String.init)
            guard words.count == 2, BackupManifest.limit(of: words[1]) != nil else {
                throw DiskError("reading", path, code: EIO, detail: "a line of it is not understood")
            }
            if words[0] == "install" { installs.append(words[1]) } else { removals.append(words[1]) }
        }
    }

    /// Finishes repairs that were cut off, and clears away what others left that had not begun. True if one
    /// was finished.
    static func finishOthers(on disk: any Disk) throws(DiskError) -> Bool {
        var hasFinished = false
        for folder in try disk.names(in: "").sorted() where folder.hasPrefix(StoreRepair.prefix) {
            let names = Set(try disk.names(in: folder))
            guard names.contains(new) else { continue }
            var install = RepairInstall(disk, folder)
            let isThere = try disk.names(in: "").contains(StorePath.store)
            let isPending = try disk.names(in: "\(folder)/\(new)").contains(StorePath.store)
            if names.contains(plan), !isThere, isPending {
                try install.readPlan()
                try install.carryOut()
                hasFinished = true
            } else {
                let isDone = names.contains(plan) && !isPending
                // Without its files it would look like one that was carried out.
                if names.contains(plan), isPending { try install.throwAway() }
                try install.clear()
                if isDone { try install.finish() }
            }
        }
        return hasFinished
    }

    // MARK: Carrying out

    func carryOut() throws(DiskError) {
        let top = [StorePath.store] + CheckpointCopies.paths
        let below = installs.filter { !top.contains($0) }
        // A name must not be in a directory that is not durable itself.
        let directories = FileTree(disk)
        for directory in [StorePath.journal, StorePath.queues] { try directories.make(directory) }
        for path in below { try directories.make(above: path) }
        try directories.sync()
        for path in below where path.hasSuffix(".seg") { try put(path) }
        try syncDirectories(of: below)
        for path in top where try isPending(path) { try takeAway(path) }
        try disk.syncDirectory("")
        for path in removals where !top.contains(path) { try takeAway(path) }
        for path in below { try put(path) }
        try syncDirectories(of: below + removals)
        for path in CheckpointCopies.paths { try put(path) }
        try disk.syncDirectory("")
        try disk.syncDirectory("\(folder)/\(Self.new)")
        try put(StorePath.store)
        try disk.syncDirectory("")
        try disk.syncDirectory("\(folder)/\(Self.new)")
        try clear()
        try finish()
    }

    private func throwAway() throws(DiskError) {
        try disk.remove("\(folder)/\(Self.plan)")
        try disk.syncDirectory(folder)
    }

    private func finish() throws(DiskError) {
        try disk.rename("\(folder)/\(Self.plan)", to: "\(folder)/\(Self.done)")
        try disk.syncDirectory(folder)
    }

    private func isPending(_ path: String) throws(DiskError) -> Bool {
        do throws(DiskError) {
            _ = try disk.open(pending(path), .reading)
            return true
        } catch {
            if error.isMissing { return false }
            throw error
        }
    }

    /// Nothing, if it is in its place already.
    private func put(_ path: String) throws(DiskError) {
        guard try isPending(path) else { return }
        try disk.rename(pending(path), to: path)
    }

    private func takeAway(_ path: String) throws(DiskError) {
        do throws(DiskError) { try disk.remove(path) } catch {
            if !error.isMissing { throw error }
        }
    }

    private func syncDirectories(of paths: [String]) throws(DiskError) {
        var seen: Set<String> = []
        for path in paths {
            guard let end = path.lastIndex(of: "/") else { continue }
            let directory = String(path[..<end])
            if !seen.insert(directory).inserted { continue }
            for directory in [directory, "\(folder)/\(Self.new)/\(directory)"] {
                do throws(DiskError) { try disk.syncDirectory(directory) } catch {
                    if !error.isMissing { throw error }
                }
            }
        }
        try disk.syncDirectory(StorePath.queues)
    }

    /// What is left of the new files.
    private func clear() throws(DiskError) {
        let new = "\(folder)/\(Self.new)"
        for name in try disk.names(in: new) {
            let path = "\(new)/\(name)"
            switch name {
            case StorePath.journal: try clear(path)
            case StorePath.queues:
                for queue in try disk.names(in: path) { try clear("\(path)/\(queue)") }
                try disk.removeDirectory(path)
            default: try disk.remove(path)
            }
        }
        try disk.removeDirectory(new)
    }

    private func clear(_ directory: String) throws(DiskError) {
        for name in try disk.names(in: directory) { try disk.remove("\(directory)/\(name)") }
        try disk.removeDirectory(directory)
    }
}
