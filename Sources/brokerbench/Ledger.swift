/// A growing set of sequence numbers, one bit each.
struct SequenceSet: Sendable, Equatable {
    private(set) var words: [UInt64] = []
    /// Far more than any run sends: a damaged number must not make us allocate without bound.
    static let most: UInt64 = 1 << 34

    init() {}

    /// As `words` of another set said.
    init(words: [UInt64]) { self.words = words }

    /// 0 ..< `end`.
    init(upTo end: UInt64) {
        words = Array(repeating: .max, count: Int(end >> 6))
        if end & 63 > 0 { words.append((1 << (end & 63)) - 1) }
    }

    /// True when `sequence` was not in the set yet.
    mutating func insert(_ sequence: UInt64) -> Bool {
        guard sequence < Self.most else { return false }
        let index = Int(sequence >> 6)
        if index >= words.count {
            words += repeatElement(0, count: max(index + 1 - words.count, words.count, 1024))
        }
        let bit: UInt64 = 1 << (sequence & 63)
        let isNew = words[index] & bit == 0
        words[index] |= bit
        return isNew
    }

    var count: UInt64 { words.reduce(0) { $0 + UInt64($1.nonzeroBitCount) } }

    /// How many of this set are not in `other`.
    func missing(from other: SequenceSet) -> UInt64 {
        var missing: UInt64 = 0
        for (index, word) in words.enumerated() {
            let theirs = index < other.words.count ? other.words[index] : 0
            missing += UInt64((word & ~theirs).nonzeroBitCount)
        }
        return missing
    }

    /// Adds all of `other`; returns how many of them were here already.
    mutating func formUnion(_ other: SequenceSet) -> UInt64 {
        if words.count < other.words.count {
            words += repeatElement(0, count: other.words.count - words.count)
        }
        var both: UInt64 = 0
        for (index, word) in other.words.enumerated() {
            both += UInt64((words[index] & word).nonzeroBitCount)
            words[index] |= word
        }
        return both
    }
}

/// What one consumer has seen of every producer.
struct Seen: Sendable {
    private struct OfProducer: Sendable {
        var sequences = SequenceSet()
        /// For each kind of message the number behind the highest that came.
        var ends: [UInt64]
    }

    private var perProducer: [OfProducer]
    private let kinds: UInt64
    private let isOrdered: Bool
    private(set) var duplicates: UInt64 = 0
    private(set) var outOfOrder: UInt64 = 0
    private(set) var foreign: UInt64 = 0
    private(set) var damaged: UInt64 = 0
    /// Came before the time that they were to be held until.
    var early: UInt64 = 0

    /// Message n is of kind n modulo `kinds`; order counts among those of one kind, if at all.
    init(producers: Int, kinds: Int = 1, isOrdered: Bool = true) {
        perProducer = Array(repeating: OfProducer(ends: Array(repeating: 0, count: kinds)), count: producers)
        self.kinds = UInt64(kinds)
        self.isOrdered = isOrdered
    }

    mutating func note(_ reading: Stamp.Reading) {
        switch reading {
        case .ours(let stamp): note(stamp)
        case .damaged: damaged += 1
        case .foreign: foreign += 1
        }
    }

    private mutating func note(_ stamp: Stamp) {
        guard stamp.producer < perProducer.count, stamp.sequence < SequenceSet.most else {
            damaged += 1
            return
        }
        let index = Int(stamp.producer)
        let kind = kinds == 1 ? 0 : Int(stamp.sequence % kinds)
        let end = perProducer[index].ends[kind]
        if !perProducer[index].sequences.insert(stamp.sequence) {
            duplicates += 1
        } else if stamp.sequence < end, isOrdered {
            outOfOrder += 1
        }
        perProducer[index].ends[kind] = max(end, stamp.sequence + 1)
    }

    func sequences(ofProducer index: Int) -> SequenceSet { perProducer[index].sequences }
}

/// Confirmed against received.
struct Verdict: Sendable, Equatable {
    var confirmed: UInt64 = 0
    var received: UInt64 = 0
    var lost: UInt64 = 0
    var duplicates: UInt64 = 0
    var outOfOrder: UInt64 = 0
    var foreign: UInt64 = 0
    var damaged: UInt64 = 0
    var early: UInt64 = 0

    init() {}

    /// `confirmed[p]` holds the sequence numbers that the broker confirmed to producer p.
    init(confirmed sets: [SequenceSet], seen consumers: [Seen]) {
        for (producer, set) in sets.enumerated() {
            var union = SequenceSet()
            for seen in consumers { duplicates += union.formUnion(seen.sequences(ofProducer: producer)) }
            confirmed += set.count
            received += union.count
            lost += set.missing(from: union)
        }
        for seen in consumers {
            duplicates += seen.duplicates
            outOfOrder += seen.outOfOrder
            foreign += seen.foreign
            damaged += seen.damaged
            early += seen.early
        }
    }

    mutating func add(_ other: Verdict) {
        confirmed += other.confirmed
        received += other.received
        lost += other.lost
        duplicates += other.duplicates
        outOfOrder += other.outOfOrder
        foreign += other.foreign
        damaged += other.damaged
        early += other.early
    }

    /// One line when anything is wrong.
    var complaint: String? {
        let faults: [(UInt64, String)] = [
            (lost, "lost"), (duplicates, "doubled"), (outOfOrder, "out of order"), (damaged, "changed"),
            (early, "early"), (foreign, "not of this run"),
        ]
        let found = faults.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
        return found.isEmpty ? nil : "messages: " + found.joined(separator: ", ")
    }
}
