import Base

/// Messages to topics that are not to be delivered yet. They wait in a stored queue that has the name of the topic and
/// is listed nowhere, in its lanes for delayed messages; when one is due it is published, to whoever listens then.
extension Core {
    func isLater(_ extras: SendExtras?) -> Bool {
        guard let extras else { return false }
        return extras.delay > 0 || extras.deliverAt > now.wall
    }

    /// The queue in which messages to the topic wait; made if there is none.
    mutating func waitingRoom(
        of topic: [UInt8], for extras: SendExtras?, into effects: inout Effects
    ) throws(Refusal) -> Int {
        if extras?.retain != .no {
            throw Refusal(
                .contradictoryWishes, "what is retained is there at once: retain and a delay exclude each other")
        }
        let index = try queue(named: topic, into: &effects)
        delayedTopics.insert(Int32(index))
        return index
    }

    /// Publishes what is due. A message leaves the queue in the batch in which durable subscriptions get it.
    mutating func publishDue(_ index: Int, into effects: inout Effects) {
        let lanes = queues[index].rare.lanes.isEmpty ? [Int32(index)] : queues[index].rare.lanes
        for lane in lanes { publishDue(Int(lane), to: queues[index].name, into: &effects) }
    }

    private mutating func publishDue(_ lane: Int, to topic: [UInt8], into effects: inout Effects) {
        while true {
            switch queues[lane].head(durable: durableThrough) {
            case .window:
                let entry = queues[lane].window[0]
                if entry.flags & MessageFlags.stamped != 0, expireFirst(of: lane, into: &effects) { continue }
                let due = DueMessage(lane: lane, sequence: entry.sequence, bytes: entry.content.count)
                do throws(Refusal) {
                    try publish(Self.publication(of: entry), to: topicIndex(of: topic), due, into: &effects)
                } catch {
                    // There is no space for it now: the clock tries again.
                    return
                }
            case .page(let from): return want(from: from, of: lane, into: &effects)
            case .returned, .none: return
            }
        }
    }

    /// Where a message waited that is being published.
    struct DueMessage {
        let lane: Int
        let sequence: UInt64
        let bytes: UInt32
    }

    /// It is in the batch, or nobody wants it.
    mutating func leave(_ due: DueMessage) {
        _ = queues[due.lane].popWindow()
        queues[due.lane].bytes &-= UInt64(due.bytes)
        settle(queues[due.lane].id, due.sequence, bytes: due.bytes)
    }

    /// What the sender wished is read from the head again.
    private static func publication(of entry: QueueState.Entry) -> Publication {
        let stamps =
            entry.flags & MessageFlags.stamped == 0 ? StoredHead.Stamps() : StoredHead.stamps(of: entry.content.bytes)
        let content = Bytes(rebasing: entry.content.bytes[stamps.bytes...])
        let headerBytes = entry.headerBytes - UInt32(stamps.bytes)
        var extras = SendExtras()
        extras.expires = stamps.expires
        let head = Bytes(rebasing: content[..<min(Int(headerBytes), content.count)])
        extras.group = StoredHead.value(of: groupHeaders, in: head) ?? []
        // The queue that it waited in may be forgotten with its ids: durable subscriptions look for themselves.
        extras.dedupID = StoredHead.value(of: dedupHeaders, in: head) ?? []
        if case .priority(let priority) = laneKind(of: content, headerBytes) { extras.priority = priority }
        return Publication(
            content: content, headerBytes: headerBytes, flags: entry.flags & ~MessageFlags.stamped, extras: extras,
            session: -1)
    }

    /// Called by the clock: tries again what could not be published, and takes away queues that nothing waits in.
    mutating func sweepDelayed(into effects: inout Effects) {
        if delayedTopics.isEmpty { return }
        let wanted = targetsOfTransactions()
        for topic in delayedTopics.sorted() {
            let index = Int(topic)
            publishDue(index, into: &effects)
            if size(of: index).messages == 0, !wanted.contains(topic) { forgetQueue(index, into: &effects) }
        }
    }
}
