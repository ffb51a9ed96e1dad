import Base

/// One client's claim on a queue, and what it holds unacknowledged.
struct Subscription: Sendable {
    /// A message that is with the client.
    struct InFlight: Sendable {
        enum State: UInt8, Sendable { case unacknowledged, settled, accepting, rejecting }
        /// Which delivery of the subscription this is.
        var tag: UInt64
        /// The lane that the message is in.
        var lane: Int32
        var sequence: UInt64
        var bytes: UInt32
        var count: UInt32
        var headerBytes: UInt32
        /// `accepting` and `rejecting`: decided in a transaction that has not ended.
        var state: State
        var flags: UInt8
        var transaction: UInt32
        /// Decided in the transaction.
        var verdict = Verdict.requeue
    }

    /// Counts all subscriptions there ever were: the order in which they get what is published.
    let number: UInt64
    let session: SessionID
    let slot: UInt32
    let queue: Int32
    let mode: AcknowledgeMode
    let prefetchCount: Int
    let prefetchBytes: Int
    /// The topic name or pattern, if the queue is this subscription's own.
    let topic: [UInt8]?
    /// What it wants of its topic; nil: everything.
    let selector: Selector?
    var isExclusive = false
    /// It takes of a queue what its selector says, and is in no turn but that of its selector.
    var isSelective = false
    /// It is no consumer: see `Browser`.
    var isBrowser = false
    /// Nothing that its own connection sends to the topic.
    var isNoLocal = false
    /// Bytes of retained messages that it was given when it began; they do not count as falling behind.
    var retainedBytes = 0
    /// Topic messages that it did not get because it was too slow.
    var droppedTotal: UInt64 = 0
    /// Group lanes of the queue that it holds.
    var heldLanes = 0

    /// Deliveries that are not settled, and some that are, in order of tag.
    var deliveries = Deque<InFlight>()
    /// By tag, the bytes of those that storage does not have. Apart from these, so that copying one of them is
    /// nothing but that.
    var contents: [UInt64: Slice] = [:]
    /// Of the first in `deliveries`; of the next one to come if there is none.
    var firstTag: UInt64 = 1
    var nextTag: UInt64 = 1
    /// No delivery with a lower tag is unacknowledged. Where an ACK of all before starts to look.
    var openFrom: UInt64 = 0
    /// Unacknowledged, without those decided in a transaction: what counts against the prefetch.
    var heldCount = 0
    var heldBytes = 0
    /// Decided in a transaction.
    var decided = 0
    /// It stands in the turn of its queue.
    var isInTurn = false
    /// UNSUBSCRIBE has come; only open transactions keep it.
    var isClosed = false
    /// The place in the table may be used again.
    var isFree = false
    var deliveredTotal: UInt64 = 0
    var redeliveredTotal: UInt64 = 0

    /// Notes one more delivery of `bytes`, and returns its tag.
    @inline(__always) mutating func note(
        _ bytes: UInt32, sequence: UInt64, count: UInt32, headerBytes: UInt32, flags: UInt8, from lane: Int
    ) -> UInt64 {
        let tag = nextTag
        nextTag = tag &+ 1
        deliveredTotal &+= 1
        if count > 1 { redeliveredTotal &+= 1 }
        if mode == .auto {
            firstTag = tag &+ 1
            return tag
        }
        deliveries.append(
            InFlight(
                tag: tag, lane: Int32(truncatingIfNeeded: lane), sequence: sequence, bytes: bytes, count: count,
                headerBytes: headerBytes, state: .unacknowledged, flags: flags, transaction: 0))
        heldCount &+= 1
        heldBytes &+= Int(bytes)
        return tag
    }

    /// The same for one that is settled as it is made, and was never made before.
    @inline(__always) mutating func noteAutomatic() {
        nextTag &+= 1
        firstTag = nextTag
        deliveredTotal &+= 1
    }

    /// Delivery `tag` is settled by itself; nil if it is none that could be.
    @inline(__always) mutating func settle(_ tag: UInt64) -> InFlight? {
        guard let at = index(ofTag: tag) else { return nil }
        let delivery = deliveries[at]
        guard delivery.state == .unacknowledged else { return nil }
        heldCount &-= 1
        heldBytes &-= Int(delivery.bytes)
        deliveries[at].state = .settled
        dropSettled()
        return delivery
    }

    /// Where delivery `tag` is in `deliveries`, if it was made and is not yet gone.
    @inline(__always) func index(ofTag tag: UInt64) -> Int? {
        let index = index(atOrAfter: tag)
        return index < deliveries.count && deliveries[index].tag == tag ? index : nil
    }

    /// Where the first delivery with this tag or a higher one is. Most often none is missing between.
    @inline(__always) func index(atOrAfter tag: UInt64) -> Int {
        if tag <= firstTag { return 0 }
        if tag >= nextTag { return deliveries.count }
        let distance = tag &- firstTag
        if distance < UInt64(deliveries.count), deliveries[Int(distance)].tag == tag { return Int(distance) }
        return search(tag)
    }

    private func search(_ tag: UInt64) -> Int {
        var (low, high) = (0, deliveries.count)
        while low < high {
            let middle = (low + high) / 2
            if deliveries[middle].tag < tag { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Lets settled deliveries go: from the front, and from everywhere once they are most, so that one
    /// that is never acknowledged does not keep all behind it in memory.
    @inline(__always) mutating func dropSettled() {
        while !deliveries.isEmpty, deliveries[0].state == .settled { deliveries.popFirst() }
        if deliveries.count > 64, deliveries.count > 4 * (heldCount + decided) { compact() }
        firstTag = deliveries.isEmpty ? nextTag : deliveries[0].tag
    }

    mutating func forgetDeliveries() {
        deliveries.removeAll()
        contents = [:]
    }

    private mutating func compact() {
        var open = Deque<InFlight>()
        for index in 0..<deliveries.count where deliveries[index].state != .settled { open.append(deliveries[index]) }
        deliveries = open
    }

    /// Where the unacknowledged delivery of a message is. They stand in order of sequence but for those that
    /// came back, so looking in the middle first nearly always finds it.
    func position(ofSequence sequence: UInt64, in lane: Int32) -> Int? {
        var low = 0
        var high = deliveries.count
        while low < high {
            let middle = (low + high) / 2
            if deliveries[middle].sequence < sequence { low = middle + 1 } else { high = middle }
        }
        func isIt(_ position: Int) -> Bool {
            deliveries[position].sequence == sequence && deliveries[position].lane == lane
                && deliveries[position].state == .unacknowledged
        }
        if low < deliveries.count, isIt(low) { return low }
        return (0..<deliveries.count).first(where: isIt)
    }
}

/// One client as the core knows it.
struct CoreSession: Sendable {
    /// What a destination memo stands for.
    enum Memo: Sendable {
        case unknown
        case queue(Int32, generation: UInt32)
        case topic(Int32, generation: UInt32)
    }

    let address: SessionAddress
    let generation: UInt32
    /// The login of the client, for `refused-by`.
    let login: [UInt8]
    var memos: [Memo] = []
    var subscriptions: [UInt32: Int32] = [:]
    /// The slot used last, and its subscription: most ACKs are for the same one.
    var recentSlot: UInt32 = 0
    var recentSubscription: Int32 = -1
    /// Slots up to here were given out once.
    var highestSlot: UInt32 = 0
    var transactions: [UInt32: Transaction] = [:]
    var temporaries: [Int32] = []
    /// What it waits for, or waited for in vain.
    var holds: [SenderHold] = []
    /// Bytes of deliveries that have not been reported flushed.
    var unflushed = 0
    /// A subscription lost its turn because of `unflushed`.
    var isHeldUp = false
    /// The subscription that was first to get something when the session had room again.
    var firstServed: Int32 = -1
}

/// What a client gathers between BEGIN and COMMIT.
struct Transaction: Sendable {
    struct Held: Sendable {
        /// Only a stored queue must still be there at COMMIT; what lives in memory may have gone or
        /// have been forgotten meanwhile without making the transaction fail.
        enum Target {
            case stored(Int32, generation: UInt32)
            case reply(Int32, generation: UInt32)
            case topic([UInt8])
            case gone
        }

        var target: Target
        var content: Slice
        var headerBytes: UInt32
        var flags: UInt8
        var extras: SendExtras?
    }

    let begun: Instant
    var sends: [Held] = []
    var arena = Arena()
    var bytes = 0
    var operations = 0
    /// Subscriptions with deliveries decided in this transaction.
    var subscriptions: Set<Int32> = []
}

/// A name under `/topic/` that somebody sends to, with who gets it.
struct TopicState: Sendable {
    let name: [UInt8]
    let generation: UInt32
    /// Subscriptions that match, as of `epoch`, and queues of durable ones.
    var matches: [Int32] = []
    /// Of these, who gets messages together, and who does not, in order.
    var audiences: [Audience] = []
    var others: [Int32] = []
    var bound: [BoundQueue] = []
    var settings = QueueSettings()
    var epoch: UInt64 = 0
    var inTotal: UInt64 = 0
    var outTotal: UInt64 = 0
    /// Counted for each subscriber that did not get one.
    var droppedTotal: UInt64 = 0
}

/// Bounds of the core; each comes from a setting of the daemon.
public struct CoreLimits: Sendable {
    public var queues = 100_000
    /// Lanes of all queues together; see `Lane`.
    public var lanes = 1_000_000
    /// Refused messages of one lane that may wait for their next delivery; with more, delivery stops.
    public var waitingCount = 100_000
    public var topics = 10_000
    /// Bytes of retained messages, all topics together, with what it takes to keep them.
    public var retainedBytes = 16 << 20
    /// `dedup-id`s that all queues together remember.
    public var dedupIDs = 1_000_000
    /// Bytes of ready messages kept in memory per queue that has consumers, and per one that has none.
    public var windowBytes = 4 << 20
    public var idleWindowBytes = 64 << 10
    public var pageBytes = 256 << 10
    public var pageCount = 2048
    /// Bytes that a topic subscription or reply channel may have waiting.
    public var backlogBytes = 16 << 20
    /// Bytes delivered to a session and not yet written to its socket, after which it gets no more.
    public var unflushedBytes = 1 << 20
    public var transactionBytes = 16 << 20
    public var transactionOperations = 10_000
    public var transactionSeconds: UInt64 = 300
    /// How long a sender is held while the disk is short, before it is refused. 0: it is refused at once.
    public var holdSeconds: UInt64 = 0
    /// Bytes of messages that are taken while the disk is short, all senders together.
    public var diskShortBytes = 64 << 20
    /// A batch that holds this much payload is closed and a new one begun.
    public var batchBytes = 8 << 20
    public init() {}
}
