import Base

/// Messages on their way in.
extension Core {
    /// A message with no wishes, as most are, but perhaps to be stored only once. Where its queue has none either, it is
    /// only to be stored.
    @inline(__always)
    mutating func sendPlain(_ send: Send, of session: Int32, into effects: inout Effects) throws(Refusal) {
        let index = queue(ofMemo: send.memo, of: session)
        guard index >= 0, diskShort == nil, takesPlainly(index), send.content.count <= Batch.payloadLimit else {
            // Of subscribers in memory none has a memory for ids.
            if publishPlain(send, of: session, into: &effects) { return }
            return try self.send(send, Self.extras(of: send), of: session, into: &effects)
        }
        let hash = dedupHash(send)
        if isDuplicate(hash, in: index) { return }
        makeRoom(for: send.content.count + Self.laneNameBytes, records: 3 + Self.dedupRecords, into: &effects)
        let (kept, offset) = place(send.content)
        store(
            kept.slice, count: kept.count, offset: offset, headerBytes: send.headerBytes, flags: send.flags, in: index)
        remember(hash, in: index)
        if send.flags & MessageFlags.durable == 0 { dispatch(index, into: &effects) }
    }

    private static func extras(of send: Send) -> SendExtras? {
        if send.dedupCount == 0 { return nil }
        var extras = SendExtras()
        extras.dedupID = Array(send.dedupID)
        return extras
    }

    /// The stored queue that a session means by a memo; -1 if it means anything else, or nothing yet.
    @inline(__always)
    private func queue(ofMemo memo: Int32, of session: Int32) -> Int {
        guard memo >= 0, Int(memo) < sessions[Int(session)].memos.count,
            case .queue(let index, let generation) = sessions[Int(session)].memos[Int(memo)],
            queues[Int(index)].generation == generation, queues[Int(index)].isStored
        else { return -1 }
        return Int(index)
    }

    /// Whether nothing that is set for a queue has to do with a message that has no wishes itself.
    @inline(__always)
    private func takesPlainly(_ index: Int) -> Bool {
        !queues[index].rare.isSendingPaused && queues[index].settings.value.timeToLive == 0
            && queues[index].settings.value.lengthMost == 0 && queues[index].settings.value.bytesMost == 0
    }

    mutating func send(
        _ send: Send, _ extras: SendExtras?, of session: Int32, into effects: inout Effects
    ) throws(Refusal) {
        switch try target(of: send, session: session, into: &effects) {
        case .queue(let index, _):
            try checkSending(to: Int(index))
            try enqueue(send, extras, of: session, in: Int(index), into: &effects)
        case .topic(let index, _):
            if isLater(extras) {
                let room = try waitingRoom(of: topics[Int(index)].name, for: extras, into: &effects)
                return try enqueue(send, extras, of: session, in: room, into: &effects)
            }
            let message = Publication(
                content: send.content, headerBytes: send.headerBytes, flags: send.flags, extras: extras,
                session: session)
            try publish(message, to: Int(index), into: &effects)
        case .unknown:
            // A reply channel whose owner has gone: nobody will ever take it.
            totals.repliesDropped += 1
            effects.reports.append(.repliesDropped(name: Array(send.destination)))
        }
    }

    /// What the destination of a message stands for now. Makes a queue that is not there yet.
    mutating func target(of send: Send, session: Int32, into effects: inout Effects) throws(Refusal) -> CoreSession.Memo
    {
        let memo = Int(send.memo)
        if memo >= 0, memo < sessions[Int(session)].memos.count {
            let known = sessions[Int(session)].memos[memo]
            switch known {
            case .queue(let index, let generation) where queues[Int(index)].generation == generation: return known
            case .topic(let index, let generation)
            where Int(index) < topics.count && topics[Int(index)].generation == generation:
                return known
            default: break
            }
        }
        let found = try resolve(send.destination, into: &effects)
        if memo >= 0 {
            while sessions[Int(session)].memos.count <= memo { sessions[Int(session)].memos.append(.unknown) }
            sessions[Int(session)].memos[memo] = found
        }
        return found
    }

    private mutating func resolve(_ name: Bytes, into effects: inout Effects) throws(Refusal) -> CoreSession.Memo {
        let destination = try Destination(name)
        switch destination.kind {
        case .queue:
            let index = try clientQueue(named: destination.name, into: &effects)
            return .queue(Int32(index), generation: queues[index].generation)
        case .topic:
            let index = try topic(named: destination.name)
            return .topic(Int32(index), generation: topics[index].generation)
        case .durable:
            throw Refusal(
                .unsupportedDestination, "nothing can be sent to a durable subscription itself; send to its topic")
        case .reply:
            guard let index = queueByName[destination.name] else { return .unknown }
            return .queue(index, generation: queues[Int(index)].generation)
        }
    }

    /// The queue of that canonical name; created, on disk too, if there is none.
    mutating func queue(named name: [UInt8], into effects: inout Effects) throws(Refusal) -> Int {
        if let index = queueByName[name] { return Int(index) }
        guard queueByID.count - laneCount < limits.queues else {
            throw Refusal(
                .tooManyQueues,
                "the broker holds its limit of \(limits.queues) queues; delete some or raise limits.queues")
        }
        guard nextQueueID < .max else { throw Refusal(.tooManyQueues, "all numbers for queues have been given out") }
        let id = QueueID(rawValue: nextQueueID)
        nextQueueID += 1
        let index = placeQueue(id: id, name: name, kind: .stored)
        let (_, offset) = name.withUnsafeBufferPointer { keep($0) }
        records.append(Record(kind: .createQueue, queue: id, bytes: UInt64(name.count), offset: offset))
        effects.reports.append(.queueCreated(name: name, id: id))
        watchIdle(index)
        return index
    }

    mutating func placeQueue(
        id: QueueID, name: [UInt8], kind: QueueState.Kind, lane: Lane = .main, parent: Int32 = -1
    ) -> Int {
        countGeneration()
        let index = freeQueues.popLast().map { Int($0) } ?? queues.count
        let state = QueueState(
            id: id, name: name, kind: kind, generation: generation, lane: lane,
            parent: parent < 0 ? Int32(index) : parent)
        if index == queues.count { queues.append(state) } else { queues[index] = state }
        if lane == .main {
            queues[index].settings = settingsPool.shared(policies.settings(for: name, own: [:]))
        }
        if kind != .subscription, lane == .main { queueByName[name] = Int32(index) }
        if kind == .stored { queueByID[id] = Int32(index) }
        return index
    }

    /// Forgets a queue; its place is free for another.
    mutating func removeQueue(_ index: Int) {
        unbind(index)
        let queue = queues[index]
        if queue.kind != .subscription, queue.lane == .main { queueByName[queue.name] = nil }
        if queue.kind == .stored { queueByID[queue.id] = nil }
        idle[Int32(index)] = nil
        delayedTopics.remove(Int32(index))
        duplicates.drop(Int32(index))
        countGeneration()
        queues[index] = QueueState(
            id: QueueID(rawValue: 0), name: [], kind: .subscription, generation: generation, lane: .main,
            parent: Int32(index))
        freeQueues.append(Int32(index))
    }

    private mutating func enqueue(
        _ send: Send, _ extras: SendExtras?, of session: Int32, in index: Int, into effects: inout Effects
    ) throws(Refusal) {
        guard queues[index].isStored else {
            try checkReply(extras)
            return enqueueReply(send.content, headerBytes: send.headerBytes, extras, in: index, into: &effects)
        }
        let hash = dedupHash(extras)
        if isDuplicate(hash, in: index) { return }
        let stamp = stamp(extras, for: index)
        let count = send.content.count + stamp.lines.count
        guard count <= Batch.payloadLimit else {
            throw Refusal(
                .messageTooLarge, "\(count) bytes are more than the \(Batch.payloadLimit) that can be stored together")
        }
        try checkDisk(for: count, of: session, into: &effects)
        try makeSpace(for: count, in: index, of: session, into: &effects)
        makeRoom(for: count + Self.laneNameBytes, records: 3 + Self.dedupRecords, into: &effects)
        let lane = try self.lane(stamp.lane, of: index, into: &effects)
        let (slice, offset) = stamp.lines.isEmpty ? keep(send.content) : keep(stamp.lines, send.content)
        store(
            slice, count: slice.count, offset: offset, headerBytes: send.headerBytes + UInt32(stamp.lines.count),
            flags: send.flags | stamp.flags, in: lane)
        remember(hash, in: index)
        if send.flags & MessageFlags.durable == 0 { dispatch(index, into: &effects) }
    }

    /// A reply channel is in memory and ends with its connection.
    func checkReply(_ extras: SendExtras?) throws(Refusal) {
        guard isLater(extras) else { return }
        throw Refusal(
            .unsupportedDestination, "a reply cannot be delayed: its channel ends with the connection that asked")
    }

    /// The name of a lane takes no more than this.
    static let laneNameBytes = 300

    /// What a message is stamped with, and the lane that this and its other wishes lead to.
    struct Stamp {
        var lines: [UInt8] = []
        var flags: UInt8 = 0
        var lane = Lane.main
    }

    @inline(__always)
    func stamp(_ extras: SendExtras?, for index: Int) -> Stamp {
        if extras == nil, queues[index].settings.value.timeToLive == 0 { return Stamp() }
        return stamp(extras ?? SendExtras(), queues[index].settings.value.timeToLive)
    }

    /// `most` is the longest that the destination allows a message to live, in milliseconds; 0: no limit.
    func stamp(_ extras: SendExtras, _ most: UInt64) -> Stamp {
        var due = extras.deliverAt
        if extras.delay > 0 { due = max(due, now.wall &+ min(extras.delay, .max >> 16)) }
        if due <= now.wall { due = 0 }
        var end = extras.expires
        func shorten(_ milliseconds: UInt64) {
            if milliseconds == 0 { return }
            // What a queue allows counts from when a message can be taken.
            let (sum, overflow) = max(now.wall, due).addingReportingOverflow(milliseconds)
            if !overflow, end == 0 || sum < end { end = sum }
        }
        if extras.timeToLive > 0 {
            let (sum, overflow) = now.wall.addingReportingOverflow(extras.timeToLive)
            if !overflow, end == 0 || sum < end { end = sum }
        }
        shorten(most)
        let lines = StoredHead.stamps(deliverAt: due, expires: end)
        return Stamp(
            lines: lines, flags: lines.isEmpty ? 0 : MessageFlags.stamped,
            lane: laneKind(priority: extras.priority, group: extras.group, due: due))
    }

    /// A message whose bytes are in the batch becomes the last of its lane.
    @inline(__always)
    mutating func store(
        _ content: @autoclosure () -> Slice, count: UInt32, offset: UInt32, headerBytes: UInt32, flags: UInt8,
        in lane: Int
    ) {
        let index = Int(queues[lane].parent)
        queues[index].inTotal &+= 1
        totals.messagesIn &+= 1
        append(content(), count: count, offset: offset, headerBytes: headerBytes, flags: flags, to: lane)
    }

    /// A lane goes on when the batch that is being made is on disk.
    @inline(__always)
    mutating func awaitBatch(in lane: Int) {
        if queues[lane].awaitedBatch == batchNumber { return }
        queues[lane].awaitedBatch = batchNumber
        awaiting.append(Awaiting(batch: batchNumber, queue: Int32(lane), generation: queues[lane].generation))
    }

    /// The same for a message that was in the broker already. `content` is asked for if it stays in memory.
    @inline(__always)
    mutating func append(
        _ content: @autoclosure () -> Slice, count: UInt32, offset: UInt32, headerBytes: UInt32, flags: UInt8,
        to lane: Int
    ) {
        let room = windowRoom(of: lane)
        let batch = flags & MessageFlags.durable != 0 ? batchNumber : 0
        let sequence = queues[lane].add(
            content(), count: count, headerBytes: headerBytes, flags: flags, batch: batch, room: room, wall: now.wall)
        records.append(
            Record(
                kind: .append, flags: flags, headerBytes: headerBytes, queue: queues[lane].id, sequence: sequence,
                bytes: UInt64(count), offset: offset))
        awaitBatch(in: lane)
    }

    /// Bytes of a lane that stay in memory. Lanes are many: each gets a part.
    @inline(__always)
    private func windowRoom(of lane: Int) -> Int {
        let index = Int(queues[lane].parent)
        if queues[index].consumers.isEmpty { return limits.idleWindowBytes }
        return lane == index ? limits.windowBytes : max(limits.idleWindowBytes, limits.windowBytes / 16)
    }
}
