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
    }

    let id: QueueID
    let name: [UInt8]
    let kind: Kind
    /// `kind == .stored`, kept: to compute it would copy the whole state, with a retain for each reference.
    let isStored: Bool
    /// Who may subscribe, for a reply channel.
    var owner: SessionID?
    /// Which use of this place in the table this is.
    let generation: UInt32

    // Of the queue itself; its lanes leave these alone.
    var settings = QueueSettings()

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

    var pageOutstanding = false
    var pageEpoch: UInt32 = 0
    /// What was durable when the page was asked for.
    var pageAskedAt: UInt64 = 0
    /// A page was empty: ask again when the awaited batch is durable.
    var waitsForDurable = false
    /// The last batch that this queue waits for.
    var awaitedBatch: UInt64 = 0
    /// Its subscriber was too slow and is being disconnected.
    var isCutOff = false
    /// Why storage cannot give the messages back; delivery stands still.
    var failure: String?
    /// Some time has passed since the failure: it may have been of the moment.
    var mayRetry = false

    var inTotal: UInt64 = 0
    var outTotal: UInt64 = 0
    var redeliveredTotal: UInt64 = 0
    // Of the queue itself, over all its lanes.
    var counts = QueueCounts()

    init(id: QueueID, name: [UInt8], kind: Kind, generation: UInt32) {
        self.id = id
        self.name = name
        self.kind = kind
        isStored = kind == .stored
        self.generation = generation
    }

    var ready: UInt64 { UInt64(window.count) + coldCount + UInt64(returned.count) }
    var messages: UInt64 { ready + inFlight }

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
        if !returned.isEmpty, window.isEmpty || returned.lowestSequence < window[0].sequence {
            return returned.lowestIsInMemory ? .returned : .page(from: returned.lowestSequence)
        }
        if !window.isEmpty { return window[0].batch <= durable ? .window : .none }
        return coldCount > 0 ? .page(from: coldFrom) : .none
    }

    /// Puts messages back at their places.
    mutating func takeBack(_ messages: [Returned]) {
        for message in messages { returned.insert(message) }
        // What comes back may well be durable, whatever the queue waited for.
        if !messages.isEmpty { waitsForDurable = false }
    }

    /// Lets go of the bytes in the window; they can be read again. Stored queues only. A page that was
    /// asked for stays good: what is in the window is untouched, so storage has had it all along.
    mutating func evict() {
        guard let first = window.first else { return }
        for index in 0..<window.count where window[index].count > 0 {
            attempts[window[index].sequence] = Attempt(count: window[index].count)
        }
        coldFrom = first.sequence
        coldCount += UInt64(window.count)
        window.removeAll()
        windowBytes = 0
    }
}

/// What became of messages of one queue other than being acknowledged, since the start.
public struct QueueCounts: Sendable, Equatable {
    public var duplicates: UInt64 = 0
    public init() {}
}
