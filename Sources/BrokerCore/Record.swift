import Base

/// Names a queue on disk and in records. Given once, never used again.
public struct QueueID: RawRepresentable, Hashable, Comparable, Sendable {
    public let rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public static func < (a: QueueID, b: QueueID) -> Bool { a.rawValue < b.rawValue }
}

/// One durable change. Fixed size in memory and on disk; the bytes of a name or a message lie in
/// the payload of the batch.
@frozen
public struct Record: Equatable, Sendable {
    public enum Kind: UInt8, Sendable {
        /// A queue comes to be. Payload: its name.
        case createQueue = 1
        /// A queue and all in it are gone.
        case deleteQueue = 2
        /// A message enters `queue` as `sequence`, the next of that queue. Payload: stored message.
        case append = 3
        /// `count` messages from `sequence` on are done with: acknowledged, purged or moved.
        /// `bytes` is their stored size in all. Sequences in the range that are already done
        /// with stay so.
        case settle = 4
        /// `sequence` was delivered and came back; `count` is its delivery count now, `bytes` the time
        /// before which it is not delivered again (milliseconds since 1970, 0: at once), `flags` an
        /// `Attempt.Verdict`.
        case attempt = 5
        /// What the core wants remembered about `queue`, in place of what it said before. Payload: bytes
        /// that storage does not look into; `bytes` 0 takes the note away. Queue 0: the whole broker.
        case note = 6
        /// A `dedup-id` that `queue` has taken: `sequence` and `bytes` are its hash (high, low), `count` the
        /// second since 1970.
        case remember = 7
        /// The `count` oldest of the ids that `queue` remembers are forgotten.
        case forget = 8
    }

    public var kind: Kind
    /// Of a message; see `MessageFlags`. Storage keeps and returns them without looking.
    public var flags: UInt8
    /// Of a message: how many of its first bytes are header block. The rest is the body.
    public var headerBytes: UInt32
    public var queue: QueueID
    public var sequence: UInt64
    public var count: UInt32
    /// Size of the payload in bytes; for `settle` the bytes of what is settled.
    public var bytes: UInt64
    /// Where the payload starts in the payload of the batch.
    public var offset: UInt32

    @inlinable public init(
        kind: Kind, flags: UInt8 = 0, headerBytes: UInt32 = 0, queue: QueueID, sequence: UInt64 = 0,
        count: UInt32 = 0, bytes: UInt64 = 0, offset: UInt32 = 0
    ) {
        self.kind = kind
        self.flags = flags
        self.headerBytes = headerBytes
        self.queue = queue
        self.sequence = sequence
        self.count = count
        self.bytes = bytes
        self.offset = offset
    }

    /// One message more for a record that settles those in front of it; false if it is no such record.
    @inline(__always)
    mutating func absorb(_ queue: QueueID, _ sequence: UInt64, _ bytes: UInt32) -> Bool {
        guard kind == .settle, self.queue == queue, self.sequence &+ UInt64(count) == sequence, count < .max else {
            return false
        }
        count &+= 1
        self.bytes &+= UInt64(bytes)
        return true
    }
}

/// What is made durable together: all of it or nothing, after any crash. A transaction lies in one
/// batch. `number` counts batches since the process started, from 1.
public struct Batch: Sendable {
    public var number: UInt64
    public var records: [Record]
    /// The payload: these slices one behind the other. No message or name lies across two.
    public var pieces: [Slice]
    public var payloadBytes: Int
    /// A message that is to be on disk before anybody sees it is in it. For other batches nobody may be waiting.
    public var isAwaited = true

    /// Most payload that one batch may hold, in bytes. A journal segment must have room for it.
    public static let payloadLimit = 48 << 20

    public init(number: UInt64, records: [Record] = [], pieces: [Slice] = [], payloadBytes: Int = 0) {
        self.number = number
        self.records = records
        self.pieces = pieces
        self.payloadBytes = payloadBytes
    }
}

/// What is known of a message that was delivered and came back.
public struct Attempt: Equatable, Sendable {
    public enum Verdict: UInt8, Sendable {
        case redeliver = 0
        /// The consumer wants it dead: `requeue:false`.
        case deadLetter = 1
    }

    /// Deliveries so far.
    public var count: UInt32
    /// Milliseconds since 1970; 0: it may be delivered at once.
    public var notBefore: UInt64
    public var verdict: Verdict

    public init(count: UInt32, notBefore: UInt64 = 0, verdict: Verdict = .redeliver) {
        self.count = count
        self.notBefore = notBefore
        self.verdict = verdict
    }
}
