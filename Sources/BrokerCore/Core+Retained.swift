import Base

/// Retained messages: each in a hidden stored queue of its own, `/topic/NAME` U+0001 `r`, which holds one message,
/// and in memory.
extension Core {
    private static let mark = StoredHead.line("retained", "true".utf8)

    // MARK: Setting

    /// Adds what retaining a message takes, and refuses it where that is too much.
    func checkRetained(_ message: Publication, of topic: [UInt8], _ room: inout BatchRoom) throws(Refusal) {
        switch message.retain {
        case .no: return
        case .remove:
            room.records += 1
            room.retained[topic] = .some(nil)
        case .set:
            // The queue is made, the message enters, the one before it goes.
            let stamp = Self.stampBytes
            room.records += 3
            room.bytes += topic.count + 2 + message.content.count + stamp
            room.retained[topic] = RetainedMessages.cost(message.content.count + stamp, topic: topic)
            var bytes = retained.bytes
            for (topic, cost) in room.retained { bytes += (cost ?? 0) - (retained.cost(of: topic) ?? 0) }
            if bytes > limits.retainedBytes {
                throw Refusal(
                    .retainedFull,
                    "all topics together may retain \(limits.retainedBytes) bytes; take some away with retain:remove")
            }
        }
    }

    /// The lines of a stamp are not longer.
    private static let stampBytes = 64

    mutating func setRetained(_ message: Publication, of index: Int) {
        let topic = topics[index].name
        let lines = endOfLife(message, topics[index].settings.timeToLive)
        let old = retained.byTopic[topic]
        let queue = old.map { Int($0.queue) } ?? placeRetained(topic)
        let (slice, offset) = keep(lines, message.content)
        let sequence = queues[queue].next
        let flags = message.flags | (lines.isEmpty ? 0 : MessageFlags.stamped)
        records.append(
            Record(
                kind: .append, flags: flags, headerBytes: message.headerBytes + UInt32(lines.count),
                queue: queues[queue].id, sequence: sequence, bytes: UInt64(slice.count), offset: offset))
        if let old { settle(queues[queue].id, old.sequence, bytes: old.bytes) }
        queues[queue].next = sequence &+ 1
        queues[queue].coldFrom = sequence
        queues[queue].coldCount = 1
        queues[queue].bytes = UInt64(slice.count)
        let (content, headerBytes) = Self.marked(
            slice.bytes, headerBytes: message.headerBytes + UInt32(lines.count), flags)
        retained.set(
            topic,
            Retained(
                queue: Int32(queue), sequence: sequence,
                batch: message.flags & MessageFlags.durable == 0 ? 0 : batchNumber, content: retained.keep(content),
                headerBytes: headerBytes, flags: flags, bytes: slice.count))
    }

    /// What is retained is there already, so there is no time before which it must not be delivered.
    private func endOfLife(_ message: Publication, _ most: UInt64) -> [UInt8] {
        if message.extras == nil, most == 0 { return [] }
        var extras = message.extras ?? SendExtras()
        (extras.deliverAt, extras.delay) = (0, 0)
        return stamp(extras, most).lines
    }

    private mutating func placeRetained(_ topic: [UInt8]) -> Int {
        let id = QueueID(rawValue: nextQueueID)
        nextQueueID += 1
        let name = topic + [Lane.separator] + Array(Lane.retained.suffix.utf8)
        let queue = placeQueue(id: id, name: name, kind: .stored, lane: .retained)
        laneCount += 1
        let (_, offset) = name.withUnsafeBufferPointer { keep($0) }
        records.append(Record(kind: .createQueue, queue: id, bytes: UInt64(name.count), offset: offset))
        return queue
    }

    mutating func removeRetained(_ topic: [UInt8]) {
        guard let old = retained.byTopic[topic] else { return }
        records.append(Record(kind: .deleteQueue, queue: queues[Int(old.queue)].id))
        removeQueue(Int(old.queue))
        laneCount -= 1
        retained.remove(topic)
    }

    /// The message with `retained:true` in front of the sender's headers.
    private static func marked(
        _ content: Bytes, headerBytes: UInt32, _ flags: UInt8
    ) -> (content: [UInt8], headerBytes: UInt32) {
        let stamps = flags & MessageFlags.stamped == 0 ? 0 : StoredHead.stamps(of: content).bytes
        return (
            Array(content[..<stamps]) + mark + Array(content[stamps...]), headerBytes + UInt32(mark.count)
        )
    }

    // MARK: Giving

    /// A new subscription gets what is retained before anything else. What has not been read back since the start
    /// is asked for first.
    mutating func giveRetained(to queue: Int, matching topic: [UInt8], into effects: inout Effects) {
        let topics = retained.topics(matching: topic)
        if topics.isEmpty { return }
        let first = transientSequence &+ 1
        transientSequence &+= UInt64(topics.count)
        var isMissing = false
        for topic in topics where retained.byTopic[topic]?.isMissing ?? false {
            isMissing = true
            load(topic, into: &effects)
        }
        guard isMissing else { return fill(queue, with: topics, first, into: &effects) }
        retained.waiters.append(
            RetainedMessages.Waiter(
                queue: Int32(queue), generation: queues[queue].generation, topics: topics, firstSequence: first))
        hold(queue)
    }

    /// The subscription of a private queue gets nothing for now: it counts as being in turn, but is not.
    private mutating func hold(_ queue: Int) {
        guard !queues[queue].isStored, let consumer = queues[queue].consumers.first else { return }
        loseTurn(Int(consumer))
        subscriptions[Int(consumer)].isInTurn = true
    }

    private mutating func fill(
        _ queue: Int, with topics: [[UInt8]], _ firstSequence: UInt64, into effects: inout Effects
    ) {
        let selector =
            boundQueues[Int32(queue)]?.selector
            ?? queues[queue].consumers.first.flatMap { subscriptions[Int($0)].selector }
        let values = topics.compactMap { retained.byTopic[$0] }.filter { value in
            guard let content = value.content else { return false }
            return (value.flags & MessageFlags.stamped == 0 || !isExpired(content))
                && Self.selects(selector, content.bytes, headerBytes: value.headerBytes)
        }
        if queues[queue].isStored { store(values, in: queue) } else { show(values, in: queue, firstSequence) }
        dispatch(queue, into: &effects)
    }

    /// In the queue of a durable subscription they become messages like all others. The batch has room.
    private mutating func store(_ values: [Retained], in queue: Int) {
        for value in values {
            guard let content = value.content else { continue }
            let (slice, offset) = keep(content.bytes)
            queues[queue].inTotal &+= 1
            append(
                slice, count: slice.count, offset: offset, headerBytes: value.headerBytes, flags: value.flags, to: queue
            )
        }
    }

    private mutating func show(_ values: [Retained], in queue: Int, _ firstSequence: UInt64) {
        guard let consumer = queues[queue].consumers.first else { return }
        var awaited: UInt64 = 0
        var bytes = 0
        for (offset, value) in values.enumerated().reversed() {
            guard let content = value.content else { continue }
            awaited = max(awaited, value.batch > durableThrough ? value.batch : 0)
            bytes += Int(content.count)
            queues[queue].window.prepend(
                QueueState.Entry(
                    sequence: firstSequence &+ UInt64(offset), batch: value.batch, content: content,
                    headerBytes: value.headerBytes, count: 0, flags: value.flags))
        }
        queues[queue].windowBytes += bytes
        queues[queue].bytes &+= UInt64(bytes)
        queues[queue].inTotal &+= UInt64(values.count)
        subscriptions[Int(consumer)].retainedBytes += bytes
        if awaited > 0 {
            // The list is in order of batches; later than needed does no harm.
            let batch = max(awaited, awaiting.isEmpty ? 0 : awaiting[awaiting.count - 1].batch)
            awaiting.append(
                Awaiting(batch: batch, queue: Int32(queue), generation: queues[queue].generation))
        }
    }

    // MARK: After a start

    mutating func restoreRetained(
        _ topic: [UInt8], id: QueueID, name: [UInt8], head: UInt64, next: UInt64, messages: UInt64, bytes: UInt64
    ) {
        let queue = placeQueue(id: id, name: name, kind: .stored, lane: .retained)
        laneCount += 1
        queues[queue].next = next
        queues[queue].coldFrom = head
        queues[queue].coldCount = messages
        queues[queue].bytes = bytes
        retained.set(
            topic,
            Retained(
                queue: Int32(queue), sequence: head, batch: 0, content: nil, headerBytes: 0,
                flags: MessageFlags.durable, bytes: UInt32(clamping: bytes)))
        retained.toLoad.append(topic)
    }

    /// So many are asked for in a second, and one more for each that has come.
    private static let loadsAtOnce = 64

    private mutating func loadMore(_ count: Int, into effects: inout Effects) {
        var left = count
        while left > 0, let topic = retained.toLoad.popLast() {
            if load(topic, into: &effects) { left -= 1 }
        }
    }

    /// Returns false if there is nothing to be read.
    @discardableResult
    private mutating func load(_ topic: [UInt8], into effects: inout Effects) -> Bool {
        guard let value = retained.byTopic[topic], value.isMissing, !value.isLoading else { return false }
        retained.update(topic) { $0.isLoading = true }
        let queue = Int(value.queue)
        effects.pages.append(
            PageWanted(
                queue: queues[queue].id, from: value.sequence, maxCount: 1, maxBytes: limits.pageBytes,
                epoch: queues[queue].generation, purpose: .retained))
        return true
    }

    /// What `load` asked for has come.
    mutating func retainedRead(
        _ queue: Int, _ messages: [PageMessage], failure: String?, into effects: inout Effects
    ) {
        guard let (topic, _) = Lane.split(queues[queue].name), let value = retained.byTopic[topic] else { return }
        if value.content == nil {
            if let message = messages.first, message.sequence == value.sequence {
                let (content, headerBytes) = Self.marked(
                    message.content.bytes, headerBytes: message.headerBytes, message.flags)
                let slice = retained.keep(content)
                retained.update(topic) {
                    ($0.content, $0.headerBytes, $0.flags, $0.isLoading) = (slice, headerBytes, message.flags, false)
                }
            } else {
                retained.update(topic) { ($0.isLoading, $0.isBroken) = (false, true) }
                let reason = failure ?? "storage does not give back message \(value.sequence)"
                effects.reports.append(.queueUnreadable(name: topic, reason: reason))
            }
        }
        serveWaiters(into: &effects)
        loadMore(1, into: &effects)
    }

    /// Subscriptions for which all has come, or never will, go on.
    mutating func serveWaiters(into effects: inout Effects) {
        if retained.waiters.isEmpty { return }
        let waiters = retained.waiters
        retained.waiters = []
        for waiter in waiters {
            let queue = Int(waiter.queue)
            guard queues[queue].generation == waiter.generation else { continue }
            if waiter.topics.contains(where: { retained.byTopic[$0]?.isMissing ?? false }) {
                retained.waiters.append(waiter)
                continue
            }
            if queues[queue].isStored {
                makeRoom(for: retainedBytes(of: waiter.topics), records: waiter.topics.count, into: &effects)
            } else if let consumer = queues[queue].consumers.first {
                subscriptions[Int(consumer)].isInTurn = false
                takeTurn(Int(consumer))
            }
            fill(queue, with: waiter.topics, waiter.firstSequence, into: &effects)
        }
    }

    /// What it takes to store what is retained for a durable subscription.
    func retainedBytes(of topics: [[UInt8]]) -> Int {
        topics.reduce(0) { $0 + Int(retained.byTopic[$1]?.content?.count ?? 0) }
    }

    /// Called by the clock: reads on after a start, and takes away what has reached the end of its life.
    mutating func sweepRetained(isThorough: Bool, into effects: inout Effects) {
        if isThorough {
            for (topic, value) in retained.byTopic where value.isBroken {
                retained.update(topic) { $0.isBroken = false }
                retained.toLoad.append(topic)
            }
            let ended = retained.byTopic.filter { _, value in
                guard value.flags & MessageFlags.stamped != 0, let content = value.content else { return false }
                return isExpired(content)
            }
            for topic in ended.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
                makeRoom(for: 0, into: &effects)
                removeRetained(topic)
            }
        }
        loadMore(Self.loadsAtOnce, into: &effects)
    }
}
