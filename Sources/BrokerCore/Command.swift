import Base

/// Where the conversation of one client lives: which loop, which connection on it.
public struct SessionAddress: Hashable, Sendable {
    public var loop: Int
    public var connection: UInt64
    public init(loop: Int, connection: UInt64) {
        self.loop = loop
        self.connection = connection
    }
}

/// Names a session inside the core. An index that was used again has another generation.
public struct SessionID: Hashable, Sendable {
    var index: Int32
    var generation: UInt32
}

/// What a subscription promises to do with what it gets (STOMP 1.2, SUBSCRIBE `ack` header).
public enum AcknowledgeMode: UInt8, Sendable {
    /// Done with as soon as it is written out.
    case auto
    /// An ACK covers this message and all before it on the same subscription.
    case cumulative
    /// An ACK covers one message.
    case individual
}

/// Bits kept with each message.
public enum MessageFlags {
    /// The sender wants it on disk before its RECEIPT, and consumers see it only then.
    public static let durable: UInt8 = 1
    /// The content begins with the lines that `Core` puts in front (see StoredHead.swift).
    public static let stamped: UInt8 = 2
}

/// How a consumer settles a delivery.
public enum Verdict: Sendable, Equatable {
    case accept
    /// Back to its place, after the wait that the queue's settings say.
    case requeue
    /// Back to its place, not before this many milliseconds from now.
    case requeueAfter(milliseconds: UInt32)
    /// To the dead-letter queue.
    case deadLetter
}

/// What a SEND asks for beyond being stored. Most messages have none of it. Times are in milliseconds.
public struct SendExtras: Sendable, Equatable {
    /// 0 to 9, 4 is the usual one.
    public var priority: UInt8 = 4
    /// The end of its life as the sender says it, since 1970; 0: none.
    public var expires: UInt64 = 0
    /// The same from now on; 0: none. The earlier of both counts.
    public var timeToLive: UInt64 = 0
    /// Not to be delivered before, since 1970; 0: none.
    public var deliverAt: UInt64 = 0
    /// The same from now on; 0: none.
    public var delay: UInt64 = 0
    public var group: [UInt8] = []
    public var dedupID: [UInt8] = []
    /// Topics: the message becomes, or takes away, the one that new subscribers get first.
    public var retain = Retain.no

    public enum Retain: UInt8, Sendable { case no, set, remove }

    public init() {}
}

/// What a SUBSCRIBE asks for beyond the messages of a destination.
public struct SubscribeExtras: Sendable {
    /// SQL-92 as in JMS; empty: everything.
    public var selector: [UInt8] = []
    /// Everything goes to this consumer as long as it is there.
    public var isExclusive = false
    /// Show what is there and end; nothing is taken.
    public var isBrowser = false
    /// Say so with a last MESSAGE, `browser:end`.
    public var wantsBrowserEnd = true
    /// Of a durable topic subscription; empty: none.
    public var durableName: [UInt8] = []
    /// The client that a durable subscription belongs to; empty: it is shared by all who name it.
    public var clientID: [UInt8] = []
    /// Not what this connection itself sent to the topic.
    public var noLocal = false
    /// Topics: what was retained comes first.
    public var wantsRetained = true

    public init() {}
}

/// The extras of a batch of commands, which name them by index.
public struct CommandExtras: Sendable {
    public var sends: [SendExtras] = []
    public var subscribes: [SubscribeExtras] = []
    public init() {}
}

/// Bytes that the caller keeps in place while the core works on the batch.
public typealias Bytes = UnsafeBufferPointer<UInt8>

/// A message on its way in.
@frozen
public struct Send {
    /// The session's own number for this destination (a memo; see `Core.apply`), or -1 for none.
    public var memo: Int32
    public var destination: Bytes
    /// Header block in STOMP 1.2 escaping with its blank line, then the body, then NUL: what a
    /// MESSAGE frame ends with. At least two bytes.
    public var content: Bytes
    /// Bytes of header block and blank line at the start of `content`.
    public var headerBytes: UInt32
    public var flags: UInt8
    /// The session's number of the transaction, 0 for none.
    public var transaction: UInt32
    /// Where in `CommandExtras.sends` the rest is, or -1.
    public var extras: Int32
    /// Where in `content` the `dedup-id` stands, as it is meant, if that is all the SEND asks for, outside of a transaction;
    /// then it has no extras. Of no bytes: there is none, or it is among the extras.
    public var dedupStart: UInt16
    public var dedupCount: UInt16

    @inlinable public init(
        memo: Int32 = -1, destination: Bytes, content: Bytes, headerBytes: UInt32, flags: UInt8,
        transaction: UInt32 = 0, extras: Int32 = -1, dedupStart: UInt16 = 0, dedupCount: UInt16 = 0
    ) {
        self.memo = memo
        self.destination = destination
        self.content = content
        self.headerBytes = headerBytes
        self.flags = flags
        self.transaction = transaction
        self.extras = extras
        self.dedupStart = dedupStart
        self.dedupCount = dedupCount
    }

    /// Empty: see `dedupStart`.
    @inlinable public var dedupID: Bytes {
        Bytes(rebasing: content[Int(dedupStart)..<Int(dedupStart) + Int(dedupCount)])
    }
}

/// A subscription to be made. `slot` is the session's number for it, never used twice in a session.
@frozen
public struct Subscribe {
    public var slot: UInt32
    public var destination: Bytes
    public var mode: AcknowledgeMode
    /// Most messages and stored bytes that may be unacknowledged at once; one message always may.
    public var prefetchCount: UInt32
    public var prefetchBytes: UInt64
    /// Where in `CommandExtras.subscribes` the rest is, or -1.
    public var extras: Int32

    @inlinable public init(
        slot: UInt32, destination: Bytes, mode: AcknowledgeMode, prefetchCount: UInt32, prefetchBytes: UInt64,
        extras: Int32 = -1
    ) {
        self.slot = slot
        self.destination = destination
        self.mode = mode
        self.prefetchCount = prefetchCount
        self.prefetchBytes = prefetchBytes
        self.extras = extras
    }
}

/// One thing that a client asks for, in the numbers of its session. Holds no references: bytes
/// point into the buffer that the frames arrived in.
@frozen
public enum Command {
    case send(Send)
    /// ACK by delivery: `tag` counts the deliveries of a subscription from 1.
    case acknowledge(slot: UInt32, tag: UInt64, transaction: UInt32)
    /// NACK by delivery.
    case reject(slot: UInt32, tag: UInt64, transaction: UInt32, verdict: Verdict)
    /// ACK or NACK by message (STOMP 1.0 and 1.1); `slot` 0 means any subscription of the session.
    case settleMessage(slot: UInt32, queue: UInt32, sequence: UInt64, verdict: Verdict, transaction: UInt32)
    case subscribe(Subscribe)
    /// With `deletes` a durable subscription goes, with all that waits in it.
    case unsubscribe(slot: UInt32, deletes: Bool = false)
    /// The durable subscription that `CommandExtras.subscribes[extras]` names goes; nobody may be using it.
    case deleteSubscription(extras: Int32)
    /// Makes a reply channel that this session owns, under a name that nobody can guess.
    case createTemporary(name: Bytes)
    case begin(transaction: UInt32)
    case commit(transaction: UInt32)
    case abort(transaction: UInt32)
    /// What the client holds goes back and its transactions end, so that its RECEIPT says that another may take over.
    case disconnect
    /// So many bytes of deliveries have left for the client since the last report.
    case flushed(bytes: Int)
}
