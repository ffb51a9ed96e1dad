import Base

/// The consumers of a queue that have the same selector. Each has its turn.
struct SelectiveConsumers: Sendable {
    let selector: Selector
    var consumers: [Int32] = []
    /// Who of them is asked first.
    var turn = 0
}

/// How far one selector has looked through one lane, and what it found.
///
///      looked at                          | not yet
///     ------------------------------------|--------------------> next
///       ^         ^     ^                 ^
///       again     matched, in memory      cursor
///
/// Each message is looked at once; again only if it comes back from a consumer. What is known here may be
/// out of date, since others take from the lane too: `QueueState.isAvailable` says what is still there.
struct LaneView: Sendable {
    var cursor: UInt64 = 1
    /// Found in pages, and not delivered yet.
    var matched = ReturnedMessages()
    var matchedBytes = 0
    /// To be looked at once more.
    var again = LowestFirst()
    /// A page from here on is on its way.
    var reading: UInt64?
    /// What was durable when it was asked for.
    var askedAt: UInt64 = 0
    /// A page from here on was empty when this was durable.
    var empty: (from: UInt64, durable: UInt64)?
    var isUnreadable = false

    mutating func keep(_ message: Returned) {
        matched.insert(message)
        matchedBytes += Int(message.bytes)
    }

    mutating func popMatched() -> Returned? {
        guard let message = matched.popLowest() else { return nil }
        matchedBytes -= Int(message.bytes)
        return message
    }
}

/// Sequences, each once, the lowest first: a binary heap.
struct LowestFirst: Sendable {
    private var heap = Heap<UInt64>()
    private var known: Set<UInt64> = []
    /// When there are so many, it is worth a look which are of no use any more.
    private(set) var pruneAt = 4096

    var lowest: UInt64? { heap.first }
    var count: Int { heap.count }

    mutating func insert(_ sequence: UInt64) {
        if known.insert(sequence).inserted { heap.insert(sequence) }
    }

    mutating func popLowest() {
        if let lowest = heap.popFirst() { known.remove(lowest) }
    }

    mutating func prune(_ isOfUse: (UInt64) -> Bool) {
        heap = Heap(heap.all.filter(isOfUse))
        known = Set(heap.all)
        pruneAt = max(4096, heap.count * 2)
    }
}

/// What storage answered.
struct LanePage {
    var messages: [PageMessage]
    var resumeAt: UInt64
    var failure: String?
}

// MARK: Taking from between others

extension QueueState {
    /// Everything from here on is ready, but for what views have taken.
    var front: UInt64 { window.first?.sequence ?? coldFrom }

    /// Whether a message that was seen here waits for a consumer. Only while there are views.
    func isAvailable(_ sequence: UInt64) -> Bool {
        if sequence >= front, sequence < next, !rare.taken.contains(sequence) { return true }
        return returned.contains(sequence)
    }

    /// Where the first message from `sequence` on is in the window; its count if there is none.
    func position(from sequence: UInt64) -> Int {
        var (low, high) = (0, window.count)
        while low < high {
            let middle = (low + high) / 2
            if window[middle].sequence < sequence { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Takes out a message that is available; returns how often it has been delivered.
    mutating func takeOut(_ sequence: UInt64) -> UInt32 {
        if let back = returned.remove(sequence) { return back.count }
        if sequence >= coldFrom {
            rare.taken.insert(sequence)
            coldCount -= min(1, coldCount)
            return attempts.isEmpty ? 0 : attempts.removeValue(forKey: sequence)?.count ?? 0
        }
        let at = position(from: sequence)
        guard at < window.count, window[at].sequence == sequence else { return 0 }
        let count = window[at].count
        if at == 0 {
            _ = popWindow()
            return count
        }
        rare.taken.insert(sequence)
        windowBytes &-= Int(window[at].content.count)
        // The bytes go; the place goes when most are such places.
        window[at].content = Slice(chunk: window[at].content.chunk, offset: 0, count: 0)
        rare.gaps += 1
        if rare.gaps > 64, rare.gaps * 2 > window.count { closeGaps() }
        return count
    }

    private mutating func closeGaps() {
        var full = Deque<Entry>()
        for index in 0..<window.count where !window[index].isGap { full.append(window[index]) }
        window = full
        rare.gaps = 0
    }

    /// No gap stays in front.
    mutating func dropGaps() {
        while let first = window.first, first.isGap {
            window.popFirst()
            rare.gaps -= 1
        }
        forgetTaken()
    }

    mutating func forgetTaken() {
        if !rare.taken.isEmpty { rare.taken.forget(below: front) }
    }

    /// All that was here before is gone.
    mutating func startViewsAnew() {
        forgetTaken()
        for at in rare.views.indices {
            rare.views[at].again = LowestFirst()
            rare.views[at].matched = ReturnedMessages()
            rare.views[at].matchedBytes = 0
            rare.views[at].cursor = next
        }
    }

    /// A message has come back: views look at it again.
    mutating func showAgain(_ sequence: UInt64) {
        for at in rare.views.indices {
            rare.views[at].again.insert(sequence)
            if rare.views[at].again.count > rare.views[at].again.pruneAt {
                var again = rare.views[at].again
                again.prune { isAvailable($0) }
                rare.views[at].again = again
            }
        }
    }
}

extension QueueState {
    /// A view of this lane waits for the clock to try again what could not be read.
    var hasUnreadableView: Bool { rare.views.contains { $0.isUnreadable } }
}
