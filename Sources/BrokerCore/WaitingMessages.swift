import Base

/// Messages of one lane that may be delivered from a time on, the nearest first.
struct WaitingMessages: Sendable {
    struct Waiting: Sendable, Comparable {
        /// Milliseconds since 1970.
        var due: UInt64
        var message: Returned

        static func < (a: Waiting, b: Waiting) -> Bool {
            (a.due, a.message.sequence) < (b.due, b.message.sequence)
        }
        static func == (a: Waiting, b: Waiting) -> Bool {
            (a.due, a.message.sequence) == (b.due, b.message.sequence)
        }
    }

    private var heap = Heap<Waiting>()
    /// Bytes of those whose content is in memory.
    private(set) var heldBytes = 0

    var count: Int { heap.count }
    var isEmpty: Bool { heap.isEmpty }
    var nextDue: UInt64? { heap.first?.due }
    /// In no order that means anything.
    var messages: [Waiting] { heap.all }

    mutating func insert(_ message: Returned, due: UInt64) {
        heap.insert(Waiting(due: due, message: message))
        heldBytes += Int(message.content?.count ?? 0)
    }

    /// The nearest, if it is due at `now`.
    mutating func pop(dueAt now: UInt64) -> Returned? {
        guard let due = nextDue, due <= now, let first = heap.popFirst() else { return nil }
        heldBytes -= Int(first.message.content?.count ?? 0)
        return first.message
    }

    /// Takes these sequences out.
    mutating func remove(_ sequences: Set<UInt64>) {
        guard messages.contains(where: { sequences.contains($0.message.sequence) }) else { return }
        let before = messages
        _ = removeAll()
        for waiting in before where !sequences.contains(waiting.message.sequence) {
            insert(waiting.message, due: waiting.due)
        }
    }

    mutating func removeAll() -> [Returned] {
        defer {
            heap = Heap()
            heldBytes = 0
        }
        return messages.map(\.message)
    }
}
