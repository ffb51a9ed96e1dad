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

    private var arrivals = Deque<Arrival>()
    private var isLoopWoken = false

    /// True: the loop must be woken.
    mutating func arrive(_ arrival: Arrival) -> Bool {
        arrivals.append(arrival)
        defer { isLoopWoken = true }
        return !isLoopWoken
    }

    /// The loop is here: whoever comes from now on wakes it again.
    mutating func open() { isLoopWoken = false }

    /// In the order in which they came.
    mutating func takeAll() -> Deque<Arrival> {
        var taken = Deque<Arrival>()
        if !arrivals.isEmpty { swap(&taken, &arrivals) }
        return taken
    }
}
