import Base
import BrokerCore
import Glibc
import Storage
import Synchronization

/// Keeps the journal short and the store tidy, behind the commits' back.
///
///     journal     [ 7 | 8 | 9 | 10 being written | 11 ready ]
///     retire 7:   live messages of 7 -> queue files, synced
///                 ledger switched to the files, checkpoint "replay from 8" written and synced
///                 only then: 7 becomes a spare, files without live messages are removed
///
/// Nothing that the last checkpoint on disk names is ever destroyed; everything else can be remade.
package struct Keeper: ~Copyable {
    /// Files that can become segments.
    var spares: [String]
    /// Segments that no replay needs once the next checkpoint is on disk.
    var retired: [Segment] = []
    /// Queue files that the checkpoint on disk does not name any more.
    private var disposable: [NamedFile] = []
    /// What was last said to be short; nil when nothing was.
    private var shortage: String?
    /// Below the low watermark, and not above the high one since.
    private var isLow = false
    /// The reserve was seen to be there.
    private var hasReserve = false
    /// Queues whose last file must not be written to any more, since a sync of it failed.
    private var closed: Set<UInt32> = []
    /// Commits have the disk busy, and it has room.
    private var isBusy = false
    /// Of the last checkpoint that was written, or that there was.
    private(set) var checkpointNumber: UInt64

    init(spares: [String], checkpointNumber: UInt64) {
        self.spares = spares
        self.checkpointNumber = checkpointNumber
    }

    /// What a round found out.
    package struct Round: Sendable {
        /// Set when the room changed.
        package var room: StorageRoom?
        /// A segment was made ready or given back: commits that wait may go on.
        var madeRoom = false
        /// There is more to retire.
        var isBehind = false
        /// So much more that it cannot wait.
        var isPressed = false
        /// What the disk did wrong, if it was not for want of room: waiting may not mend it.
        var brokenDisk: String?
    }

    /// One round of everything that is due. Throws only what no later round can mend.
    mutating func round(_ store: Store, isBusy: Bool = false) throws(StorageFailure) -> Round {
        var round = Round()
        self.isBusy = isBusy && shortage == nil
        do throws(DiskError) { try store.disk.checkStillThere() } catch {
            throw StorageFailure("the store is gone: \(error)")
        }
        var trouble = reuseOldest(store)
        trouble = bringForward(store, &round) ?? trouble
        // Also when that could not be done: on a full disk this is what makes room.
        condemnSettledFiles(store)
        if isCheckpointDue(store) {
            do throws(DiskError) {
                try checkpoint(store)
                try tidy(store)
                try makeReady(store, &round)
            } catch {
                trouble = trouble ?? error
            }
        }
        do throws(DiskError) { try removeSpares(store, keeping: filesKept(store)) } catch { trouble = trouble ?? error }
        if trouble?.isFull == true {
            do throws(DiskError) {
                // Then it is tried once more before anybody is told.
                if try giveUpSpares(store) {
                    trouble = nil
                    round.isPressed = true
                }
            } catch {
                trouble = error
            }
        }
        if let trouble {
            if !trouble.isFull { round.brokenDisk = "\(trouble)" }
            round.isBehind = false
            round.isPressed = false
        }
        round.room = measureRoom(store, trouble.map { "\($0)" })
        return round
    }

    /// When a segment will be needed and there is none to recycle, or the journal is long already, the oldest is given up at once
    /// if no message is in it any more: none need be made, and commits are quicker where something was written before.
    private mutating func reuseOldest(_ store: Store) -> DiskError? {
        let inUse = store.state.withLock { $0.segments.count }
        guard spares.isEmpty || inUse > store.settings.journalSegments, let oldest = store.oldestWithoutMessages()
        else {
            return nil
        }
        do throws(DiskError) {
            try retire(oldest, store)
            try checkpoint(store)
            try tidy(store)
            return nil
        } catch {
            return error
        }
    }

    /// The next segment is made ready, and the oldest given up where there are too many. Returns what went wrong.
    private mutating func bringForward(_ store: Store, _ round: inout Round) -> DiskError? {
        do throws(DiskError) {
            try makeReady(store, &round)
            if let oldest = store.oldestToRetire(isBusy: isBusy) {
                try retire(oldest, store)
                round.isBehind = store.oldestToRetire(isBusy: isBusy) != nil
                round.isPressed = store.oldestToRetire(isBusy: true) != nil
            }
            return nil
        } catch {
            return error
        }
    }

    /// The last checkpoint. One that cannot be written is not needed: the journal says the same.
    mutating func finish(_ store: Store) {
        condemnSettledFiles(store)
        do throws(DiskError) {
            try checkpoint(store)
            try tidy(store)
        } catch {
            store.state.withLock { $0.bytesSinceCheckpoint = store.settings.checkpointBytes }
        }
    }

    // MARK: Segments

    private mutating func makeReady(_ store: Store, _ round: inout Round) throws(DiskError) {
        let number = store.state.withLock { state -> UInt32? in
            guard state.ready == nil, state.segments.count < store.settings.journalSegmentsMax else { return nil }
            return (state.segments.last?.segment.number ?? 0) + 1
        }
        guard let number else { return }
        let segment: Segment
        if let spare = spares.popLast() {
            // Should this fail, the file bears its old name or its new one. The new one is taken by the
            // next attempt, the old one is cleared away at the next start.
            segment = try SegmentFactory.recycle(
                spare, number: number, storeID: store.storeID, size: store.settings.segmentBytes, on: store.disk)
        } else {
            segment = try SegmentFactory.make(
                number: number, storeID: store.storeID, size: store.settings.segmentBytes, on: store.disk)
        }
        store.state.withLock { $0.ready = segment }
        round.madeRoom = true
    }

    /// Moves what is alive in a segment to queue files. Afterwards the ledger does not name it.
    private mutating func retire(_ segment: Segment, _ store: Store) throws(DiskError) {
        let queues = store.queues(in: segment)
        var filer = Filer(disk: store.disk, settings: store.settings, storeID: store.storeID)
        do throws(DiskError) {
            for id in queues {
                guard let work = store.work(for: id, in: segment) else { continue }
                try filer.file(work, from: segment, isClosed: closed.contains(id))
            }
            try filer.sync()
        } catch {
            // Bytes whose sync failed are written again, to new files: never synced a second time.
            closed.formUnion(filer.touched)
            filer.undo()
            throw error
        }
        closed.subtract(filer.touched)
        store.state.withLock { state in
            for change in filer.changes {
                if state.ledger.with(change.queue, { change.apply(to: &$0) }) == nil {
                    // The queue was deleted meanwhile.
                    state.ledger.condemned.append(NamedFile(queue: change.queue, file: change.file))
                }
            }
            state.ledger.forgetPlaces(inSlot: segment.number % UInt32(JournalPlace.slots))
            state.segments.removeFirst()
        }
        retired.append(segment)
    }

    // MARK: Checkpoints

    private func isCheckpointDue(_ store: Store) -> Bool {
        if !retired.isEmpty { return true }
        return store.state.withLock { state in
            !state.ledger.condemned.isEmpty || state.bytesSinceCheckpoint >= store.settings.checkpointBytes
        }
    }

    /// Writes what the ledger says now. When this returns, replay starts with the oldest segment in use.
    mutating func checkpoint(_ store: Store) throws(DiskError) {
        do throws(DiskError) {
            try writeCheckpoint(store)
        } catch {
            guard error.isFull, try giveUpReserve(store) else { throw error }
            // This is what it is for.
            try writeCheckpoint(store)
        }
    }

    private mutating func writeCheckpoint(_ store: Store) throws(DiskError) {
        checkpointNumber += 1
        let number = checkpointNumber
        let (moment, covered) = store.state.withLock { state in
            (CheckpointMoment(state, storeID: store.storeID, number: number), state.bytesSinceCheckpoint)
        }
        let first = moment.checkpoint.firstSegment
        let gone = moment.ledger.condemned
        try CheckpointCopies.write(moment.encoded, on: store.disk)
        store.state.withLock { state in
            state.bytesSinceCheckpoint -= covered
            state.statistics.checkpoints += 1
            state.neededFrom = first
            // Others were condemned since: this checkpoint may still name those.
            state.ledger.condemned.removeFirst(gone.count)
        }
        disposable += gone
    }

    // MARK: What no checkpoint names

    /// Takes files in which nothing is alive any more off the ledger.
    private func condemnSettledFiles(_ store: Store) {
        store.state.withLock { state in
            let shrunk = state.shrunk
            state.shrunk = []
            for id in shrunk {
                guard let gone = state.ledger.with(id, { $0.dropSettledFiles() }) else { continue }
                for file in gone { state.ledger.condemned.append(NamedFile(queue: id, file: file)) }
            }
        }
    }

    /// The checkpoint on disk names none of these.
    private mutating func tidy(_ store: Store) throws(DiskError) {
        while let segment = retired.last {
            let isPinned = store.state.withLock {
                $0.pinned.contains(segment.number) || $0.held.contains(segment.number)
            }
            let isDamaged = store.state.withLock { $0.retireThrough >= segment.number }
            let inUse = store.state.withLock { $0.segments.count }
            let path = StorePath.segment(segment.number)
            if isPinned || isDamaged || segment.size != store.settings.segmentBytes
                || spares.count + inUse > filesKept(store)
            {
                try store.disk.remove(path)
            } else {
                let spare = StorePath.spare(segment.number)
                try store.disk.rename(path, to: spare)
                spares.append(spare)
            }
            retired.removeLast()
        }
        try removeDisposable(store)
    }

    /// Segments in use and spares. What a busy time has left is for the next, which is quicker for it, as long as nothing
    /// else needs the room.
    private func filesKept(_ store: Store) -> Int {
        store.settings.journalSegmentsWanted(isBusy: shortage == nil && !isLow)
    }

    /// One spare more than are missing in use is kept, as `tidy` does.
    private mutating func removeSpares(_ store: Store, keeping files: Int) throws(DiskError) {
        let inUse = store.state.withLock { $0.segments.count }
        while let spare = spares.last, spares.count + inUse > files + 1 {
            try store.disk.remove(spare)
            spares.removeLast()
        }
    }

    /// Those that only a busy time needs. False: there were none.
    private mutating func giveUpSpares(_ store: Store) throws(DiskError) -> Bool {
        let count = spares.count
        try removeSpares(store, keeping: store.settings.journalSegmentsWanted(isBusy: false))
        return spares.count < count
    }

    private mutating func removeDisposable(_ store: Store) throws(DiskError) {
        if disposable.isEmpty { return }
        var directories: Set<UInt32> = []
        for item in disposable {
            do throws(DiskError) {
                try store.disk.remove(StorePath.queueFile(item.queue, first: item.file.first))
            } catch {
                // A round that was cut short had removed it.
                if !error.isMissing { throw error }
            }
            directories.insert(item.queue)
        }
        for id in directories.sorted() where store.state.withLock({ $0.ledger.queue(id) == nil }) {
            do throws(DiskError) {
                try store.disk.removeDirectory(StorePath.queue(id))
            } catch {
                // What is left in it, by a round that was cut short, is removed at the next start.
                if !error.isMissing, error.code != ENOTEMPTY { throw error }
            }
        }
        store.state.withLock { $0.removedFiles += UInt64(disposable.count) }
        disposable = []
        // An open file keeps its room on the disk. A busy reader lets go by itself.
        _ = store.reader.withLockIfAvailable { $0.letGo(store) }
    }

    // MARK: Room

    /// Compares free space with the watermarks. Something only when the answer changed.
    private mutating func measureRoom(_ store: Store, _ trouble: String?) -> StorageRoom? {
        let free: UInt64
        do throws(DiskError) { free = try freeBytes(store) } catch {
            return change(to: trouble ?? "\(error)")
        }
        store.state.withLock { $0.statistics.freeBytes = free }
        let settings = store.settings
        if let trouble { return change(to: trouble) }
        if isLow {
            return change(
                to: "\(free) bytes are free for the data directory: new messages are refused below "
                    + "\(settings.lowWatermark) and taken again above \(settings.highWatermark)")
        }
        setAsideReserve(store)
        return change(to: nil)
    }

    /// Spares make room before anybody is refused for want of it.
    private mutating func freeBytes(_ store: Store) throws(DiskError) -> UInt64 {
        let least = isLow ? store.settings.highWatermark : store.settings.lowWatermark
        var free = try store.disk.freeBytes()
        isLow = free < least
        if isLow, try giveUpSpares(store) {
            free = try store.disk.freeBytes()
            isLow = free < least
        }
        return free
    }

    private mutating func change(to sentence: String?) -> StorageRoom? {
        // The number of free bytes changes all the time; that it is short is said once.
        if (shortage == nil) == (sentence == nil) { return nil }
        shortage = sentence
        return sentence.map(StorageRoom.short) ?? .enough
    }

    private func hasReserveOnDisk(_ store: Store) throws(DiskError) -> Bool {
        do throws(DiskError) {
            return try store.disk.open(StorePath.reserve, .existing).size() >= store.settings.reserveBytes
        } catch {
            if error.isMissing { return false }
            throw error
        }
    }

    /// False if there is none.
    private mutating func giveUpReserve(_ store: Store) throws(DiskError) -> Bool {
        hasReserve = false
        do throws(DiskError) {
            try store.disk.remove(StorePath.reserve)
            return true
        } catch {
            if error.isMissing { return false }
            throw error
        }
    }

    private mutating func setAsideReserve(_ store: Store) {
        if hasReserve || store.settings.reserveBytes == 0 { return }
        do throws(DiskError) {
            if try hasReserveOnDisk(store) {
                hasReserve = true
                return
            }
            let file = try store.disk.open(StorePath.reserve, .create)
            if try !file.allocate(store.settings.reserveBytes) {
                try SegmentFactory.fill(file, store.settings.reserveBytes)
            }
            try file.sync()
            hasReserve = true
        } catch {
            // There is no room for it: the watermarks will say so, and a later round tries again.
            hasReserve = false
        }
    }
}

extension StoreState {
    /// Written to the segments in use, done with or not.
    var messagesInSegments: Int { segments.reduce(0) { $0 + $1.messages } }
}

extension LogSettings {
    /// How many segments are kept in use, and as spares. Between this and the most there is room for what is written
    /// while the oldest is retired.
    func journalSegmentsWanted(isBusy: Bool) -> Int {
        isBusy ? journalSegments + (journalSegmentsMax - journalSegments) * 2 / 3 : journalSegments
    }
}

extension Store {
    /// The oldest segment, if there are more than there should be, or if it is no longer sound. Never the one
    /// being written.
    ///
    /// When commits have the disk busy it is left for later, within limits: what is consumed until then is never
    /// moved, and what has to be moved does not stand in the way of what somebody waits for.
    func oldestToRetire(isBusy: Bool) -> Segment? {
        state.withLock { state in
            guard state.segments.count > 1, let oldest = state.segments.first?.segment else { return nil }
            if oldest.number <= state.retireThrough { return oldest }
            if state.segments.count <= settings.journalSegments { return nil }
            let isPatient = isBusy && state.segments.count <= settings.journalSegmentsWanted(isBusy: true)
            return isPatient && state.messagesInSegments <= Self.messagesWhenBusy ? nil : oldest
        }
    }

    /// Messages in the journal, of 16 bytes of memory each, up to which retiring may be left for later.
    private static let messagesWhenBusy = 4_000_000

    /// The oldest segment, if another is needed soon and what is in this one is done with. Messages never come to
    /// it while others are looked at, so what was seen once holds.
    func oldestWithoutMessages() -> Segment? {
        let oldest = state.withLock { state in
            state.ready == nil && state.segments.count > 1 ? state.segments.first?.segment : nil
        }
        guard let oldest else { return nil }
        let slot = oldest.number % UInt32(JournalPlace.slots)
        var isEmpty = true
        eachStretchOfQueues { ledger, stretch in
            for index in stretch where ledger.queues[index].firstPlace?.slot == slot { isEmpty = false }
            return isEmpty
        }
        return isEmpty ? oldest : nil
    }

    /// Queues with messages whose place is in `segment`, which is the oldest.
    func queues(in segment: Segment) -> [UInt32] {
        let slot = segment.number % UInt32(JournalPlace.slots)
        var ids: [UInt32] = []
        eachStretchOfQueues { ledger, stretch in
            for index in stretch where ledger.queues[index].firstPlace?.slot == slot {
                ids.append(ledger.queues[index].id)
            }
            return true
        }
        return ids.sorted()
    }

    /// What of a queue has to move out of `segment`, the oldest. Commits may come between strides; what they settle
    /// is moved all the same.
    func work(for id: UInt32, in segment: Segment) -> Filer.Work? {
        let slot = segment.number % UInt32(JournalPlace.slots)
        var work = Filer.Work(queue: id, messages: [], tail: nil)
        var some: [(sequence: UInt64, place: JournalPlace)] = []
        some.reserveCapacity(Int(Self.stride))
        var next: UInt64? = 0
        while let from = next {
            next = state.withLock { state in
                state.ledger.with(id) { queue in
                    work.tail = queue.files.last
                    return queue.gather(inSlot: slot, from: from, most: Self.stride, into: &some)
                } ?? nil
            }
            work.messages += some
            some.removeAll(keepingCapacity: true)
        }
        return work.messages.isEmpty ? nil : work
    }

    /// Messages looked at under one lock.
    private static let stride: UInt64 = 8192
}
