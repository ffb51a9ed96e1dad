import BrokerCore
import Glibc
import Storage

/// Looks at a whole data directory and says what is there, what is damaged and what follows. Changes
/// nothing; memory is bounded by a segment and the state itself, however much lies in queue files.
public enum StoreCheck {
    /// Takes the directory for as long as it looks. Errors: `unavailable` for one that is in use, that
    /// cannot be read, or that holds no store.
    public static func run(directory: String) throws(StorageFailure) -> StoreReport {
        try run(on: try open(directory))
    }

    static func open(_ directory: String) throws(StorageFailure) -> SystemDisk {
        do throws(DiskError) { return try SystemDisk(directory: directory, mustExist: true) } catch {
            throw StorageFailure("the data directory cannot be used: \(error)", .unavailable)
        }
    }

    static func run(on disk: any Disk) throws(StorageFailure) -> StoreReport {
        let lock = try take(disk)
        defer { withExtendedLifetime(lock) {} }
        let start = try tryStart(on: disk)
        let examination = try Examination(disk, start)
        return examination.report
    }

    /// Errors: `unavailable`.
    static func take(_ disk: any Disk) throws(StorageFailure) -> any DiskLock {
        do throws(DiskError) {
            let names = Set(try disk.names(in: ""))
            if names.isDisjoint(with: [StorePath.store, StorePath.checkpoint, StorePath.journal, StorePath.queues]) {
                throw DiskError("opening", "", code: ENOENT, detail: "there is no store in it")
            }
            return try disk.lock(StorePath.lock)
        } catch {
            let problem = error.isHeld ? "is in use: \(error.detail)" : "cannot be used: \(error)"
            throw StorageFailure("the data directory \(problem)", .unavailable)
        }
    }

    /// What a start would do: a start says it, on a disk that it cannot change.
    static func tryStart(on disk: any Disk) throws(StorageFailure) -> StoreReport.Start {
        do throws(StorageFailure) {
            let (store, recovery) = try Opening.open(TrialDisk(disk), LogSettings())
            store.release()
            return .goesOn(recovery.report)
        } catch {
            if error.kind == .unavailable { throw error }
            return .refuses(error.description)
        }
    }
}

/// Everything that is known of a store after looking at all of it.
struct Examination {
    /// A queue file that is not as it should be.
    struct DamagedFile {
        var queue: UInt32
        var file: QueueFile
        /// Nothing of it is there.
        var isMissing: Bool
    }

    private let disk: any Disk
    private(set) var salvage: Salvage
    private(set) var damagedFiles: [DamagedFile] = []
    private(set) var report = StoreReport()
    /// Of all segment files.
    let segmentNumbers: [UInt32]

    /// What is damaged of one file beyond this is only counted.
    private static let damagesOfFileMax = 20

    /// Errors: only what makes further looking senseless.
    init(_ disk: any Disk, _ start: StoreReport.Start) throws(StorageFailure) {
        self.disk = disk
        var foundation = Foundation(disk)
        salvage = try foundation.salvage()
        salvage.report.start = start
        segmentNumbers = foundation.segmentNumbers
        do throws(DiskError) {
            try salvage.readJournal(foundation.segmentNumbers, first: foundation.firstSegment, on: disk)
            salvage.settleMissing()
            for id in salvage.ledger.ids { try lookAtFiles(of: id) }
            salvage.conclude()
            report = salvage.report
            try describe(foundation)
        } catch {
            throw Foundation.failure(error)
        }
    }

    // MARK: Queue files

    private mutating func lookAtFiles(of id: UInt32) throws(DiskError) {
        guard let queue = salvage.ledger.queue(id) else { return }
        var bytes: UInt64 = 0
        for file in queue.files { bytes += try look(at: file, of: queue) }
        let journal = queue.journalBytes
        let sum = bytes &+ journal
        let stillThere = salvage.ledger.queue(id)?.live ?? 0
        // Sizes of what is lost are not known; so what is left is counted.
        if sum != queue.liveBytes || stillThere != queue.live {
            _ = salvage.ledger.with(id) { $0.liveBytes = stillThere == 0 ? 0 : sum }
        }
    }

    /// Bytes of messages that can be given out.
    private mutating func look(at file: QueueFile, of queue: QueueLedger) throws(DiskError) -> UInt64 {
        let path = StorePath.queueFile(queue.id, first: file.first)
        let open: any DiskFile
        do throws(DiskError) { open = try disk.open(path, .existing) } catch {
            if !error.isMissing { throw error }
            note(path, nil, "the file is missing", queue)
            damagedFiles.append(DamagedFile(queue: queue.id, file: file, isMissing: true))
            lose(queue, file.first...file.last)
            return 0
        }
        let header = QueueFileHeader(storeID: salvage.storeID, queue: queue.id, first: file.first)
        var scan = try QueueFileScan(open, header, count: file.contentBytes)
        var found = Found(next: queue.settled.firstLive(from: file.first))
        scan.eachMessage { (message, content) in found.take(message, queue, until: file.last) }
        found.end(queue, until: file.last)
        var isDamaged = false
        func say(_ offset: Int?, _ sentence: String, _ report: inout StoreReport) {
            isDamaged = true
            report.note(path, offset, "\(sentence) (\(spoken(queue.name)))")
        }
        if !scan.hasHeader { say(0, "the header is damaged or of another file", &salvage.report) }
        if scan.missingBytes > 0 {
            say(file.contentBytes - scan.missingBytes, "\(scan.missingBytes) bytes are missing", &salvage.report)
        }
        for gap in scan.gaps.prefix(Self.damagesOfFileMax) {
            say(gap.lowerBound, "no message can be found in \(gap.count) bytes", &salvage.report)
        }
        for (offset, sequence) in found.damaged {
            let isLive = !queue.settled.contains(sequence)
            say(offset, "message \(sequence) is damaged\(isLive ? "" : ", but done with")", &salvage.report)
        }
        for range in found.lost.ranges { lose(queue, range) }
        if !found.lost.isEmpty, !isDamaged {
            say(nil, "messages \(found.lost.text()) are not in it", &salvage.report)
        }
        if !isDamaged, let (offset, sentence) = try frame(of: open, file, header) {
            say(offset, sentence, &salvage.report)
        }
        if isDamaged { damagedFiles.append(DamagedFile(queue: queue.id, file: file, isMissing: false)) }
        return found.bytes
    }

    /// What is wrong with a file of which every message is whole.
    private func frame(
        of open: any DiskFile, _ file: QueueFile, _ header: QueueFileHeader
    ) throws(DiskError) -> (Int, String)? {
        if file.kind == .unsummed { return nil }
        var sum: UInt32 = 0
        var at = 0
        while at < file.contentBytes {
            let end = min(file.contentBytes, at + Window.size)
            sum = try open.bytes(at..<end).withUnsafeBytes { Checksum.of($0, seed: sum) }
            at = end
        }
        if sum != file.checksum { return (0, "its checksum is not that of its bytes") }
        if file.kind == .open { return nil }
        let found = try open.bytes(file.contentBytes..<file.bytes).withUnsafeBytes { QueueFileFooter($0) }
        var before = file
        before.bytes = file.contentBytes
        before.kind = .open
        let footer = QueueFileFooter(storeID: header.storeID, queue: header.queue, file: before)
        return found == footer ? nil : (file.contentBytes, "its footer is damaged or missing")
    }

    private mutating func note(_ path: String, _ offset: Int?, _ sentence: String, _ queue: QueueLedger) {
        salvage.report.note(path, offset, "\(sentence) (\(spoken(queue.name)))")
    }

    private mutating func lose(_ queue: QueueLedger, _ range: ClosedRange<UInt64>) {
        for run in queue.liveRuns(in: range) { salvage.lose(queue.id, run) }
    }

    /// What a scan finds, compared with the messages that should be there.
    private struct Found {
        /// The next that should be there.
        var next: UInt64
        var lost = SequenceRanges()
        var bytes: UInt64 = 0
        var damaged: [(offset: Int, sequence: UInt64)] = []

        mutating func take(_ message: QueueFileScan.Message, _ queue: QueueLedger, until last: UInt64) {
            let sequence = message.head.sequence
            if !message.isWhole {
                if damaged.count < Examination.damagesOfFileMax { damaged.append((message.offset, sequence)) }
                return
            }
            if sequence < next || sequence > last { return }
            skip(to: sequence, queue)
            if next == sequence {
                bytes += UInt64(message.head.length)
                next = queue.settled.firstLive(from: sequence + 1)
            }
        }

        private mutating func skip(to sequence: UInt64, _ queue: QueueLedger) {
            while next < sequence {
                lost.insert(next...next)
                next = queue.settled.firstLive(from: next + 1)
            }
        }

        mutating func end(_ queue: QueueLedger, until last: UInt64) {
            if last < .max { skip(to: last + 1, queue) }
        }
    }

    // MARK: The report

    private mutating func describe(_ foundation: Foundation) throws(DiskError) {
        report.storeID = salvage.storeID
        for id in salvage.ledger.ids {
            guard let queue = salvage.ledger.queue(id) else { continue }
            let fileBytes = queue.files.reduce(0) { $0 + UInt64($1.bytes) }
            report.queues.append(
                StoreReport.Queue(
                    id: id, name: queue.name, messages: queue.live, bytes: queue.liveBytes, files: queue.files.count,
                    fileBytes: fileBytes))
            report.queueFiles += queue.files.count
            report.queueFileBytes += fileBytes
        }
        report.otherFiles = try foundation.otherFiles(beside: salvage.ledger)
    }
}

extension QueueLedger {
    /// Of live messages that lie in the journal.
    var journalBytes: UInt64 {
        var sum: UInt64 = 0
        var sequence = settled.firstLive(from: located)
        while sequence < placesEnd {
            sum += UInt64(place(sequence).length)
            sequence = settled.firstLive(from: sequence + 1)
        }
        return sum
    }
}
