import Base

/// A message that was delivered and came back.
struct Returned: Sendable {
    var sequence: UInt64
    var bytes: UInt32
    var count: UInt32
    var headerBytes: UInt32
    /// Nil until read back from storage.
    var content: Slice?
    /// See `MessageFlags`.
    var flags: UInt8
}

/// Messages of one queue that came back, lowest sequence first: a binary heap. When all consumers of a
/// queue leave at once, each gives back what it held; keeping that sorted would take time with the
/// square of its number.
struct ReturnedMessages: Sendable {
    /// In no order that means anything, but the first is the lowest.
    private(set) var all: [Returned] = []
    /// Where each is in `all`, by sequence; kept only while somebody takes them out of order.
    private var places: [UInt64: Int]?

    var isIndexed: Bool {
        get { places != nil }
        set {
            if newValue == isIndexed { return }
            if !newValue {
                places = nil
                return
            }
            var found: [UInt64: Int] = [:]
            for (at, message) in all.enumerated() { found[message.sequence] = at }
            places = found
        }
    }

    var count: Int { all.count }
    var isEmpty: Bool { all.isEmpty }

    /// Of the lowest; there must be one.
    @inline(__always) var lowestSequence: UInt64 { all[0].sequence }
    @inline(__always) var lowestIsInMemory: Bool { all[0].content != nil }

    /// Nothing is in it, and nothing is kept for what may come.
    mutating func giveBack() {
        all = []
        if isIndexed { places = [:] }
    }

    mutating func insert(_ message: Returned) {
        all.append(message)
        places?[message.sequence] = all.count - 1
        rise(all.count - 1)
    }

    private mutating func swap(_ a: Int, _ b: Int) {
        all.swapAt(a, b)
        places?[all[a].sequence] = a
        places?[all[b].sequence] = b
    }

    private mutating func rise(_ from: Int) {
        var at = from
        while at > 0 {
            let parent = (at - 1) / 2
            if all[parent].sequence <= all[at].sequence { return }
            swap(parent, at)
            at = parent
        }
    }

    private mutating func sink(_ from: Int) {
        var at = from
        while true {
            let (left, right) = (2 * at + 1, 2 * at + 2)
            var least = at
            if left < all.count, all[left].sequence < all[least].sequence { least = left }
            if right < all.count, all[right].sequence < all[least].sequence { least = right }
            if least == at { return }
            swap(at, least)
            at = least
        }
    }

    @discardableResult
    mutating func popLowest() -> Returned? {
        isEmpty ? nil : remove(at: 0)
    }

    private mutating func remove(at place: Int) -> Returned? {
        let last = all.count - 1
        if place != last { swap(place, last) }
        let removed = all.popLast()
        if let removed { places?[removed.sequence] = nil }
        if place < last {
            sink(place)
            rise(place)
        }
        return removed
    }

    // MARK: Out of order

    /// The message of that sequence, if it is here. Only while `isIndexed`, like the others.
    subscript(sequence: UInt64) -> Returned? { places?[sequence].map { all[$0] } }

    func contains(_ sequence: UInt64) -> Bool { places?[sequence] != nil }

    mutating func remove(_ sequence: UInt64) -> Returned? {
        guard let place = places?[sequence] else { return nil }
        return remove(at: place)
    }

    /// Takes these sequences out.
    mutating func remove(_ sequences: Set<UInt64>) {
        guard all.contains(where: { sequences.contains($0.sequence) }) else { return }
        let before = all
        all = []
        if isIndexed { places = [:] }
        for back in before where !sequences.contains(back.sequence) { insert(back) }
    }

    /// Gives those below `end` their bytes from `messages`, which are in order.
    mutating func attach(_ messages: [PageMessage], below end: UInt64) {
        if messages.isEmpty { return }
        var touched: [Returned] = []
        var at = 0
        while !isEmpty, lowestSequence < end, var back = popLowest() {
            while at < messages.count, messages[at].sequence < back.sequence { at += 1 }
            if at < messages.count, messages[at].sequence == back.sequence {
                back.content = messages[at].content
                back.headerBytes = messages[at].headerBytes
                back.flags = messages[at].flags
            }
            touched.append(back)
        }
        for back in touched { insert(back) }
    }
}
