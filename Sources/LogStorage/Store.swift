import Base
import BrokerCore
import Storage
import Synchronization

/// An open journal segment.
final class Segment: Sendable {
    let number: UInt32
    let file: any DiskFile
    /// What the checksums of its batches start from.
    let seed: UInt32
    let size: Int
    /// An earlier use wrote it full, so that commits write over what is there and change nothing else of the file.
    let isWritten: Bool

    init(number: UInt32, file: any DiskFile, seed: UInt32, size: Int, isWritten: Bool = false) {
        self.number = number
        self.file = file
        self.seed = seed
        self.size = size
        self.isWritten = isWritten
    }
}

/// A segment that replay would read.
struct SegmentUse: Sendable {
    var segment: Segment
    /// Sequence of its first batch, there or to come.
    var firstSequence: UInt64
    /// How many messages were written to it.
    var messages = 0
}

/// What all who work on a store share, under one lock that is never held over a disk operation.
struct StoreState {
    var ledger: Ledger
    /// Oldest first. The last is being written.
    var segments: [SegmentUse]
    /// Made ready for when the last is full.
    var ready: Segment?
    /// The segments that a page is being read from.
    var pinned: Set<UInt32> = []
    /// The segments that a copy of the store has a name for.
    var held: Set<UInt32> = []
    /// Where the synced part of the last segment ends.
    var syncedEnd: Int
    var statistics = StorageStatistics()
    /// Bytes written to the journal since the last checkpoint.
    var bytesSinceCheckpoint = 0
    /// Queue files removed so far: who keeps one open should let go.
    var removedFiles: UInt64 = 0
    /// Damage that was found.
    var findings = Findings()
    /// Segments up to this one are retired though there is room for them: they are damaged.
    var retireThrough: UInt32 = 0
    /// The first segment that a start needs, as the checkpoint on disk says.
    var neededFrom: UInt32
    /// Queues with files in which something was settled since the keeper last looked.
    var shrunk: Set<UInt32> = []
}

/// The engine without its threads: every step is a call, so that a test can run them in any order
/// and between any two disk operations.
///
///     commit, mark   one caller at a time: the journal thread, or who commits in its place
///     keep           one caller at a time: the keeper thread
///     page           one caller at a time: the reader thread
///     scrub          one caller at a time: the scrubber thread
///
/// Each of the four has its own lock, which only says so; what they share is `state`.
package final class Store: Sendable {
    let disk: any Disk
    let settings: LogSettings
    package let storeID: UInt64
    let state: Mutex<StoreState>
    let journal: Mutex<JournalWriter>
    let keeper: Mutex<Keeper>
    let reader: Mutex<PageReader>
    let scrubber: Mutex<Scrubber>
    /// Of commits.
    let pace = CommitPace()
    private let lock: Mutex<(any DiskLock)?>

    init(
        disk: any Disk, lock held: any DiskLock, settings: LogSettings, storeID: UInt64, state: sending StoreState,
        journal: consuming sending JournalWriter, keeper: consuming sending Keeper
    ) {
        self.disk = disk
        lock = Mutex(held)
        self.settings = settings
        self.storeID = storeID
        self.state = Mutex(state)
        self.journal = Mutex(journal)
        self.keeper = Mutex(keeper)
        reader = Mutex(PageReader())
        scrubber = Mutex(Scrubber())
    }

    /// Writes and syncs batches from `start` on, as many as go into one commit. Returns the index
    /// behind the last that is durable now: `start` if a new segment is needed and none is ready.
    /// When it throws, nothing may be written any more.
    package func commit(_ batches: [Batch], from start: Int) throws(StorageFailure) -> Int {
        try journal.withLock { (writer) throws(StorageFailure) in try writer.commit(batches, from: start, to: self) }
    }

    /// The log has gone idle: writes the marker that protects the last batch.
    package func mark(syncing: Bool = false) throws(StorageFailure) {
        try journal.withLock { (writer) throws(StorageFailure) in try writer.mark(syncing: syncing, in: self) }
    }

    /// One round of the keeper. When commits have the disk busy, what can wait does.
    package func keep(isBusy: Bool = false) throws(StorageFailure) -> Keeper.Round {
        try keeper.withLock { (keeper) throws(StorageFailure) in try keeper.round(self, isBusy: isBusy) }
    }

    /// Writes a last checkpoint, so that the next start has little to replay. Without it the journal
    /// says the same.
    package func finish() { keeper.withLock { $0.finish(self) } }

    /// Lets another process have the directory.
    package func release() {
        // A round of the keeper that is under way ends first: what it still writes must not meet another process.
        keeper.withLock { _ in lock.withLock { $0 = nil } }
    }

    var hasReadySegment: Bool { state.withLock { $0.ready != nil } }

    /// What the ledger says of each queue, by rising id.
    package var queues: [Recovery.Queue] {
        state.withLock { state in state.ledger.ids.compactMap { state.ledger.queue($0)?.recovered } }
    }

    package func page(_ request: PageRequest) -> Page { reader.withLock { $0.page(request, from: self) } }

    var statistics: StorageStatistics {
        var numbers = state.withLock { state in
            var numbers = state.statistics
            numbers.scrubFindings = state.currentFindings().count
            numbers.journalSegments = state.segments.count
            numbers.journalBytes = UInt64(state.segments.reduce(0) { $0 + $1.segment.size })
            return numbers
        }
        eachStretchOfQueues { ledger, stretch in
            for index in stretch {
                numbers.queueFiles += ledger.queues[index].files.count
                for file in ledger.queues[index].files { numbers.queueFileBytes += UInt64(file.bytes) }
                numbers.indexBytes += UInt64(ledger.queues[index].memory)
            }
            return true
        }
        return numbers
    }

    /// Looks at all queues, some at a time: commits come between, and none waits for all of them. Ends when `look`
    /// returns false.
    func eachStretchOfQueues(_ look: (borrowing Ledger, Range<Int>) -> Bool) {
        var start = 0
        var isOver = false
        while !isOver {
            let end = start + Self.stretch
            isOver = state.withLock { state in
                let count = state.ledger.queues.count
                return !look(state.ledger, min(start, count)..<min(end, count)) || end >= count
            }
            start = end
        }
    }

    private static let stretch = 4096
}
