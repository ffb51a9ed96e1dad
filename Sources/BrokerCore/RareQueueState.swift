/// What few queues and lanes have: see `Rare`. An idle queue should cost next to nothing.
struct RareQueueState: Sendable {
    // Of the queue itself; its lanes leave these alone.
    var note = QueueNote()
    /// The lanes that consumers are served from, with the main one, highest rank first; empty if there is
    /// only that one.
    var lanes: [Int32] = []
    var laneByKind: [Lane: Int32] = [:]
    /// Which of several lanes of one rank is served first.
    var turnOfLanes = 0
    var groupLanes = 0
    /// Consumers that want everything for themselves, in order of coming.
    var exclusives: [Int32] = []
    /// The selectors that consumers have, each once, and who has it; see Core+Views.swift.
    var selectors: [SelectiveConsumers] = []
    /// Which of them is served first, and whether before those who take everything.
    var turnOfSelectors = 0
    var selectorsGoFirst = false
    /// Over all lanes.
    var counts = QueueCounts()

    // Of a lane.
    /// What each of the queue's `selectors` has seen of this lane.
    var views: [LaneView] = []
    /// What views took out from between others, behind the front of the lane.
    var taken = TakenMessages()
    /// Places in the window that these have left. The first place is never such a one.
    var gaps = 0
    /// Came back and must not be delivered yet; in a delayed lane: read, and not due yet.
    var waiting = WaitingMessages()
    /// Came back for good: to be moved to the dead-letter queue as soon as their bytes are read.
    var dead: [DeadMessage] = []
    /// Why storage cannot give the messages back; delivery stands still.
    var failure: String?

    /// Nothing is in it that anybody could miss. Turns are forgotten: they matter only while something is served.
    var isOfNoUse: Bool {
        note.isEmpty && lanes.isEmpty && laneByKind.isEmpty && exclusives.isEmpty && selectors.isEmpty
            && counts == QueueCounts() && views.isEmpty && taken.isEmpty && gaps == 0 && waiting.isEmpty
            && dead.isEmpty && failure == nil
    }
}

/// The same as if it were always there. What is only read is not made; what is written to is. It stands for itself in
/// the state of a queue: a property of the whole state that is worked out would copy that first.
struct Rare: Sendable {
    /// None, or one: copies have the same one until one of them changes it.
    private var made: [RareQueueState] = []

    @inline(__always) var isMade: Bool { !made.isEmpty }

    private mutating func make() {
        if made.isEmpty { made = [RareQueueState()] }
    }

    /// Gives back what nothing is in any more.
    mutating func rest() {
        if !made.isEmpty, made[0].isOfNoUse { made = [] }
    }

    /// The nearest of those that wait, if it is due at `now`.
    mutating func popWaiting(dueAt now: UInt64) -> Returned? { waiting.isEmpty ? nil : waiting.pop(dueAt: now) }

    @inline(__always) var isDeliveryPaused: Bool { !made.isEmpty && made[0].note.isDeliveryPaused }
    @inline(__always) var isSendingPaused: Bool { !made.isEmpty && made[0].note.isSendingPaused }
    @inline(__always) var waitingCount: Int { made.isEmpty ? 0 : made[0].waiting.count }

    @inline(__always) var note: QueueNote {
        get { made.isEmpty ? QueueNote() : made[0].note }
        _modify {
            make()
            yield &made[0].note
        }
    }

    @inline(__always) var lanes: [Int32] {
        get { made.isEmpty ? [] : made[0].lanes }
        _modify {
            make()
            yield &made[0].lanes
        }
    }

    @inline(__always) var laneByKind: [Lane: Int32] {
        get { made.isEmpty ? [:] : made[0].laneByKind }
        _modify {
            make()
            yield &made[0].laneByKind
        }
    }

    @inline(__always) var turnOfLanes: Int {
        get { made.isEmpty ? 0 : made[0].turnOfLanes }
        _modify {
            make()
            yield &made[0].turnOfLanes
        }
    }

    @inline(__always) var groupLanes: Int {
        get { made.isEmpty ? 0 : made[0].groupLanes }
        _modify {
            make()
            yield &made[0].groupLanes
        }
    }

    @inline(__always) var exclusives: [Int32] {
        get { made.isEmpty ? [] : made[0].exclusives }
        _modify {
            make()
            yield &made[0].exclusives
        }
    }

    @inline(__always) var selectors: [SelectiveConsumers] {
        get { made.isEmpty ? [] : made[0].selectors }
        _modify {
            make()
            yield &made[0].selectors
        }
    }

    @inline(__always) var turnOfSelectors: Int {
        get { made.isEmpty ? 0 : made[0].turnOfSelectors }
        _modify {
            make()
            yield &made[0].turnOfSelectors
        }
    }

    @inline(__always) var selectorsGoFirst: Bool {
        get { made.isEmpty ? false : made[0].selectorsGoFirst }
        _modify {
            make()
            yield &made[0].selectorsGoFirst
        }
    }

    @inline(__always) var counts: QueueCounts {
        get { made.isEmpty ? QueueCounts() : made[0].counts }
        _modify {
            make()
            yield &made[0].counts
        }
    }

    @inline(__always) var views: [LaneView] {
        get { made.isEmpty ? [] : made[0].views }
        _modify {
            make()
            yield &made[0].views
        }
    }

    @inline(__always) var taken: TakenMessages {
        get { made.isEmpty ? TakenMessages() : made[0].taken }
        _modify {
            make()
            yield &made[0].taken
        }
    }

    @inline(__always) var gaps: Int {
        get { made.isEmpty ? 0 : made[0].gaps }
        _modify {
            make()
            yield &made[0].gaps
        }
    }

    @inline(__always) var waiting: WaitingMessages {
        get { made.isEmpty ? WaitingMessages() : made[0].waiting }
        _modify {
            make()
            yield &made[0].waiting
        }
    }

    @inline(__always) var dead: [DeadMessage] {
        get { made.isEmpty ? [] : made[0].dead }
        _modify {
            make()
            yield &made[0].dead
        }
    }

    @inline(__always) var failure: String? {
        get { made.isEmpty ? nil : made[0].failure }
        set {
            if newValue == nil, made.isEmpty { return }
            make()
            made[0].failure = newValue
        }
    }
}

/// What happened to messages of one queue since the start, beside being delivered.
public struct QueueCounts: Sendable, Equatable {
    public var expired: UInt64 = 0
    public var deadLettered: UInt64 = 0
    public var duplicates: UInt64 = 0
    /// Refused or thrown out because the queue was full.
    public var rejected: UInt64 = 0
    public var dropped: UInt64 = 0
    public init() {}
}
