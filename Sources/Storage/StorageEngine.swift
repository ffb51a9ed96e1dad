import Base
import BrokerCore

/// What the broker asks of any storage: make batches durable in order, give messages back in
/// pages, say when something is wrong. The embedded engine is `LogStorage`; one on top of an
/// existing replicated log can stand beside it.
///
/// All calls but `commitHere` return at once, and may come from any thread.
public protocol StorageEngine: AnyObject, Sendable {
    /// Starts work. Before this nothing is reported and `append` may not be called.
    func start(_ events: any StorageEvents)

    /// Takes the next batch. The order of calls is the order on disk; the caller sees to that. `commit` must follow,
    /// when the caller has let go of its locks.
    func append(_ batch: Batch)

    /// Has all that was appended made durable.
    func commit()

    /// The same, for a thread that has nothing better to do than to wait for it: where nothing else is being made
    /// durable, it is little and the disk answers fast, this thread does it itself, and two wake-ups are saved. Then
    /// `durable` is called, in place of the event, before this returns, and the result is true. Otherwise this is
    /// `commit`. May not be called with a lock held, nor by who must never wait for a disk that has just died.
    func commitHere(_ durable: (UInt64) -> Void) -> Bool

    /// Reads live, durable messages of a queue in order; `then` is called once, on a thread of the
    /// storage, never from inside this call.
    func read(_ request: PageRequest, then: @escaping @Sendable (Page) -> Void)

    /// Makes everything durable that was appended, then `then` (after the last `durable`). Nothing
    /// may be appended afterwards.
    func close(then: @escaping @Sendable () -> Void)

    /// Bytes appended and not yet durable: above a bound, producers should be slowed down.
    var backlogBytes: Int { get }

    /// For operators.
    var statistics: StorageStatistics { get }

    /// Damage to what is stored that was found and stands.
    var findings: [StorageFinding] { get }
}

/// Called by the storage on its own threads.
public protocol StorageEvents: Sendable {
    /// All batches up to and with `through` are on disk. Rises; some numbers may be skipped.
    func durable(through: UInt64)
    /// The room on the disk changed; see `StorageRoom`.
    func roomChanged(_ room: StorageRoom)
    /// Something that is stored is damaged, though nobody has asked for it yet. Everything else goes on.
    func found(_ finding: StorageFinding)
    /// Nothing more will be made durable, for ever: stop confirming and end the process.
    func failed(_ failure: StorageFailure)
}

/// How much may be written.
public enum StorageRoom: Sendable, Equatable {
    case enough
    /// Below the low watermark: new messages are to be refused. Acknowledgements, deletions and
    /// reading go on, from space set aside. The text says what is short and what to do.
    case short(String)
}

public struct StorageFailure: Error, Sendable, CustomStringConvertible {
    /// One sentence: what failed, on which file, with the system's error.
    public let description: String
    public let kind: Kind

    public enum Kind: Sendable {
        /// The disk failed, or what is on it cannot be used as it is.
        case failed
        /// Another process has the data, or we may not touch it. Nothing is wrong with it.
        case unavailable
    }

    public init(_ description: String, _ kind: Kind = .failed) {
        self.description = description
        self.kind = kind
    }
}

public struct PageRequest: Sendable {
    public var queue: QueueID
    /// First sequence wanted.
    public var from: UInt64
    /// The page ends after this many messages or bytes, but holds at least one message if there is one.
    public var maxCount: Int
    public var maxBytes: Int

    public init(queue: QueueID, from: UInt64, maxCount: Int, maxBytes: Int) {
        self.queue = queue
        self.from = from
        self.maxCount = maxCount
        self.maxBytes = maxBytes
    }
}

/// Header block and body as appended.
public typealias StoredMessage = PageMessage

/// Every live durable message with `request.from <= sequence < resumeAt`, in order.
public struct Page: Sendable {
    public var request: PageRequest
    public var messages: [StoredMessage]
    /// Where to go on. Equal to `request.from` when nothing durable lies there (yet).
    public var resumeAt: UInt64
    /// Set when the bytes could not be read or were damaged: one sentence with file and offset.
    public var failure: String?

    public init(request: PageRequest, messages: [StoredMessage], resumeAt: UInt64, failure: String? = nil) {
        self.request = request
        self.messages = messages
        self.resumeAt = resumeAt
        self.failure = failure
    }
}

/// What a storage found when it was opened.
public struct Recovery: Sendable {
    public struct Queue: Sendable {
        public var id: QueueID
        public var name: [UInt8]
        /// All messages below are done with.
        public var head: UInt64
        /// The sequence that the next message gets. Never goes back. A queue's first is 1.
        public var next: UInt64
        /// Messages alive, and their stored bytes.
        public var messages: UInt64
        public var bytes: UInt64
        /// Live messages that were delivered and came back.
        public var attempts: [UInt64: Attempt]
        /// See `Record.Kind.note`.
        public var note: [UInt8]
        /// Oldest first.
        public var dedup: [DedupEntry]

        public init(
            id: QueueID, name: [UInt8], head: UInt64, next: UInt64, messages: UInt64, bytes: UInt64,
            attempts: [UInt64: Attempt], note: [UInt8] = [], dedup: [DedupEntry] = []
        ) {
            self.id = id
            self.name = name
            self.head = head
            self.next = next
            self.messages = messages
            self.bytes = bytes
            self.attempts = attempts
            self.note = note
            self.dedup = dedup
        }
    }

    public var queues: [Queue]
    /// The note on the whole broker.
    public var note: [UInt8]
    /// The id that the next queue gets. Never goes back.
    public var nextQueueID: UInt32
    /// Random, made with the data directory; part of every message id.
    public var storeID: UInt64
    /// Sentences for the log: what was found, what was cut.
    public var report: [String]

    public init(
        queues: [Queue] = [], nextQueueID: UInt32 = 1, storeID: UInt64, note: [UInt8] = [], report: [String] = []
    ) {
        self.queues = queues
        self.note = note
        self.nextQueueID = nextQueueID
        self.storeID = storeID
        self.report = report
    }
}

public struct StorageStatistics: Sendable, Equatable {
    public var batches: UInt64 = 0
    public var syncs: UInt64 = 0
    public var writtenBytes: UInt64 = 0
    /// Longest of the recent syncs and the usual one, in microseconds.
    public var syncMicrosecondsMax: UInt64 = 0
    public var syncMicrosecondsMean: UInt64 = 0
    public var journalSegments: Int = 0
    public var journalBytes: UInt64 = 0
    public var queueFiles: Int = 0
    public var queueFileBytes: UInt64 = 0
    public var checkpoints: UInt64 = 0
    /// Bytes free on the file system, for us.
    public var freeBytes: UInt64 = 0
    /// Memory of the index, in bytes, about.
    public var indexBytes: UInt64 = 0
    /// Bytes at rest that were read again to see whether they are as they were written, how often all of them
    /// were, and how much damage was found that stands.
    public var scrubbedBytes: UInt64 = 0
    public var scrubPasses: UInt64 = 0
    public var scrubFindings = 0

    public init() {}
}
