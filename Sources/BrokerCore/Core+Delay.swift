import Base

/// Messages that are not to be delivered yet, and the timers of the broker.
extension Core {
    /// When `wake` should be called next, in milliseconds since 1970; nil: nothing waits for the time.
    public var nextWake: UInt64? { timers.nextDue }

    mutating func arm(_ lane: Int, at due: UInt64) {
        guard due < queues[lane].armedFor else { return }
        queues[lane].armedFor = due
        timers.insert(Timers.Timer(due: due, lane: Int32(lane), generation: queues[lane].generation))
    }

    /// Carries out what is due. `now` must have been set.
    public mutating func wake(into effects: inout Effects) {
        while let timer = timers.pop(dueAt: now.wall) {
            let lane = Int(timer.lane)
            guard queues[lane].generation == timer.generation else { continue }
            if queues[lane].armedFor == timer.due { queues[lane].armedFor = .max }
            fallDue(lane, into: &effects)
        }
        seal(into: &effects)
    }

    private mutating func fallDue(_ lane: Int, into effects: inout Effects) {
        if queues[lane].isDelayed { return drain(lane, into: &effects) }
        while let message = queues[lane].rare.popWaiting(dueAt: now.wall) { queues[lane].takeBack(message) }
        if let due = queues[lane].rare.waiting.nextDue { arm(lane, at: due) }
        dispatch(lane, into: &effects)
    }

    /// Something has changed in a lane: what may go on goes on.
    mutating func proceed(_ lane: Int, into effects: inout Effects) {
        if queues[lane].isDelayed { drain(lane, into: &effects) } else { dispatch(lane, into: &effects) }
    }

    /// The time of a delayed lane has come: its messages go to their queue, or into a nearer lane, or wait in
    /// memory for their part of the second.
    mutating func drain(_ lane: Int, into effects: inout Effects) {
        guard case .delayed(let bucket) = queues[lane].lane else { return }
        guard bucket.start <= now.wall else { return arm(lane, at: bucket.start) }
        let index = Int(queues[lane].parent)
        while let message = queues[lane].rare.popWaiting(dueAt: now.wall) {
            guard let content = message.content else { continue }
            if file(
                content, headerBytes: message.headerBytes, flags: message.flags, sequence: message.sequence, from: lane,
                into: &effects)
            {
                continue
            }
            queues[lane].rare.waiting.insert(message, due: now.wall &+ 1000)
            return arm(lane, at: now.wall &+ 1000)
        }
        if !drainWindow(lane, bucket, into: &effects) { return }
        if let due = queues[lane].rare.waiting.nextDue { arm(lane, at: due) }
        if queues[lane].messages == 0 {
            if bucket.end <= now.wall { deleteLane(lane) } else { arm(lane, at: bucket.end) }
        }
        dispatch(index, into: &effects)
    }

    /// False if a message could not be filed: it stays, and the clock tries again.
    private mutating func drainWindow(_ lane: Int, _ bucket: DelayBucket, into effects: inout Effects) -> Bool {
        while queues[lane].rare.waiting.heldBytes <= limits.windowBytes {
            switch queues[lane].head(durable: durableThrough) {
            case .window:
                let entry = queues[lane].window[0]
                let due = StoredHead.stamps(of: entry.content.bytes).deliverAt
                let isNear = bucket.level == 0 && due > now.wall
                if !isNear,
                    !file(
                        entry.content, headerBytes: entry.headerBytes, flags: entry.flags, sequence: entry.sequence,
                        from: lane, into: &effects)
                {
                    arm(lane, at: now.wall &+ 1000)
                    return false
                }
                _ = queues[lane].popWindow()
                if isNear {
                    queues[lane].rare.waiting.insert(
                        Returned(
                            sequence: entry.sequence, bytes: entry.content.count, count: entry.count,
                            headerBytes: entry.headerBytes, content: entry.content, flags: entry.flags), due: due)
                }
            case .page(let from):
                // No more than storage keeps up with: what is filed is in memory until it is written.
                if queues[lane].awaitedBatch > durableThrough &+ Self.filedBatchesMost {
                    queues[lane].waitsForDurable = true
                } else {
                    want(from: from, of: lane, into: &effects)
                }
                return true
            case .returned, .none:
                return true
            }
        }
        return true
    }

    /// Moves a delayed message on: to its queue if it is due, else into a nearer lane. One batch holds both ends.
    private mutating func file(
        _ content: Slice, headerBytes: UInt32, flags: UInt8, sequence: UInt64, from lane: Int,
        into effects: inout Effects
    ) -> Bool {
        let index = Int(queues[lane].parent)
        let stamps = StoredHead.stamps(of: content.bytes)
        let isDue = stamps.deliverAt <= now.wall
        makeRoom(for: Int(content.count) + 320, records: 3, into: &effects)
        let target: Int
        do throws(Refusal) {
            let kind =
                isDue
                ? Self.laneKind(of: content.bytes, headerBytes)
                : .delayed(DelayBucket.holding(due: stamps.deliverAt, now: now.wall))
            target = try self.lane(kind, of: index, into: &effects)
        } catch {
            return false
        }
        let cut = isDue ? stamps.deliverAtBytes : 0
        let rest = Slice(chunk: content.chunk, offset: Int(content.offset) + cut, count: Int(content.count) - cut)
        let keepsStamps = !isDue || stamps.expires > 0
        let (slice, offset) = keep(rest.bytes)
        append(
            slice, count: slice.count, offset: offset, headerBytes: headerBytes - UInt32(cut),
            flags: keepsStamps ? flags | MessageFlags.stamped : flags & ~MessageFlags.stamped, to: target)
        queues[lane].bytes &-= UInt64(content.count)
        settle(queues[lane].id, sequence, bytes: content.count)
        awaitBatch(in: lane)
        return true
    }

    /// Batches of filed messages that may be on their way to the disk when the next page is asked for.
    private static let filedBatchesMost: UInt64 = 8

    /// The lane of a message that is due, by its headers.
    static func laneKind(of content: Bytes, _ headerBytes: UInt32) -> Lane {
        let head = Bytes(rebasing: content[..<min(Int(headerBytes), content.count)])
        if let group = StoredHead.value(of: groupHeaders, in: head), !group.isEmpty { return Lane.ofGroup(group) }
        // As SEND reads it: leading zeros do not matter.
        guard let text = StoredHead.value(of: priorityHeaders, in: head), let digit = text.last,
            text.dropLast().allSatisfy({ $0 == UInt8(ascii: "0") }),
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit), digit != UInt8(ascii: "4")
        else { return .main }
        return .priority(digit - UInt8(ascii: "0"))
    }

    // Kept: an array made for each message would cost more than the search.
    private static let priorityHeaders: [StaticString] = ["priority", "JMSPriority"]

    /// The spellings of the key that keeps messages in order.
    static let groupHeaders: [StaticString] = ["message-group", "JMSXGroupID", "message_group", "_AMQ_GROUP_ID"]
}
