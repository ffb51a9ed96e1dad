import Base

/// The broker as a value: destinations, subscriptions, what is where. It does no I/O and knows no
/// clock; commands and completions go in, effects come out. The same inputs give the same outputs.
///
/// Promises kept here: a durable message is delivered only when `durable(through:)` has covered it;
/// what comes back takes its old place; a transaction goes into one batch.
public struct Core: Sendable {
    public var limits: CoreLimits
    /// Now; to be set before each call in which time may have passed.
    public var now = Moment(Instant(nanoseconds: 0), wall: 0)
    /// The key under which `dedup-id`s are remembered; see `dedupKey(storeID:)`.
    public var dedupKey: (UInt64, UInt64) = (0, 0)
    /// Start of the ids of stored messages; the sessions write the same.
    public var storeTag = "0"
    /// Changed by `setPolicies` and its like.
    public internal(set) var policies = Policies() { didSet { topicEpoch &+= 1 } }
    /// Set while storage takes no new messages: the sentence for the client.
    public var diskShort: String? { didSet { if diskShort == nil { takenWhileShort = 0 } } }
    /// Bytes of messages that were taken all the same, from senders that now wait.
    var takenWhileShort = 0
    /// Who waits for room, by the index of the queue, or `diskPlace`.
    var full: [Int32: FullPlace] = [:]

    var queues: [QueueState] = []
    var freeQueues: [Int32] = []
    var settingsPool = SettingsPool()
    var queueByName: [[UInt8]: Int32] = [:]
    var queueByID: [QueueID: Int32] = [:]
    var nextQueueID: UInt32
    /// Queues that are lanes of others.
    var laneCount = 0
    var timers = Timers()
    /// When the first tick came, in milliseconds since 1970: as old as messages from before are, at least.
    var startedAt: UInt64 = 0
    /// When rates were last worked out.
    var ratedAt = Instant(nanoseconds: 0)
    var sweep = Sweep()
    /// How often a queue that had become idle gave back the memory that it had while it was used.
    public internal(set) var rested: UInt64 = 0
    /// Queues, and whatever else has a place among them.
    public var places: Int { queues.count }

    /// Queues that are deleted when nobody has used them for some time, by index.
    var idle: [Int32: IdleQueue] = [:]

    var topics: [TopicState] = []
    var topicByName: [[UInt8]: Int32] = [:]
    var topicEpoch: UInt64 = 1
    var topicGeneration: UInt32 = 1
    /// Subscriptions that get what is published while they are there.
    var liveSubscriptions = TopicIndex()
    /// Queues of durable subscriptions; they get it whether anybody is there or not.
    var durableSubscriptions = TopicIndex()
    var boundQueues: [Int32: BoundQueue] = [:]
    /// Queues in which messages to topics wait for their time.
    var delayedTopics: Set<Int32> = []
    var retained = RetainedMessages()
    var lastSweep: UInt64 = 0
    /// Subscriptions made so far.
    var subscriptionNumber: UInt64 = 0
    /// Audiences gathered so far.
    var audienceNumber: UInt64 = 0

    var sessions: [CoreSession] = []
    var freeSessions: [Int32] = []
    var subscriptions: [Subscription] = []
    var freeSubscriptions: [Int32] = []
    var generation: UInt32 = 1

    /// The batch being filled.
    var batchNumber: UInt64 = 1
    var records: [Record] = []
    var pieces: [Slice] = []
    var payloadBytes = 0
    var durable = Arena()
    var pieceStart = 0
    var usualRecords = 0
    /// All batches up to here are on disk.
    var durableThrough: UInt64 = 0
    /// Queues with messages that wait for a batch, in order of batches.
    var awaiting = Deque<Awaiting>()

    var duplicates = Duplicates()
    /// What the commands of this call did before, and answers must wait for.
    var requiredBatch: UInt64 = 0

    /// Messages that are not stored: reply channels and topics.
    var transient = Arena()
    /// By subscription, until all is shown.
    var browsers: [Int32: Browser] = [:]
    /// What selectors found in pages.
    var matches = Arena()
    var transientSequence: UInt64 = 0
    var lastEviction = Instant(nanoseconds: 0)

    public internal(set) var totals = Totals()

    struct Awaiting: Sendable {
        var batch: UInt64
        var queue: Int32
        var generation: UInt32
    }

    /// Counts since the start, for the statistics.
    public struct Totals: Sendable, Equatable {
        public var messagesIn: UInt64 = 0
        public var messagesOut: UInt64 = 0
        public var redelivered: UInt64 = 0
        public var acknowledged: UInt64 = 0
        public var repliesDropped: UInt64 = 0
        public var transactionsCommitted: UInt64 = 0
        public var evictions: UInt64 = 0
        /// Messages that had been sent before.
        public var duplicates: UInt64 = 0
        public var expired: UInt64 = 0
        public var deadLettered: UInt64 = 0
        public init() {}
    }

    /// `defaults`: settings of queues that neither a policy nor the queue itself says.
    public init(limits: CoreLimits = CoreLimits(), nextQueueID: UInt32 = 1, defaults: QueueSettings = QueueSettings()) {
        self.limits = limits
        self.nextQueueID = nextQueueID
        policies.defaults = defaults
    }

    /// Brings back a queue that storage has kept. Before the first session opens; queues in the order in
    /// which they were made, so that each comes before its lanes.
    public mutating func restore(
        queue id: QueueID, name: [UInt8], head: UInt64, next: UInt64, messages: UInt64, bytes: UInt64,
        attempts: [UInt64: Attempt], note: [UInt8] = [], dedup: [DedupEntry] = []
    ) {
        if let (topic, lane) = Lane.split(name), lane == .retained {
            return restoreRetained(topic, id: id, name: name, head: head, next: next, messages: messages, bytes: bytes)
        }
        let index: Int
        if let (queue, lane) = Lane.split(name), lane != .main, let parent = queueByName[queue] {
            index = placeLane(lane, id: id, name: name, of: Int(parent))
        } else {
            index = placeQueue(id: id, name: name, kind: .stored)
            if !note.isEmpty { queues[index].rare.note = QueueNote(decoding: note) }
            resolveSettings(of: index)
            bind(index)
            if name.starts(with: Destination.topicPrefix) { delayedTopics.insert(Int32(index)) }
        }
        queues[index].mayExpire = messages > 0
        queues[index].next = next
        queues[index].coldFrom = messages > 0 ? head : next
        queues[index].coldCount = messages
        queues[index].bytes = bytes
        queues[index].attempts = attempts
        restore(dedup, in: index)
    }

    // MARK: Sessions

    /// `login` is for operators: it says who refused a message.
    public mutating func open(_ address: SessionAddress, login: [UInt8] = []) -> SessionID {
        countGeneration()
        let session = CoreSession(address: address, generation: generation, login: login)
        if let index = freeSessions.popLast() {
            sessions[Int(index)] = session
            return SessionID(index: index, generation: generation)
        }
        sessions.append(session)
        return SessionID(index: Int32(sessions.count - 1), generation: generation)
    }

    /// The client is gone: transactions are dropped, what it held goes back to its place.
    public mutating func close(_ id: SessionID, into effects: inout Effects) {
        guard isOpen(id) else { return }
        let touched = takeBackAll(of: id, into: &effects)
        let session = sessions[Int(id.index)]
        sessions[Int(id.index)] = CoreSession(address: session.address, generation: 0, login: [])
        freeSessions.append(id.index)
        for queue in session.temporaries { removeQueue(Int(queue)) }
        for queue in touched.sorted() { dispatch(queue, into: &effects) }
        seal(into: &effects)
    }

    /// All that the client was given or has begun ends; returns the queues that have something to hand out.
    /// Nothing is handed out before all is taken back, or this session could get some of it.
    private mutating func takeBackAll(of id: SessionID, into effects: inout Effects) -> Set<Int> {
        forgetHolds(of: id)
        let session = sessions[Int(id.index)]
        var touched: Set<Int> = []
        for number in session.transactions.keys.sorted() {
            touched.formUnion(abort(number, of: id.index, into: &effects))
        }
        for slot in session.subscriptions.keys.sorted() {
            guard let index = session.subscriptions[slot] else { continue }
            touched.insert(endSubscription(index, into: &effects))
        }
        sessions[Int(id.index)].subscriptions = [:]
        sessions[Int(id.index)].recentSubscription = -1
        return touched
    }

    /// 0 marks a session that is closed, so nobody gets it.
    mutating func countGeneration() { generation = max(1, generation &+ 1) }

    func isOpen(_ id: SessionID) -> Bool { sessions[Int(id.index)].generation == id.generation }

    // MARK: A batch of commands

    /// Carries out the commands of one session, in order, until one is refused.
    /// Returns how many were done, why the next was not, and the batch that must be durable before
    /// any of these may be confirmed (0: none).
    ///
    /// Memo numbers are the session's own; they save looking up the name of a destination again.
    public mutating func apply(
        _ commands: UnsafeBufferPointer<Command>, extras: CommandExtras, of id: SessionID, now: Moment,
        into effects: inout Effects
    ) -> (done: Int, refusal: Refusal?, batch: UInt64) {
        guard isOpen(id) else { return (0, nil, 0) }
        self.now = now
        requiredBatch = 0
        let firstBatch = batchNumber
        var done = 0
        var refusal: Refusal?
        for command in commands {
            do {
                try carryOut(command, extras: extras, of: id, now: now, into: &effects)
            } catch {
                refusal = error
                break
            }
            done += 1
        }
        seal(into: &effects)
        return (done, refusal, max(requiredBatch, batchNumber == firstBatch ? 0 : batchNumber - 1))
    }

    @inline(__always)
    private mutating func carryOut(
        _ command: Command, extras: borrowing CommandExtras, of id: SessionID, now: Moment, into effects: inout Effects
    ) throws(Refusal) {
        switch command {
        case .send(let send):
            if send.extras < 0, send.transaction == 0 { return try sendPlain(send, of: id.index, into: &effects) }
            let more = send.extras < 0 ? nil : extras.sends[Int(send.extras)]
            if send.transaction == 0 {
                try self.send(send, more, of: id.index, into: &effects)
            } else {
                try hold(send, more, of: id.index, into: &effects)
            }
        case .acknowledge(let slot, let tag, let transaction):
            try acknowledge(
                slot: slot, tag: tag, verdict: .accept, transaction: transaction, of: id.index, into: &effects)
        case .reject(let slot, let tag, let transaction, let verdict):
            try acknowledge(
                slot: slot, tag: tag, verdict: verdict, transaction: transaction, of: id.index, into: &effects)
        case .settleMessage(let slot, let queue, let sequence, let verdict, let transaction):
            guard let (found, tag) = try delivery(of: id.index, slot: slot, queue: queue, sequence: sequence) else {
                return
            }
            try acknowledge(
                slot: found, tag: tag, verdict: verdict, transaction: transaction, of: id.index, into: &effects)
        case .subscribe(let subscribe):
            let more = subscribe.extras < 0 ? nil : extras.subscribes[Int(subscribe.extras)]
            try self.subscribe(subscribe, more, of: id, into: &effects)
        case .unsubscribe(let slot, let deletes):
            try unsubscribe(slot: slot, deletes: deletes, of: id.index, into: &effects)
        case .deleteSubscription(let more):
            try deleteSubscription(extras.subscribes[Int(more)], into: &effects)
        case .createTemporary(let name):
            createTemporary(name: Array(name), of: id)
        case .begin(let transaction):
            sessions[Int(id.index)].transactions[transaction] = Transaction(begun: now.monotonic)
        case .commit(let transaction):
            try commit(transaction, of: id.index, into: &effects)
        case .abort(let transaction):
            for queue in abort(transaction, of: id.index, into: &effects).sorted() { dispatch(queue, into: &effects) }
        case .disconnect:
            for queue in takeBackAll(of: id, into: &effects).sorted() { dispatch(queue, into: &effects) }
        case .flushed(let bytes):
            flushed(bytes, of: id.index, into: &effects)
        }
    }

    /// A client has taken what it was given: its subscriptions may have more. Each time another one
    /// is first, or one with a long queue would leave nothing to the others.
    private mutating func flushed(_ bytes: Int, of session: Int32, into effects: inout Effects) {
        let at = Int(session)
        sessions[at].unflushed = max(0, sessions[at].unflushed - bytes)
        guard sessions[at].isHeldUp, sessions[at].unflushed < limits.unflushedBytes else { return }
        sessions[at].isHeldUp = false
        let all = sessions[at].subscriptions.values.sorted()
        for subscription in all { takeTurn(Int(subscription)) }
        if !browsers.isEmpty { resumeBrowsers(of: all, into: &effects) }
        let first = all.firstIndex { $0 > sessions[at].firstServed } ?? 0
        if !all.isEmpty { sessions[at].firstServed = all[first] }
        for subscription in all[first...] + all[..<first] {
            dispatch(Int(subscriptions[Int(subscription)].queue), into: &effects)
        }
    }

    // MARK: Completions

    /// All batches up to `through` are on disk: what waited for them may be seen now.
    public mutating func durable(through: UInt64, into effects: inout Effects) {
        guard through > durableThrough else { return }
        durableThrough = through
        while let first = awaiting.first, first.batch <= through {
            awaiting.popFirst()
            let index = Int(first.queue)
            guard queues[index].generation == first.generation else { continue }
            queues[index].waitsForDurable = false
            proceed(index, into: &effects)
        }
        seal(into: &effects)
    }
}
