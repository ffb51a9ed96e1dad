import Base

/// How far a look at all queues has come.
struct Sweep: Sendable {
    /// The queue to go on with; 0: none is under way.
    var next = 0
    /// Since the look before; 0: too short a time to tell a rate.
    var seconds = 0.0
    /// Reads of idle lanes that it has asked for.
    var peeks = 0
}

/// What is done by the clock alone.
extension Core {
    /// Time passes; called about once a second. Looks at `most` queues at a time, so that whoever has very many does
    /// not hold everybody up: true if some are left, and it is to be called again, once others had their turn.
    @discardableResult
    public mutating func tick(now: Moment, most: Int = .max, into effects: inout Effects) -> Bool {
        self.now = now
        if sweep.next == 0 { beginSweep() }
        let end = sweep.next + min(most, queues.count - sweep.next)
        while sweep.next < end {
            look(after: sweep.next, into: &effects)
            sweep.next += 1
        }
        seal(into: &effects)
        if sweep.next < queues.count { return true }
        sweep.next = 0
        forgetOldIDs(into: &effects)
        if startedAt == 0 { startedAt = now.wall }
        wake(into: &effects)
        sweepTopics(into: &effects)
        deleteIdleQueues(now: now.monotonic, into: &effects)
        endOldTransactions(into: &effects)
        trimSubscriptions()
        return false
    }

    private mutating func beginSweep() {
        let seconds = Double(now.monotonic.milliseconds(since: ratedAt)) / 1000
        sweep.seconds = seconds > 0.1 ? seconds : 0
        sweep.peeks = 0
        if sweep.seconds > 0 { ratedAt = now.monotonic }
    }

    private mutating func look(after index: Int, into effects: inout Effects) {
        if queues[index].rare.failure != nil || queues[index].hasUnreadableView { retry(index, into: &effects) }
        if sweep.seconds > 0, queues[index].takeStock(seconds: sweep.seconds) { rested &+= 1 }
        if queues[index].id.rawValue != 0 { expireIdle(index, into: &effects) }
    }

    /// Asks once more for what could not be read: a lack of descriptors passes, damage does not.
    private mutating func retry(_ index: Int, into effects: inout Effects) {
        queues[index].mayRetry = true
        for view in queues[index].rare.views.indices { queues[index].rare.views[view].isUnreadable = false }
        proceed(index, into: &effects)
    }

    /// Places at the end of the table that nobody has any more go, once they are most of it.
    private mutating func trimSubscriptions() {
        if freeSubscriptions.count < 64 || freeSubscriptions.count < subscriptions.count / 2 { return }
        var end = subscriptions.count
        while end > 0, subscriptions[end - 1].isFree { end -= 1 }
        if end > subscriptions.count / 2 { return }
        subscriptions = Array(subscriptions[..<end])
        freeSubscriptions = freeSubscriptions.filter { Int($0) < end }
    }

    private func endOldTransactions(into effects: inout Effects) {
        for session in sessions where session.generation != 0 {
            for transaction in session.transactions.values
            where now.monotonic.milliseconds(since: transaction.begun) > limits.transactionSeconds * 1000 {
                let detail =
                    "a transaction was open for more than \(limits.transactionSeconds) s; nothing of it was done"
                effects.kicks.append(Kick(address: session.address, refusal: Refusal(.transactionTooLong, detail)))
                break
            }
        }
    }
}

extension QueueState {
    /// Rates since the last time; what nothing has gone through since then, and is empty, gives its memory
    /// back; whether that happened.
    fileprivate mutating func takeStock(seconds: Double) -> Bool {
        let isQuiet = !rates.look(come: inTotal, gone: outTotal, seconds: seconds)
        ages.drop(before: window.first?.sequence ?? coldFrom)
        return isQuiet && rest()
    }

    /// Whether there was anything to give back.
    private mutating func rest() -> Bool {
        let had = window.holdsMemory || turn.holdsMemory || consumers.capacity > 0
        if window.isEmpty { window.removeAll() }
        if turn.isEmpty { turn.removeAll() }
        if consumers.isEmpty { consumers = [] }
        if returned.isEmpty { returned.giveBack() }
        if attempts.isEmpty { attempts = [:] }
        if messages == 0 { ages = AgeMarks() }
        rare.rest()
        return had && !window.holdsMemory && !turn.holdsMemory && consumers.capacity == 0
    }
}
