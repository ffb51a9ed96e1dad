import Base

/// The messages of one queue, or of one topic subscription or reply channel, and where each is.
///
///     append                      dispatch                acknowledge
///    --------> cold --> window -------------> in flight ---------------> (gone)
///                |   page                         |
///                |         ^                      | NACK, UNSUBSCRIBE, disconnect
///                |         `------ returned <-----'
///                `--> on disk only: known by number, not by message
///
/// `returned` goes before `window`, and both are in order of sequence, so a message that comes back
/// takes its old place. Everything from `coldFrom` on is untouched: neither delivered nor settled.
struct QueueState: Sendable {
    enum Kind: UInt8, Sendable { case stored, subscription, reply }

    /// A message in the window.
    struct Entry: Sendable {
        var sequence: UInt64
        /// The batch that makes it durable; 0 if nobody has to wait for that.
        var batch: UInt64
        var content: Slice
        var headerBytes: UInt32
        /// Deliveries so far.
        var count: UInt32
        /// See `MessageFlags`.
        var flags: UInt8
        /// A view has taken it; a message has two bytes at least.
        var isGap: Bool { content.count == 0 }
    }

    let id: QueueID
    let name: [UInt8]
    let kind: Kind
    /// What this is to the queue at `parent`; the queue itself is its own parent and main lane.
    let lane: Lane
    let parent: Int32
    /// `kind == .stored`, kept: to compute it would copy the whole state, with a retain for each reference.
    let isStored: Bool
    /// Who may subscribe, for a reply channel.
    var owner: SessionID?
    /// Which use of this place in the table this is.
    let generation: UInt32
    /// Of a group lane: the subscription that gets its messages, or -1.
    var holder: Int32 = -1

    // Words of 8 bytes stand together, and so do flags: there may be very many queues, and most are idle.

    /// Of the queue itself; its lanes leave them alone.
    var settings = SharedSettings.standard
    var rare = Rare()

    var next: UInt64 = 1
    var window = Deque<Entry>()
    var windowBytes = 0
    var coldFrom: UInt64 = 1
    var coldCount: UInt64 = 0
    var returned = ReturnedMessages()
    var inFlight: UInt64 = 0
    /// Stored bytes of all messages here, wherever they are.
    var bytes: UInt64 = 0
    /// Delivery counts of cold messages, from before a restart or an eviction.
    var attempts: [UInt64: Attempt] = [:]

    var consumers: [Int32] = []
    /// Those of them that may have one more as far as is known, in turn. One that may not is taken out
    /// when its turn comes, and put back when it gets credit or room: see `Subscription.isInTurn`.
    var turn = Deque<Int32>()

    /// What was durable when the page was asked for.
    var pageAskedAt: UInt64 = 0
    /// The last batch that this queue waits for.
    var awaitedBatch: UInt64 = 0
    /// When its front is to be read again for messages whose life has ended.
    var peekAt: UInt64 = 0
    /// When the next timer of this lane goes off, in milliseconds since 1970.
    var armedFor = UInt64.max

    var inTotal: UInt64 = 0
    var outTotal: UInt64 = 0
    var redeliveredTotal: UInt64 = 0
    /// Messages per second over the last second, and the totals at its end.
    var rates = QueueRates()
    /// When which sequence came, now and then: how old the oldest message is.
    var ages = AgeMarks()

    var pageEpoch: UInt32 = 0
    var pageOutstanding = false
    var lastPageWasEmpty = false
    /// A page was empty: ask again when the awaited batch is durable.
    var waitsForDurable = false
    var isBurying = false
    /// Something in it may have an end of its life.
    var mayExpire = false
    /// The front is being read for that.
    var isPeeking = false
    /// Its subscriber was too slow and is being disconnected.
    var isCutOff = false
    /// Some time has passed since the failure: it may have been of the moment.
    var mayRetry = false

    init(id: QueueID, name: [UInt8], kind: Kind, generation: UInt32, lane: Lane, parent: Int32) {
        self.lane = lane
        self.parent = parent
        self.id = id
        self.name = name
        self.kind = kind
        isStored = kind == .stored
        self.generation = generation
    }

    var ready: UInt64 { UInt64(window.count - rare.gaps) + coldCount + UInt64(returned.count) }
    /// Read or came back, and not to be delivered yet.
    var unready: UInt64 { UInt64(rare.waitingCount) + UInt64(rare.dead.count) }
    var messages: UInt64 { ready + inFlight + unready }
    var isPlain: Bool { rare.laneByKind.isEmpty }

    /// Where the next message to deliver is.
    enum Head {
        case returned
        case window
        /// Bytes must be read from here first.
        case page(from: UInt64)
        /// Nothing, or nothing that may be seen yet.
        case none
    }

    @inline(__always) func head(durable: UInt64) -> Head {
        if !returned.isEmpty, returned.lowestSequence < lowestUntouched {
            return returned.lowestIsInMemory ? .returned : .page(from: returned.lowestSequence)
        }
        if !window.isEmpty { return window[0].batch <= durable ? .window : .none }
        return coldCount > 0 ? .page(from: coldFrom) : .none
    }

    @inline(__always) private var lowestUntouched: UInt64 {
        window.isEmpty ? (coldCount > 0 ? coldFrom : .max) : window[0].sequence
    }

    /// Puts a message at the end, and returns its sequence. Its bytes are kept if the window holds less than `room`.
    @inline(__always) mutating func add(
        _ content: @autoclosure () -> Slice, count: UInt32, headerBytes: UInt32, flags: UInt8, batch: UInt64,
        room: Int, wall: UInt64
    ) -> UInt64 {
        let sequence = next
        next = sequence &+ 1
        bytes &+= UInt64(count)
        ages.note(sequence, at: wall)
        if flags & MessageFlags.stamped != 0 { mayExpire = true }
        if coldCount == 0, windowBytes < room {
            window.append(
                Entry(
                    sequence: sequence, batch: batch, content: content(), headerBytes: headerBytes, count: 0,
                    flags: flags))
            windowBytes &+= Int(count)
            coldFrom = sequence &+ 1
        } else {
            if coldCount == 0 { coldFrom = sequence }
            coldCount &+= 1
        }
        return sequence
    }

    /// Takes out the first of the window.
    @inline(__always) mutating func popWindow() -> Entry? {
        guard let entry = window.popFirst() else { return nil }
        windowBytes &-= Int(entry.content.count)
        if rare.gaps > 0 { dropGaps() }
        return entry
    }

    /// Puts a message back at its place.
    mutating func takeBack(_ message: Returned) {
        returned.insert(message)
        if !rare.views.isEmpty { showAgain(message.sequence) }
        // What comes back may well be durable, whatever the queue waited for.
        waitsForDurable = false
    }

    /// Lets go of the bytes in the window; they can be read again. Stored queues only. A page that was
    /// asked for stays good: what is in the window is untouched, so storage has had it all along.
    mutating func evict() {
        guard let first = window.first else { return }
        for index in 0..<window.count where window[index].count > 0 && !window[index].isGap {
            attempts[window[index].sequence] = Attempt(count: window[index].count)
        }
        coldFrom = first.sequence
        coldCount += UInt64(window.count - rare.gaps)
        if rare.gaps > 0 { rare.gaps = 0 }
        window.removeAll()
        windowBytes = 0
    }
}

/// How fast messages come and go.
struct QueueRates: Sendable {
    /// Messages a second.
    private(set) var coming = 0.0
    private(set) var going = 0.0
    /// The totals at the last look, as far as they go into 32 bits: what came since is the difference all the same.
    private var comeBefore: UInt32 = 0
    private var goneBefore: UInt32 = 0

    /// Works out the rates of the last `seconds`; whether anything came or went in them.
    mutating func look(come: UInt64, gone: UInt64, seconds: Double) -> Bool {
        let came = UInt32(truncatingIfNeeded: come) &- comeBefore
        let went = UInt32(truncatingIfNeeded: gone) &- goneBefore
        (coming, going) = (Double(came) / seconds, Double(went) / seconds)
        (comeBefore, goneBefore) = (comeBefore &+ came, goneBefore &+ went)
        return came > 0 || went > 0
    }
}

/// A message that no consumer gets any more.
struct DeadMessage: Sendable {
    var sequence: UInt64
    var bytes: UInt32
    var count: UInt32
    var reason: DeadLetterReason
    /// Who refused it, for operators.
    var by: [UInt8]
}

/// The header `dead-letter-reason`.
public enum DeadLetterReason: String, Sendable {
    case rejected
    case deliveryLimit = "delivery-limit"
    case expired
    case overflow
}

/// Which sequence was the next at what time, once a second at most, so that the age of the oldest message is
/// known within a second or a hundredth of it.
struct AgeMarks: Sendable {
    private var marks: [(sequence: UInt64, time: UInt64)] = []
    private var spacing: UInt64 = 1000

    static let most = 128

    @inline(__always) mutating func note(_ sequence: UInt64, at time: UInt64) {
        if let last = marks.last, time < last.time + spacing { return }
        add(sequence, time)
    }

    private mutating func add(_ sequence: UInt64, _ time: UInt64) {
        if marks.count >= Self.most {
            marks = marks.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
            spacing *= 2
        }
        marks.append((sequence, time))
    }

    /// Forgets what is only known of sequences before this one.
    mutating func drop(before sequence: UInt64) {
        while marks.count > 1, marks[1].sequence <= sequence { marks.removeFirst() }
        if marks.count <= 1 { spacing = 1000 }
    }

    /// When `sequence` came, or a little before; nil if that was before the start.
    func time(of sequence: UInt64) -> UInt64? {
        guard let first = marks.last(where: { $0.sequence <= sequence }) else { return nil }
        return first.time
    }
}
