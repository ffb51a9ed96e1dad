import Base

/// A message for one subscription, or for all of an audience; the loop of the session writes it out as a MESSAGE frame.
@frozen
public struct Delivery: Sendable {
    /// Or the number of the audience.
    public var connection: UInt64
    /// The session's number of the subscription, 0 for an audience, and which delivery of it this is.
    public var slot: UInt32
    /// How often this message has been delivered, this time included.
    public var count: UInt32
    public var tag: UInt64
    /// `queue` and `sequence` make the message id. Queue 0: a message that is not stored.
    public var queue: UInt32
    public var headerBytes: UInt32
    public var sequence: UInt64
    public var content: Slice
    /// Who gets it, if not one subscription. Nobody acknowledges it, so that it has no `tag`.
    public var audience: Audience?

    @inlinable public var bytes: UnsafeBufferPointer<UInt8> { content.bytes }

    /// Whether `other` goes to the same connection, or the same audience. Both must be in place: to look at one
    /// that is passed by value is to count its references.
    @inlinable public static func haveSameReader(
        _ one: UnsafePointer<Delivery>, _ other: UnsafePointer<Delivery>
    ) -> Bool {
        one.pointee.connection == other.pointee.connection && (one.pointee.slot == 0) == (other.pointee.slot == 0)
    }
}

/// Pages that the core needs of a queue; answered by `Core.page`.
public struct PageWanted: Equatable, Sendable {
    public var queue: QueueID
    public var from: UInt64
    public var maxCount: Int
    public var maxBytes: Int
    /// Given back with the page: an answer to an older question is thrown away.
    public var epoch: UInt32
    public var purpose = Purpose.deliver

    /// What the answer is for.
    public enum Purpose: Equatable, Sendable {
        case deliver
        /// Dead messages are to be moved.
        case bury
        /// Whether the front of an idle lane is over.
        case peek
        /// A selector looks for what it takes.
        case view
        /// A subscription shows what is there.
        case browse(Int32)
        /// The message that a topic retains.
        case retained
    }
}

/// A session that must end, and why; its connection gets an ERROR frame.
public struct Kick: Sendable {
    public var address: SessionAddress
    public var refusal: Refusal
}

/// What is worth a line in the log.
public enum Report: Equatable, Sendable {
    case queueCreated(name: [UInt8], id: QueueID)
    case queueDeleted(name: [UInt8], id: QueueID, messages: UInt64)
    case queueUnreadable(name: [UInt8], reason: String)
    case repliesDropped(name: [UInt8])
    /// Dead messages of a queue cannot be moved.
    case deadLettersStuck(name: [UInt8], reason: String)
    /// A durable subscription that nobody used for longer than its `subscriptionExpirySeconds` was deleted.
    case subscriptionExpired(name: [UInt8], unusedSeconds: UInt64, messages: UInt64)
}

/// What the core wants done. The caller owns the value, carries it out and clears it.
public struct Effects: Sendable {
    /// By loop.
    public var deliveries: [[Delivery]]
    /// To be appended to storage in this order.
    public var batches: [Batch] = []
    public var pages: [PageWanted] = []
    public var kicks: [Kick] = []
    /// In the order in which they count.
    public var holds: [Hold] = []
    public var reports: [Report] = []
    /// Deliveries were added since the last `clear`.
    public var hasDeliveries = false

    public init(loops: Int) {
        deliveries = Array(repeating: [], count: loops)
    }

    public mutating func clear() {
        if hasDeliveries {
            for loop in deliveries.indices { deliveries[loop].removeAll(keepingCapacity: true) }
            hasDeliveries = false
        }
        if !batches.isEmpty { batches.removeAll(keepingCapacity: true) }
        if !pages.isEmpty { pages.removeAll(keepingCapacity: true) }
        if !kicks.isEmpty { kicks.removeAll() }
        if !holds.isEmpty { holds.removeAll() }
        if !reports.isEmpty { reports.removeAll() }
    }
}
