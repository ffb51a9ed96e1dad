import Base

/// Messages of one lane that may be delivered from a time on, the nearest first: a binary heap.
struct WaitingMessages: Sendable {
    struct Waiting: Sendable {
        /// Milliseconds since 1970.
        var due: UInt64
        var message: Returned
    }

    private var all: [Waiting] = []
    /// Bytes of those whose content is in memory.
    private(set) var heldBytes = 0

    var count: Int { all.count }
    var isEmpty: Bool { all.isEmpty }
    var nextDue: UInt64? { all.first?.due }
    var messages: [Waiting] { all }

    private func isBefore(_ a: Int, _ b: Int) -> Bool {
        (all[a].due, all[a].message.sequence) < (all[b].due, all[b].message.sequence)
    }

    mutating func insert(_ message: Returned, due: UInt64) {
        var at = all.count
        all.append(Waiting(due: due, message: message))
        heldBytes += Int(message.content?.count ?? 0)
        while at > 0 {
            let parent = (at - 1) / 2
            if !isBefore(at, parent) { return }
            all.swapAt(parent, at)
            at = parent
        }
    }

    /// The nearest, if it is due at `now`.
    mutating func pop(dueAt now: UInt64) -> Returned? {
        guard let first = all.first, first.due <= now else { return nil }
        heldBytes -= Int(first.message.content?.count ?? 0)
        all.swapAt(0, all.count - 1)
        all.removeLast()
        var at = 0
        while true {
            let (left, right) = (2 * at + 1, 2 * at + 2)
            var least = at
            if left < all.count, isBefore(left, least) { least = left }
            if right < all.count, isBefore(right, least) { least = right }
            if least == at { return first.message }
            all.swapAt(at, least)
            at = least
        }
    }

    /// Takes these sequences out.
    mutating func remove(_ sequences: Set<UInt64>) {
        guard all.contains(where: { sequences.contains($0.message.sequence) }) else { return }
        let before = all
        _ = removeAll()
        for waiting in before where !sequences.contains(waiting.message.sequence) {
            insert(waiting.message, due: waiting.due)
        }
    }

    mutating func removeAll() -> [Returned] {
        defer {
            all = []
            heldBytes = 0
        }
        return all.map(\.message)
    }
}
