import Glibc
import Storage

/// Makes a store start again with the least loss, and keeps everything that it takes away.
///
///     repair-STAMP/saved/...   what is replaced, as it was; or in a directory that was named
///     repair-STAMP/report.txt  what was damaged, lost, and may come again
///     repair-STAMP/new/...     the store's new files, on their way
///     repair-STAMP/ready       all of these are there and durable: what is to be done with them
///
/// Carried out by `RepairInstall`, and once more by the next repair should this one be cut off.
public struct StoreRepair {
    public struct Outcome: Sendable {
        /// What was found before.
        public var before: StoreReport
        /// What is there now; nil where nothing was changed.
        public var after: StoreReport?
        /// Where the report and what was replaced are.
        public var folder: String?
        /// An earlier repair was cut off and has been finished first.
        public var hasFinishedAnother = false
    }

    static let prefix = "repair-"

    private let disk: any Disk
    private let saving: (any Disk)?
    private let stamp: String

    /// Without `carryOut` it only looks, except that a repair that was begun is finished. `stamp` is part of the
    /// name of the directory that is made. `saved`: where copies of what is replaced go.
    public static func run(
        directory: String, saved: String?, stamp: String, carryOut: Bool
    ) throws(StorageFailure) -> Outcome {
        let disk = try StoreCheck.open(directory)
        var saving: SystemDisk?
        if let saved { saving = try open(saved, beside: directory, making: carryOut) }
        return try run(on: disk, saving: saving, stamp: stamp, carryOut: carryOut)
    }

    /// The directory for the copies; nil where there is none yet and none is to be made. One inside the data
    /// directory would be written to what is copied, or be cleared away by a start.
    private static func open(
        _ saved: String, beside directory: String, making: Bool
    ) throws(StorageFailure) -> SystemDisk? {
        let place = resolved(saved) ?? resolved(above(saved))
        if let data = resolved(directory), let place, place == data || place.hasPrefix(data + "/") {
            throw StorageFailure(
                "the copies of what is replaced cannot go to \(saved): it is the data directory, or lies in it",
                .unavailable)
        }
        do throws(DiskError) { return try SystemDisk(directory: saved, mustExist: !making) } catch {
            if error.isMissing, !making { return nil }
            throw StorageFailure("\(error)", .unavailable)
        }
    }

    /// Without links and dots; nil for what is not there.
    private static func resolved(_ path: String) -> String? {
        guard let found = realpath(path, nil) else { return nil }
        defer { free(found) }
        return String(cString: found)
    }

    private static func above(_ path: String) -> String {
        let pieces = path.split(separator: "/").dropLast().joined(separator: "/")
        if path.hasPrefix("/") { return "/" + pieces }
        return pieces.isEmpty ? "." : pieces
    }

    static func run(
        on disk: any Disk, saving: (any Disk)? = nil, stamp: String, carryOut: Bool
    ) throws(StorageFailure) -> Outcome {
        let lock = try StoreCheck.take(disk)
        defer { withExtendedLifetime(lock) {} }
        if let saving { try refuseWhatIsIn(saving) }
        let repair = StoreRepair(disk: disk, saving: saving, stamp: stamp)
        return try repair.run(carryOut)
    }

    /// Copies take the names that files of a store have: what had them would be overwritten.
    private static func refuseWhatIsIn(_ saving: any Disk) throws(StorageFailure) {
        let isEmpty: Bool
        do throws(DiskError) { isEmpty = try saving.names(in: "").isEmpty } catch {
            throw StorageFailure("the directory for copies of what is replaced cannot be used: \(error)", .unavailable)
        }
        if isEmpty { return }
        throw StorageFailure(
            "the directory for copies of what is replaced is not empty: name a new or an empty one", .unavailable)
    }

    private func run(_ carryOut: Bool) throws(StorageFailure) -> Outcome {
        var hasFinished = false
        if carryOut {
            hasFinished = try attempt { () throws(DiskError) in try RepairInstall.finishOthers(on: disk) }
        }
        let examination = try Examination(disk, try StoreCheck.tryStart(on: disk))
        var outcome = Outcome(before: examination.report, hasFinishedAnother: hasFinished)
        if examination.report.isWhole || !carryOut { return outcome }
        let folder = try attempt { () throws(DiskError) in try carryOutRepair(examination) }
        outcome.folder = folder
        outcome.after = try Examination(disk, try StoreCheck.tryStart(on: disk)).report
        return outcome
    }

    private func attempt<Result>(_ work: () throws(DiskError) -> Result) throws(StorageFailure) -> Result {
        do throws(DiskError) { return try work() } catch {
            throw StorageFailure("the repair was cut off and can be begun again: \(error)")
        }
    }

    // MARK: Carrying out

    private func carryOutRepair(_ examination: Examination) throws(DiskError) -> String {
        try checkRoom(for: replaced(examination))
        let folder = try makeFolder()
        let report = RepairText.text(of: examination.report)
        try save(report, examination, in: folder)
        let new = FolderDisk(disk, "\(folder)/\(RepairInstall.new)")
        var building = RepairBuilding(examination, from: disk, to: new)
        try building.build()
        var plan = RepairInstall(disk, folder)
        plan.installs = building.made
        plan.removals = replaced(examination).filter { !building.made.contains($0) }
        try plan.writeDown()
        try plan.carryOut()
        return folder
    }

    /// Room for copies of what is replaced, unless they go elsewhere, and for what takes its place.
    private func checkRoom(for paths: [String]) throws(DiskError) {
        var bytes = 0
        for path in paths {
            do throws(DiskError) { bytes += try disk.open(path, .reading).size() } catch {
                if !error.isMissing { throw error }
            }
        }
        let needed = UInt64(bytes) * (saving == nil ? 2 : 1) + UInt64(LogSettings().segmentBytes)
        let free = try disk.freeBytes()
        if needed > free {
            throw DiskError(
                "repairing", "", code: ENOSPC,
                detail: "up to \(needed) bytes are needed and \(free) are free; --save puts the copies elsewhere")
        }
    }

    private func makeFolder() throws(DiskError) -> String {
        let names = Set(try disk.names(in: ""))
        var folder = Self.prefix + stamp
        var copy = 1
        while names.contains(folder) {
            copy += 1
            folder = "\(Self.prefix)\(stamp)-\(copy)"
        }
        try disk.makeDirectory(folder)
        for name in [
            RepairInstall.new, "\(RepairInstall.new)/\(StorePath.journal)", "\(RepairInstall.new)/\(StorePath.queues)",
        ] {
            try disk.makeDirectory("\(folder)/\(name)")
        }
        return folder
    }

    /// Files that the new ones replace, if they are there.
    private func replaced(_ examination: Examination) -> [String] {
        var paths = [StorePath.store] + CheckpointCopies.paths
        paths += examination.segmentNumbers.map { StorePath.segment($0) }
        for item in examination.damagedFiles where !item.isMissing {
            paths.append(StorePath.queueFile(item.queue, first: item.file.first))
        }
        return paths
    }

    /// Copies, not names: a segment is used again, and another disk may be meant.
    private func save(_ report: [UInt8], _ examination: Examination, in folder: String) throws(DiskError) {
        let target = saving ?? FolderDisk(disk, "\(folder)/saved")
        if saving == nil { try disk.makeDirectory("\(folder)/saved") }
        let directories = FileTree(target)
        for path in replaced(examination) {
            let source: any DiskFile
            do throws(DiskError) { source = try disk.open(path, .reading) } catch {
                if error.isMissing { continue }
                throw error
            }
            try directories.make(above: path)
            try copy(source, to: try target.open(path, .create))
        }
        try directories.sync()
        let file = try disk.open("\(folder)/report.txt", .create)
        try file.write(report, at: 0)
        try file.sync()
    }

    /// Zeros stand for what the disk does not give back.
    private func copy(_ source: any DiskFile, to target: any DiskFile) throws(DiskError) {
        let size = try source.size()
        var at = 0
        var step = SegmentFactory.zeroRun
        while at < size {
            let end = min(size, at + step)
            do throws(DiskError) {
                try target.write(try source.bytes(at..<end), at: at)
            } catch {
                if error.isFull || error.operation.hasPrefix("writ") { throw error }
                if step > QueueFileScan.blockSize {
                    step = QueueFileScan.blockSize
                    continue
                }
                try target.write([UInt8](repeating: 0, count: end - at), at: at)
            }
            at = end
        }
        try target.sync()
    }
}

/// What a repair says, as a file.
enum RepairText {
    static func text(of report: StoreReport) -> [UInt8] {
        var text = "What was damaged:\n"
        for damage in report.damages {
            text += "  \(damage.path)\(damage.offset.map { " at offset \($0)" } ?? ""): \(damage.sentence)\n"
        }
        if report.furtherDamages > 0 { text += "  and \(report.furtherDamages) more places\n" }
        for (kind, title) in [
            (StoreReport.Loss.Kind.lost, "Messages that are lost:"),
            (.mayReturn, "Messages that may come again although they were acknowledged:"),
            (.unknownFrom, "Queues of which messages from here on are lost, if there were any:"),
        ] {
            let losses = report.losses.filter { $0.kind == kind }
            if losses.isEmpty { continue }
            text += "\(title)\n"
            for loss in losses {
                text += "  \(spoken(loss.name)): \(loss.sequences.text(limit: SequenceRanges.countMax))\n"
            }
        }
        if !report.consequences.isEmpty { text += "Besides:\n" }
        for sentence in report.consequences { text += "  \(sentence)\n" }
        return Array(text.utf8)
    }
}
