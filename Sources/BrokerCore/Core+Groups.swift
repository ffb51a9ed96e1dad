import Base

/// Messages with one key go to one consumer at a time, in order.
///
/// Groups fall into 64 lanes by the hash of their name, and a lane is held by one consumer. It is handed
/// over only when the former holder has nothing of it unacknowledged (Apollo's rule), so that order holds.
extension Core {
    /// The holder of a group lane if it may have one more; finds one where there is none.
    mutating func groupConsumer(_ lane: Int, of index: Int) -> Int32? {
        // One of a group that waits for its next delivery keeps what comes after it waiting.
        if !queues[lane].rare.waiting.isEmpty || !queues[lane].rare.dead.isEmpty { return nil }
        let holder = queues[lane].holder
        if holder >= 0, !subscriptions[Int(holder)].isSelective {
            if queues[lane].inFlight > 0 || !isUnfair(Int(holder), in: index) {
                return mayDeliver(to: Int(holder)) ? holder : nil
            }
        } else if queues[lane].inFlight > 0 {
            // Of one with a selector, or decided in a transaction of one that has gone.
            return nil
        }
        let best = onlyConsumer(of: index) ?? leastLoaded(of: index)
        guard let best, !subscriptions[Int(best)].isSelective, mayDeliver(to: Int(best)) else {
            guard holder >= 0, !subscriptions[Int(holder)].isSelective else { return nil }
            return mayDeliver(to: Int(holder)) ? holder : nil
        }
        hold(lane, by: best)
        return best
    }

    /// A group lane gets a holder in place of the one that it had.
    mutating func hold(_ lane: Int, by consumer: Int32) {
        if queues[lane].holder == consumer { return }
        release(lane)
        queues[lane].holder = consumer
        subscriptions[Int(consumer)].heldLanes += 1
    }

    /// Whether a consumer holds more than its share of lanes, or another is to have everything.
    private func isUnfair(_ consumer: Int, in index: Int) -> Bool {
        if let only = onlyConsumer(of: index) { return Int(only) != consumer }
        let selective = queues[index].rare.selectors.reduce(0) { $0 + $1.consumers.count }
        let consumers = max(1, queues[index].consumers.count - selective)
        return subscriptions[consumer].heldLanes > (queues[index].rare.groupLanes + consumers - 1) / consumers
    }

    private func leastLoaded(of index: Int) -> Int32? {
        var best: Int32?
        for consumer in queues[index].consumers where mayHold(consumer) {
            if let other = best, subscriptions[Int(other)].heldLanes <= subscriptions[Int(consumer)].heldLanes {
                continue
            }
            best = consumer
        }
        return best
    }

    /// In place: a copy of the subscription would cost a retain for each reference in it.
    @inline(__always) private func mayHold(_ consumer: Int32) -> Bool {
        let at = Int(consumer)
        guard !subscriptions[at].isSelective, hasCredit(at) else { return false }
        return sessions[Int(subscriptions[at].session.index)].unflushed < limits.unflushedBytes
    }

    mutating func release(_ lane: Int) {
        let holder = Int(queues[lane].holder)
        guard holder >= 0 else { return }
        subscriptions[holder].heldLanes -= 1
        queues[lane].holder = -1
    }

    /// A consumer is leaving: its lanes are free for others.
    mutating func releaseLanes(of consumer: Int, in index: Int) {
        if subscriptions[consumer].heldLanes == 0 { return }
        for lane in queues[index].rare.lanes where Int(queues[Int(lane)].holder) == consumer { release(Int(lane)) }
    }
}
