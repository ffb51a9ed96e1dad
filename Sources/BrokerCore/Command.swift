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

    @inlinable public init(
        memo: Int32 = -1, destination: Bytes, content: Bytes, headerBytes: UInt32, flags: UInt8, transaction: UInt32 = 0
    ) {
        self.memo = memo
        self.destination = destination
        self.content = content
        self.headerBytes = headerBytes
        self.flags = flags
        self.transaction = transaction
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

    @inlinable public init(
        slot: UInt32, destination: Bytes, mode: AcknowledgeMode, prefetchCount: UInt32, prefetchBytes: UInt64
    ) {
        self.slot = slot
        self.destination = destination
        self.mode = mode
        self.prefetchCount = prefetchCount
        self.prefetchBytes = prefetchBytes
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
    case reject(slot: UInt32, tag: UInt64, transaction: UInt32)
    /// ACK or NACK by message (STOMP 1.0 and 1.1); `slot` 0 means any subscription of the session.
    case settleMessage(slot: UInt32, queue: UInt32, sequence: UInt64, accept: Bool, transaction: UInt32)
    case subscribe(Subscribe)
    case unsubscribe(slot: UInt32)
    /// Makes a reply channel that this session owns, under a name that nobody can guess.
    case createTemporary(name: Bytes)
    case begin(transaction: UInt32)
    case commit(transaction: UInt32)
    case abort(transaction: UInt32)
    /// So many bytes of deliveries have left for the client since the last report.
    case flushed(bytes: Int)
}
