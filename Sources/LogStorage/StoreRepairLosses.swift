import BrokerCore

/// What a salvage could not save, listed.
extension Salvage {
    /// What the journal should hold and does not is taken out, before queue files are looked at.
    mutating func settleMissing() {
        for id in ledger.ids {
            guard let queue = ledger.queue(id), queue.placesEnd < queue.next else { continue }
            fill(id, upTo: queue.next, 0)
        }
    }

    /// What is left once the journal and the queue files are read: the ledger says everything, no
    /// message is looked for any more that is not there. Lists the losses.
    mutating func conclude() {
        for id in ledger.ids { list(id) }
        for id in nameless.sorted() {
            guard let queue = ledger.queue(id) else { continue }
            report.consequences.append("queue number \(id) has lost its name and becomes \(spoken(queue.name))")
        }
        if isRebuilt || hasHole, ledger.nextQueueID < .max - Self.idMargin { ledger.nextQueueID += Self.idMargin }
        ledger.applied = sequence
    }

    /// Queues that were made and deleted without our knowing must not be mixed up with later ones.
    private static let idMargin: UInt32 = 1000

    private mutating func list(_ id: UInt32) {
        guard let queue = ledger.queue(id) else { return }
        if let lost = missing[id], !lost.isEmpty { note(.lost, queue, lost) }
        var back = SequenceRanges()
        if let limit = isRebuilt ? queue.next : nextAtHole[id], limit > 1 {
            for run in queue.liveRuns(in: 1...limit - 1) { back.insert(run) }
        }
        for range in returning[id]?.ranges ?? [] {
            for run in queue.liveRuns(in: range) { back.insert(run) }
        }
        if !back.isEmpty { note(.mayReturn, queue, back) }
        guard isRebuilt || nextAtHole[id] != nil && !seenSinceHole.contains(id) else { return }
        var unknown = SequenceRanges()
        unknown.insert(queue.next...queue.next)
        note(.unknownFrom, queue, unknown)
        // Its sequences go on where none can have been.
        skips[id] = isRebuilt ? 1 << 20 : unreadRecords
    }

    private mutating func note(_ kind: StoreReport.Loss.Kind, _ queue: QueueLedger, _ ranges: SequenceRanges) {
        report.losses.append(StoreReport.Loss(kind: kind, queue: queue.id, name: queue.name, sequences: ranges))
    }
}

extension QueueLedger {
    /// Runs of messages in `range` that are not done with; neighbours beyond a bound count as one run.
    func liveRuns(in range: ClosedRange<UInt64>) -> [ClosedRange<UInt64>] {
        var runs = SequenceRanges()
        var at = settled.firstLive(from: range.lowerBound)
        let end = min(range.upperBound, next &- 1)
        while at <= end, next > 1 {
            runs.insert(at...at)
            at = settled.firstLive(from: at + 1)
        }
        return runs.ranges
    }

    mutating func settle(_ range: ClosedRange<UInt64>) {
        var at = range.lowerBound
        while at <= range.upperBound {
            let count = min(range.upperBound - at, UInt64(UInt32.max) - 1) + 1
            settle(at, count: UInt32(count), bytes: 0)
            at += count
        }
    }

    /// The next `count` sequences are not given to any message. Nothing of the queue lies in the journal.
    mutating func skip(_ count: UInt64) {
        let (after, overflow) = next.addingReportingOverflow(count)
        if overflow || count == 0 { return }
        var moved = QueueLedger(id: id, name: name, located: after)
        (moved.settled, moved.liveBytes, moved.attempts) = (settled, liveBytes, attempts)
        (moved.note, moved.remembered, moved.files, moved.next) = (note, remembered, files, after)
        moved.settle(next...after - 1)
        self = moved
    }
}
