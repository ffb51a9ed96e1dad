import Base
import STOMP

/// Where confirmed SENDs stand until the loop lets them in, all at once. See
/// docs/decisions/167-confirmed-sends-wait-at-a-door.md.
struct Door: Sendable {
    struct Arrival: Sendable {
        let id: RequestID
        /// As it is sent.
        let frame: Frame
        let bytes: Int
        let deadline: Instant
        let waiter: Engine.Waiter
    }

    /// So many are worth waiting for.
    static let crowd = 32

    private var arrivals = Deque<Arrival>()
    private var isLoopWoken = false
    /// Tasks whose SENDs were confirmed just now, and that have not come back: many of them will.
    private var expected = 0
    /// Counts the times that a crowd was waited for.
    private var gathering: UInt64 = 0

    /// True: the loop must be woken.
    mutating func arrive(_ arrival: Arrival) -> Bool {
        arrivals.append(arrival)
        guard !isLoopWoken, expected < Self.crowd || arrivals.count >= expected / 2 else { return false }
        isLoopWoken = true
        return true
    }

    /// The loop is here: whoever comes from now on wakes it again.
    mutating func open() { isLoopWoken = false }

    /// In the order in which they came.
    mutating func takeAll() -> Deque<Arrival> {
        var taken = Deque<Arrival>()
        if arrivals.isEmpty { return taken }
        swap(&taken, &arrivals)
        expected -= min(expected, taken.count)
        if expected < Self.crowd { endGathering() }
        return taken
    }

    /// So many go on, and will be back soon if they are like most: then one write is better than many, and the broker can
    /// sync once for all. Returns the number of the gathering if one begins; `waitNoLonger` has to follow.
    mutating func expect(_ count: Int) -> UInt64? {
        let isGathering = expected >= Self.crowd
        expected += count
        return !isGathering && expected >= Self.crowd ? gathering : nil
    }

    /// True: somebody waits to be let in. Nothing happens to a later gathering.
    mutating func waitNoLonger(_ number: UInt64) -> Bool {
        guard number == gathering else { return false }
        endGathering()
        return !arrivals.isEmpty
    }

    private mutating func endGathering() {
        expected = 0
        gathering += 1
    }
}
