import Base

/// A queue with `auto_delete_seconds`, and since when nobody has used it.
struct IdleQueue: Sendable {
    /// When it was seen in use for the last time; nil until the first look.
    var since: Instant?
    /// Messages taken by then: what came and went between two looks is seen by this.
    var inTotal: UInt64 = 0
    /// Somebody has subscribed since the last look.
    var isUsed = false
}

/// Deleting queues that nobody uses. The time is kept in memory only: after a restart it begins anew.
extension Core {
    /// Queues deleted in one tick: a batch holds them, and nobody else is kept waiting.
    private static let deletionsMost = 1000

    /// Begins or ends watching a queue, as its settings say.
    mutating func watchIdle(_ index: Int) {
        if queues[index].settings.value.autoDeleteSeconds == 0 || !queues[index].isStored {
            idle[Int32(index)] = nil
        } else if idle[Int32(index)] == nil {
            idle[Int32(index)] = IdleQueue()
        }
    }

    mutating func deleteIdleQueues(now: Instant, into effects: inout Effects) {
        if idle.isEmpty { return }
        var due: [Int32] = []
        for index in idle.keys where isIdle(index, now: now) { due.append(index) }
        if due.isEmpty { return }
        due.sort()
        let wanted = targetsOfTransactions()
        for index in due.filter({ !wanted.contains($0) }).prefix(Self.deletionsMost) {
            forgetQueue(Int(index), into: &effects)
        }
        seal(into: &effects)
    }

    /// Whether its time is over; takes note of use.
    private mutating func isIdle(_ index: Int32, now: Instant) -> Bool {
        guard var mark = idle[index] else { return false }
        let at = Int(index)
        let isInUse =
            mark.since == nil || mark.isUsed || mark.inTotal != queues[at].inTotal || !queues[at].consumers.isEmpty
            || size(of: at).messages > 0 || isBrowsed(at)
        guard isInUse else {
            let idleFor = mark.since.map { now.milliseconds(since: $0) } ?? 0
            return idleFor >= queues[at].settings.value.autoDeleteSeconds * 1000
        }
        mark = IdleQueue(since: now, inTotal: queues[at].inTotal)
        idle[index] = mark
        return false
    }

    /// Queues that an open transaction will send to.
    func targetsOfTransactions() -> Set<Int32> {
        var targets: Set<Int32> = []
        for session in sessions where session.generation != 0 {
            for transaction in session.transactions.values {
                for case .stored(let index, _) in transaction.sends.lazy.map(\.target) { targets.insert(index) }
            }
        }
        return targets
    }
}
