/// What goes off when, the nearest first: a binary heap. An entry whose lane has gone, or was armed for an
/// earlier time since, goes off for nothing.
struct Timers: Sendable {
    struct Timer: Sendable {
        /// Milliseconds since 1970.
        var due: UInt64
        var lane: Int32
        var generation: UInt32
    }

    private var all: [Timer] = []

    var nextDue: UInt64? { all.first?.due }

    mutating func insert(_ timer: Timer) {
        var at = all.count
        all.append(timer)
        while at > 0 {
            let parent = (at - 1) / 2
            if all[parent].due <= all[at].due { return }
            all.swapAt(parent, at)
            at = parent
        }
    }

    mutating func pop(dueAt now: UInt64) -> Timer? {
        guard let first = all.first, first.due <= now else { return nil }
        all.swapAt(0, all.count - 1)
        all.removeLast()
        var at = 0
        while true {
            let (left, right) = (2 * at + 1, 2 * at + 2)
            var least = at
            if left < all.count, all[left].due < all[least].due { least = left }
            if right < all.count, all[right].due < all[least].due { least = right }
            if least == at { return first }
            all.swapAt(at, least)
            at = least
        }
    }
}
