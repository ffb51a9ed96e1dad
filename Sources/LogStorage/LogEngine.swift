import Base
import BrokerCore
import Storage
import Synchronization

/// The embedded storage engine: a journal and queue files in one directory. See docs/storage.md.
///
///     append ---> gathered ---> journal thread: write, sync, ledger ---> durable(through:)
///                                   |  segment full      (or on the thread of the caller: commitHere)
///                                   v
///                               keeper thread: next segment, retiring, checkpoints, free space
///     read -----> requests ---> reader thread ---> then(page)
///                               scrubber thread: reads what is at rest, slowly ---> found(finding)
public final class LogEngine: StorageEngine {
    let store: Store
    /// Filled by `append`, emptied by the journal thread.
    private let inbox = Monitor(Inbox())
    private let chores = Monitor(Chores())
    private let requests = Monitor(Requests())
    /// True when the scrubber has to end.
    private let scrubbing = Monitor(false)
    private let backlog = Atomic<Int>(0)
    /// How long commits have been waiting for a segment.
    let secondsWithoutRoom = Atomic<Int>(0)
    /// Why the keeper's last round failed, if not for want of room.
    private let brokenDisk = Mutex<String?>(nil)

    /// Seconds that `close` waits for room on the disk.
    private static let closingSecondsMax = 5
    /// Milliseconds between two segments that are retired though commits do not need the room: what is about to be
    /// consumed need not be moved, and reading and writing stand in nobody's way for long.
    private static let calmPause = 200
    /// Seconds that commits wait for a segment from a disk that fails. Room may come back; such a disk hardly ever
    /// does, and nobody should wait for a RECEIPT that will not come.
    static let brokenSecondsMax = 5

    private struct Inbox {
        var batches: [Batch] = []
        /// Somebody waits for them.
        var isHurried = false
        var journal = Journal.taken
        /// A caller has committed since the journal thread last looked whether the log is idle.
        var hasMoved = false
        /// The log is marked as idle: the journal thread waits for as long as it takes.
        var isAsleep = false
        var madeRoom = false
        var closing: (@Sendable () -> Void)?
        /// What went wrong in a commit by a caller.
        var failure: StorageFailure?
        var hasFailed = false
    }

    /// Who has the journal. Whoever commits or marks has taken it, so there is never more than one.
    private enum Journal {
        /// The journal thread waits for work.
        case free
        /// The journal thread is at work, or was told of some.
        case taken
        /// A caller commits; the journal thread waits for it to be done.
        case lent
    }

    private struct Chores {
        var isDue = false
        var closing: (@Sendable () -> Void)?
        var isOver = false
        /// What others want done by the keeper; false: there is none any more.
        var errands = Deque<@Sendable (_ isOpen: Bool) -> Void>()
        var hasEnded = false
    }

    /// What a caller commits itself at most: more is better written while the caller goes on with other things.
    private static let batchesHere = 4
    private static let recordsHere = 8
    private static let bytesHere = 16 << 10

    private struct Requests {
        var waiting = Deque<(PageRequest, @Sendable (Page) -> Void)>()
        var isOver = false
    }

    /// Of the files that are written.
    public static var formatVersion: Int { Int(FormatVersion.current) }

    private init(_ store: Store) { self.store = store }

    /// Opens the store in a directory, and makes one where there is none. Takes as long as reading the
    /// journal takes; queue files are not read.
    public static func open(
        directory: String, settings: LogSettings = LogSettings()
    ) throws(StorageFailure) -> (LogEngine, Recovery) {
        let disk: SystemDisk
        do throws(DiskError) { disk = try SystemDisk(directory: directory) } catch {
            throw StorageFailure("the data directory cannot be used: \(error)", .unavailable)
        }
        return try open(disk: disk, settings: settings)
    }

    public static func open(
        disk: any Disk, settings: LogSettings = LogSettings()
    ) throws(StorageFailure) -> (LogEngine, Recovery) {
        let (store, recovery) = try Opening.open(disk, settings)
        return (LogEngine(store), recovery)
    }

    public func start(_ events: any StorageEvents) {
        let started =
            OwnThread.run("journal") { self.runJournal(events) }
            && OwnThread.run("keeper") { self.runKeeper(events) }
            && OwnThread.run("reader") { self.runReader() }
            && (store.settings.scrubBytesPerSecond == 0 || OwnThread.run("scrubber") { self.runScrubber(events) })
        if !started { fail(StorageFailure("the threads of the storage cannot be started"), events) }
    }

    public func append(_ batch: Batch) {
        backlog.add(Self.weight(batch), ordering: .relaxed)
        inbox.withLock { $0.batches.append(batch) }
    }

    public func commit() {
        let mustRing = inbox.withLock { inbox in
            if inbox.batches.isEmpty { return false }
            inbox.isHurried = true
            if inbox.journal != .free { return false }
            inbox.journal = .taken
            return true
        }
        if mustRing { inbox.ring() }
    }

    /// When the journal thread looks whether the log is idle, it takes what has gathered.
    public func commitSoon() {
        if backlogBytes > Self.bytesLater { return commit() }
        let mustRing = inbox.withLock { inbox in
            if inbox.journal != .free || inbox.batches.isEmpty || !inbox.isAsleep { return false }
            inbox.journal = .taken
            return true
        }
        if mustRing { inbox.ring() }
    }

    /// Bytes that may gather though nobody waits for them.
    private static let bytesLater = 256 << 10

    public func read(_ request: PageRequest, then: @escaping @Sendable (Page) -> Void) {
        requests.withLock { $0.waiting.append((request, then)) }
        requests.ring()
    }

    /// Also when that could not be done, after `failed`.
    public func close(then: @escaping @Sendable () -> Void) {
        inbox.withLock { $0.closing = then }
        inbox.ring()
    }

    public var statistics: StorageStatistics { store.statistics }

    public var findings: [StorageFinding] { store.findings }

    /// Bytes that were appended and are not durable yet, with the room that their records take. When
    /// the disk cannot keep up this grows: stop reading producers.
    public var backlogBytes: Int { backlog.load(ordering: .relaxed) }

    private static func weight(_ batch: Batch) -> Int {
        BatchHeader.diskBytes(records: batch.records.count, payload: batch.payloadBytes)
    }

    // MARK: Journal thread

    private enum Call {
        case batches([Batch])
        /// A caller has committed something: the log is not idle any more.
        case moved
        case close(@Sendable () -> Void)
        case failed
    }

    private func runJournal(_ events: any StorageEvents) {
        do throws(StorageFailure) {
            while true {
                switch try nextCall() {
                case .batches(let batches):
                    try commit(batches, events)
                case .moved:
                    continue
                case .close(let then):
                    try store.mark(syncing: true)
                    chores.withLock { $0.closing = then }
                    chores.ring()
                    return
                case .failed:
                    return waitForClose()
                }
            }
        } catch {
            fail(error, events)
            waitForClose()
        }
    }

    /// Waits for work; marks the log as idle when there is none for a while.
    private func nextCall() throws(StorageFailure) -> Call {
        if let call = try take(waiting: store.settings.idleMilliseconds, hurried: true) { return call }
        if let call = try take(waiting: 0) { return call }
        if !isIdle() { return .moved }
        try store.mark()
        return try take(waiting: nil) ?? .failed
    }

    /// With `hurried`, only batches that somebody waits for, and all that have gathered before them.
    private func take(waiting milliseconds: Int?, hurried: Bool = false) throws(StorageFailure) -> Call? {
        let taken = inbox.wait(milliseconds: milliseconds) { inbox -> Result<Call, StorageFailure>? in
            // Whoever has it rings if there is something left to do.
            if inbox.journal == .lent { return nil }
            inbox.journal = .taken
            inbox.isAsleep = false
            if let failure = inbox.failure { return .failure(failure) }
            if inbox.hasFailed { return .success(.failed) }
            if !inbox.batches.isEmpty, !hurried || inbox.isHurried || inbox.closing != nil {
                let batches = inbox.batches
                inbox.batches = []
                inbox.isHurried = false
                return .success(.batches(batches))
            }
            if let then = inbox.closing { return .success(.close(then)) }
            if inbox.hasMoved, milliseconds == nil { return .success(.moved) }
            inbox.journal = .free
            inbox.isAsleep = milliseconds == nil
            return nil
        }
        return try taken?.get()
    }

    /// Takes the journal if nothing was committed since this was last asked.
    private func isIdle() -> Bool {
        inbox.withLock { inbox in
            defer { inbox.hasMoved = false }
            if inbox.journal != .free || inbox.hasMoved || !inbox.batches.isEmpty { return false }
            inbox.journal = .taken
            return true
        }
    }

    private func commit(_ batches: [Batch], _ events: any StorageEvents) throws(StorageFailure) {
        var next = 0
        while next < batches.count {
            let end = try store.commit(batches, from: next)
            if end == next {
                if try waitForSegment() { continue }
                return
            }
            if !confirm(batches, next..<end, { events.durable(through: $0) }) { return }
            next = end
        }
    }

    /// Says that batches are durable now. False if nothing may be confirmed any more: the keeper may have found the
    /// directory gone meanwhile.
    private func confirm(_ batches: [Batch], _ range: Range<Int>, _ durable: (UInt64) -> Void) -> Bool {
        secondsWithoutRoom.store(0, ordering: .relaxed)
        var weight = 0
        for index in range { weight += Self.weight(batches[index]) }
        backlog.subtract(weight, ordering: .relaxed)
        if inbox.withLock({ $0.hasFailed }) { return false }
        durable(batches[range.upperBound - 1].number)
        if !store.hasReadySegment { wakeKeeper() }
        return true
    }

    // MARK: The caller's thread

    public func commitHere(_ durable: (UInt64) -> Void) -> Bool {
        guard store.pace.isWithin(UInt64(store.settings.quickCommitMicroseconds)), let batches = borrow() else {
            commit()
            return false
        }
        var end = 0
        var failure: StorageFailure?
        do throws(StorageFailure) { end = try store.commit(batches, from: 0) } catch { failure = error }
        let isConfirmed = end > 0 && confirm(batches, 0..<end, durable)
        giveBack(batches[end...], failure)
        return isConfirmed
    }

    /// Takes the journal and what has gathered, if that is little and nobody else has the journal.
    private func borrow() -> [Batch]? {
        inbox.withLock { inbox in
            guard inbox.journal == .free, !inbox.batches.isEmpty, !inbox.hasFailed, inbox.closing == nil,
                inbox.batches.count <= Self.batchesHere,
                inbox.batches.reduce(0, { $0 + $1.records.count }) <= Self.recordsHere,
                inbox.batches.reduce(0, { $0 + Self.weight($1) }) <= Self.bytesHere
            else { return nil }
            inbox.journal = .lent
            let batches = inbox.batches
            inbox.batches = []
            inbox.isHurried = false
            return batches
        }
    }

    /// What is left to do, be it to wait for a segment or to say what failed, is for the journal thread.
    private func giveBack(_ rest: ArraySlice<Batch>, _ failure: StorageFailure?) {
        let mustRing = inbox.withLock { inbox in
            if !rest.isEmpty {
                inbox.batches.insert(contentsOf: rest, at: 0)
                inbox.isHurried = true
            }
            inbox.failure = failure
            inbox.hasMoved = true
            let hasWork = failure != nil || inbox.isHurried || inbox.closing != nil || inbox.hasFailed
            inbox.journal = hasWork || inbox.isAsleep ? .taken : .free
            return inbox.journal == .taken
        }
        if mustRing { inbox.ring() }
    }

    // MARK: Waiting for a segment

    /// False when there will be none.
    private func waitForSegment() throws(StorageFailure) -> Bool {
        wakeKeeper()
        let room = inbox.wait(milliseconds: 1000) { inbox -> Bool? in
            if inbox.hasFailed { return false }
            if !inbox.madeRoom { return nil }
            inbox.madeRoom = false
            return true
        }
        if let room { return room }
        secondsWithoutRoom.add(1, ordering: .relaxed)
        let seconds = secondsWithoutRoom.load(ordering: .relaxed)
        if seconds >= Self.brokenSecondsMax, let reason = brokenDisk.withLock({ $0 }) {
            throw StorageFailure(
                "the journal cannot go on, for no segment could be made in \(seconds) seconds: \(reason)")
        }
        let isClosing = inbox.withLock { $0.closing != nil }
        if isClosing, seconds >= Self.closingSecondsMax {
            // An end that waits for room for ever is worse than one that says what it could not do.
            throw StorageFailure("the last batches could not be made durable: there is no room for a journal segment")
        }
        return true
    }

    /// After a failure nothing is written any more, not even a checkpoint: the next start finds out
    /// what is on the disk.
    private func waitForClose() {
        let then = inbox.wait { $0.closing }
        end(then)
    }

    // MARK: Keeper thread

    private enum Chore {
        case round
        case errand(@Sendable (Bool) -> Void)
        case close(@Sendable () -> Void)
        case over
    }

    private func wakeKeeper() {
        let isNews = chores.withLock { chores in
            defer { chores.isDue = true }
            return !chores.isDue
        }
        if isNews { chores.ring() }
    }

    private func runKeeper(_ events: any StorageEvents) {
        defer { endErrands() }
        var pause = 0
        var load = CommitLoad(now: .now)
        while true {
            switch nextChore(pause) {
            case .round: break
            case .errand(let errand):
                errand(true)
                continue
            case .over: return
            case .close(let then):
                store.finish()
                return end(then)
            }
            do throws(StorageFailure) {
                let written = store.state.withLock { $0.statistics.writtenBytes }
                load.note(written: written, now: .now)
                let round = try store.keep(isBusy: load.isHigh)
                pause = round.isPressed ? 0 : round.isBehind ? Self.calmPause : 1000
                brokenDisk.withLock { $0 = round.brokenDisk }
                if let room = round.room { events.roomChanged(room) }
                if round.madeRoom {
                    inbox.withLock { inbox in
                        inbox.madeRoom = true
                        // Without a segment to go on in, the log may not have been marked as idle.
                        inbox.hasMoved = true
                    }
                    inbox.ring()
                }
            } catch {
                return fail(error, events)
            }
        }
    }

    /// Between two rounds of the keeper; nil when there will be none.
    func runByKeeper(_ errand: @escaping @Sendable (Store?) -> Void) {
        let isTaken = chores.withLock { chores in
            if chores.hasEnded { return false }
            chores.errands.append { [store] isOpen in errand(isOpen ? store : nil) }
            return true
        }
        if isTaken { chores.ring() } else { errand(nil) }
    }

    private func endErrands() {
        let left = chores.withLock { chores in
            defer { chores.errands = Deque() }
            chores.hasEnded = true
            return chores.errands
        }
        var rest = left
        while let errand = rest.popFirst() { errand(false) }
    }

    private func nextChore(_ milliseconds: Int) -> Chore {
        chores.wait(milliseconds: milliseconds) { chores -> Chore? in
            if chores.isOver { return .over }
            if let errand = chores.errands.popFirst() { return .errand(errand) }
            if let then = chores.closing { return .close(then) }
            if !chores.isDue { return nil }
            chores.isDue = false
            return .round
        } ?? .round
    }

    // MARK: Reader thread

    private func runReader() {
        while true {
            let request = requests.wait { requests -> (PageRequest, (@Sendable (Page) -> Void)?)? in
                if let (request, then) = requests.waiting.popFirst() { return (request, then) }
                if !requests.isOver { return nil }
                return (PageRequest(queue: QueueID(rawValue: 0), from: 0, maxCount: 0, maxBytes: 0), nil)
            }
            guard let (request, then) = request, let then else { return }
            then(store.page(request))
        }
    }

    // MARK: Scrubber thread

    private func runScrubber(_ events: any StorageEvents) {
        let settings = store.settings
        let rate = settings.scrubBytesPerSecond
        var pause = settings.scrubDelaySeconds * 1000
        while scrubbing.wait(milliseconds: pause, { $0 ? true : nil }) == nil {
            let slice = store.scrub(max(64 << 10, rate / 4))
            for finding in slice.findings { events.found(finding) }
            // What can be mended is the keeper's work.
            if !slice.findings.isEmpty { wakeKeeper() }
            pause = slice.isPassDone ? settings.scrubIntervalSeconds * 1000 : max(1, slice.bytes * 1000 / rate)
        }
    }

    private func endScrubbing() {
        scrubbing.withLock { $0 = true }
        scrubbing.ring()
    }

    // MARK: The end

    /// Says once that nothing more will be durable.
    private func fail(_ failure: StorageFailure, _ events: any StorageEvents) {
        let isFirst = inbox.withLock { inbox in
            defer { inbox.hasFailed = true }
            return !inbox.hasFailed
        }
        inbox.ring()
        chores.withLock { $0.isOver = true }
        chores.ring()
        endScrubbing()
        if isFirst { events.failed(failure) }
    }

    /// All is done: lets the reader answer what waits, gives the directory back.
    private func end(_ then: (@Sendable () -> Void)?) {
        requests.withLock { $0.isOver = true }
        requests.ring()
        endScrubbing()
        store.release()
        then?()
    }
}
