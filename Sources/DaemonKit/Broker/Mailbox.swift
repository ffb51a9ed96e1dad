import BrokerCore
import Synchronization

/// What others have for a loop. Posting wakes the loop only if the mailbox was empty: a wake-up costs
/// far more than the post.
final class Mailbox: Sendable {
    struct Contents: Sendable {
        var deliveries: [Delivery] = []
        var kicks: [Kick] = []
        var holds: [Hold] = []
        /// The highest batch known to be durable, if it rose.
        var durable: UInt64?
        var isAwaited = false

        /// Forgets all, keeps the memory.
        mutating func clear() {
            deliveries.removeAll(keepingCapacity: true)
            if !kicks.isEmpty { kicks.removeAll() }
            if !holds.isEmpty { holds.removeAll() }
            durable = nil
            isAwaited = false
        }
    }

    private let contents = Mutex(Contents())

    /// Takes the deliveries out of `deliveries`. True if the loop must be woken.
    func post(_ deliveries: inout [Delivery], kicks: [Kick], holds: [Hold], durable: UInt64?) -> Bool {
        contents.withLock { contents in
            if contents.deliveries.isEmpty {
                swap(&contents.deliveries, &deliveries)
            } else {
                contents.deliveries.append(contentsOf: deliveries)
                deliveries.removeAll(keepingCapacity: true)
            }
            contents.kicks.append(contentsOf: kicks)
            contents.holds.append(contentsOf: holds)
            if let durable { contents.durable = max(durable, contents.durable ?? 0) }
            let mustWake = !contents.isAwaited
            contents.isAwaited = true
            return mustWake
        }
    }

    /// Empties the mailbox into `taken`, whose arrays are used again.
    func take(into taken: inout Contents) {
        taken.clear()
        contents.withLock { swap(&$0, &taken) }
    }
}
