import Base

/// What goes off when, the nearest first. An entry whose lane has gone, or was armed for an earlier time since,
/// goes off for nothing.
struct Timers: Sendable {
    struct Timer: Sendable, Comparable {
        /// Milliseconds since 1970.
        var due: UInt64
        var lane: Int32
        var generation: UInt32

        static func < (a: Timer, b: Timer) -> Bool { a.due < b.due }
    }

    private var heap = Heap<Timer>()

    var nextDue: UInt64? { heap.first?.due }

    mutating func insert(_ timer: Timer) { heap.insert(timer) }

    mutating func pop(dueAt now: UInt64) -> Timer? {
        guard let first = heap.first, first.due <= now else { return nil }
        return heap.popFirst()
    }
}
