import Base

/// What the core does when the memory for messages is above its bound.
extension Core {
    /// Lets go of what can be read again. Does nothing, and returns false, if it has done so just before.
    @discardableResult
    public mutating func relieveMemory(now: Instant) -> Bool {
        guard now.milliseconds(since: lastEviction) >= 100 else { return false }
        lastEviction = now
        totals.evictions += 1
        for index in queues.indices where queues[index].isStored && !queues[index].window.isEmpty {
            queues[index].evict()
        }
        letMatchesGo()
        transient.drop()
        return true
    }

    /// For messages that live in memory only: copies what waits together, so that a small message does not
    /// keep a chunk alive; if more than `limit` bytes wait even so, the largest backlogs are given up.
    public mutating func relieveTransients(limit: Int, into effects: inout Effects) {
        var fresh = Arena()
        var backlogs: [(queue: Int, bytes: UInt64)] = []
        var total: UInt64 = 0
        for index in queues.indices where !queues[index].isStored && queues[index].bytes > 0 {
            for position in 0..<queues[index].window.count {
                queues[index].window[position].content = fresh.append(queues[index].window[position].content.bytes)
            }
            backlogs.append((index, queues[index].bytes))
            total += queues[index].bytes
        }
        for index in subscriptions.indices where !queues[Int(subscriptions[index].queue)].isStored {
            for tag in subscriptions[index].contents.keys.sorted() {
                guard let content = subscriptions[index].contents[tag] else { continue }
                subscriptions[index].contents[tag] = fresh.append(content.bytes)
            }
        }
        backlogs.sort { $0.bytes > $1.bytes }
        for backlog in backlogs where total > UInt64(limit / 2) {
            total -= backlog.bytes
            giveUp(backlog.queue, into: &effects)
        }
    }

    /// The subscriber is cut off, or the replies are dropped, as when the backlog of one alone is too large.
    private mutating func giveUp(_ index: Int, into effects: inout Effects) {
        if !dropBacklog(index) { overflow(index, into: &effects) }
        queues[index].bytes &-= UInt64(queues[index].windowBytes)
        queues[index].window.removeAll()
        queues[index].windowBytes = 0
    }
}
