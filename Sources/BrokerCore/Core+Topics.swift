import Base

/// A message on its way to a topic.
struct Publication {
    let content: Bytes
    let headerBytes: UInt32
    let flags: UInt8
    let extras: SendExtras?
    /// The session that sends it; -1 if it has waited in the broker.
    let session: Int32

    var retain: SendExtras.Retain { extras?.retain ?? .no }
}

/// Messages to topics: copies for those who are there now, in memory, and for durable subscriptions, on disk.
extension Core {
    /// `due`: it has waited for its time, and leaves that place in the same batch.
    mutating func publish(
        _ message: Publication, to index: Int, _ due: DueMessage? = nil, into effects: inout Effects
    ) throws(Refusal) {
        refresh(index)
        let recipients = withoutDuplicates(recipients(of: message, in: index), message)
        if !recipients.isEmpty || message.retain != .no || due != nil {
            var room = BatchRoom()
            if needsDisk(message, recipients) {
                try checkDisk(for: message.content.count, of: message.session, into: &effects)
            }
            try check(message, to: index, recipients, &room)
            for recipient in recipients {
                try makeSpace(for: message.content.count, in: recipient.queue, of: message.session, into: &effects)
            }
            makeRoom(for: room.bytes, records: room.records + 1, into: &effects)
        }
        try distribute(message, to: index, recipients, into: &effects)
        if let due { leave(due) }
        if message.flags & MessageFlags.durable == 0 {
            for recipient in recipients { dispatch(recipient.queue, into: &effects) }
        }
    }

    /// Nothing may be refused from here on. The batch has room; who must see what is not durable is dispatched by
    /// the caller.
    mutating func distribute(
        _ message: Publication, to index: Int, _ recipients: [Recipient], into effects: inout Effects
    ) throws(Refusal) {
        topics[index].inTotal &+= 1
        // One that has waited for its time was counted when it came.
        if message.session >= 0 { totals.messagesIn &+= 1 }
        try store(message, for: recipients, into: &effects)
        topics[index].outTotal &+= UInt64(recipients.count)
        switch message.retain {
        case .no: break
        case .set: setRetained(message, of: index)
        case .remove: removeRetained(topics[index].name)
        }
        handOut(message, to: index, into: &effects)
    }

    // MARK: On disk

    /// A durable subscription that gets a message.
    struct Recipient {
        let queue: Int
        let stamp: Stamp
    }

    /// The topic must be fresh.
    func recipients(of message: Publication, in index: Int) -> [Recipient] {
        var recipients: [Recipient] = []
        for bound in topics[index].bound {
            let queue = Int(bound.queue)
            if isLeftOut(queue, message.session) { continue }
            let stamp = stamp(message.extras, for: queue)
            if let selector = bound.selector {
                let head = Bytes(rebasing: message.content.prefix(Int(message.headerBytes)))
                let matches =
                    stamp.lines.isEmpty
                    ? selector.matches(head) : (stamp.lines + head).withUnsafeBufferPointer { selector.matches($0) }
                if !matches { continue }
            }
            recipients.append(Recipient(queue: queue, stamp: stamp))
        }
        return recipients
    }

    /// Those that have not taken a message with its `dedup-id` already.
    mutating func withoutDuplicates(_ recipients: [Recipient], _ message: Publication) -> [Recipient] {
        guard let hash = dedupHash(message.extras) else { return recipients }
        return recipients.filter { !isDuplicate(hash, in: $0.queue) }
    }

    /// What goes into a batch.
    struct BatchRoom {
        var bytes = 0
        var records = 0
        /// What topics will retain, as far as that changes: by topic, in bytes; nil: nothing any more.
        var retained: [[UInt8]: Int?] = [:]
    }

    func needsDisk(_ message: Publication, _ recipients: [Recipient]) -> Bool {
        !recipients.isEmpty || message.retain == .set
    }

    /// Adds what a message takes of its batch.
    func check(
        _ message: Publication, to index: Int, _ recipients: [Recipient], _ room: inout BatchRoom
    ) throws(Refusal) {
        var lines: [UInt8]?
        for recipient in recipients {
            try checkSending(to: recipient.queue)
            if recipient.stamp.lines != lines {
                lines = recipient.stamp.lines
                room.bytes += message.content.count + recipient.stamp.lines.count
            }
            if recipient.stamp.lane != .main { room.bytes += Self.laneNameBytes }
            room.records += recipient.stamp.lane == .main ? 1 : 2
            if message.extras != nil { room.records += Self.dedupRecords }
        }
        try checkRetained(message, of: topics[index].name, &room)
        if room.bytes + room.records * Self.recordBytes > Batch.payloadLimit {
            throw Refusal(
                .messageTooLarge,
                "with the durable subscriptions of its topic it is more than the \(Batch.payloadLimit) bytes that can be "
                    + "stored together")
        }
        if laneCount + room.records > limits.lanes || UInt64(nextQueueID) + UInt64(room.records) >= UInt64(UInt32.max) {
            throw Refusal(.tooManyQueues, "the broker keeps its limit of \(limits.lanes) lanes of queues")
        }
    }

    /// One copy of the bytes in the batch serves all durable subscriptions whose settings do not tell them apart.
    private mutating func store(
        _ message: Publication, for recipients: [Recipient], into effects: inout Effects
    ) throws(Refusal) {
        var lines: [UInt8]?
        var kept: (slice: Slice, offset: UInt32)?
        let hash = dedupHash(message.extras)
        for recipient in recipients {
            let stamp = recipient.stamp
            let lane = try self.lane(stamp.lane, of: recipient.queue, into: &effects)
            if stamp.lines != lines { kept = nil }
            lines = stamp.lines
            let copy = kept ?? keep(stamp.lines, message.content)
            kept = copy
            queues[recipient.queue].inTotal &+= 1
            append(
                copy.slice, count: copy.slice.count, offset: copy.offset,
                headerBytes: message.headerBytes + UInt32(stamp.lines.count), flags: message.flags | stamp.flags,
                to: lane)
            remember(hash, in: recipient.queue)
        }
    }

    // MARK: In memory

    private mutating func handOut(_ message: Publication, to index: Int, into effects: inout Effects) {
        let most = topics[index].settings.timeToLive
        let lines = message.extras == nil && most == 0 ? [] : stamp(message.extras ?? SendExtras(), most).lines
        handOut(
            message.content, headerBytes: message.headerBytes, behind: lines, from: message.session, to: index,
            into: &effects)
    }

    /// One copy of the bytes serves all who get the message.
    mutating func handOut(
        _ bytes: Bytes, headerBytes: UInt32, behind lines: [UInt8], from session: Int32, to index: Int,
        into effects: inout Effects
    ) {
        transientSequence &+= 1
        if topics[index].matches.isEmpty { return }
        let entry = QueueState.Entry(
            sequence: transientSequence, batch: 0,
            content: lines.isEmpty ? keepTransient(bytes) : transient.append(lines, bytes),
            headerBytes: headerBytes + UInt32(lines.count), count: 0, flags: lines.isEmpty ? 0 : MessageFlags.stamped)
        for at in topics[index].audiences.indices {
            let audience = topics[index].audiences[at]
            if deliver(entry, to: audience, into: &effects) {
                topics[index].outTotal &+= UInt64(audience.places.count)
            } else {
                for place in audience.places {
                    handOut(entry, of: index, to: Int(place.subscription), from: session, into: &effects)
                }
            }
        }
        for at in topics[index].others.indices {
            handOut(entry, of: index, to: Int(topics[index].others[at]), from: session, into: &effects)
        }
    }

    private mutating func handOut(
        _ entry: QueueState.Entry, of index: Int, to subscriber: Int, from session: Int32, into effects: inout Effects
    ) {
        if subscriptions[subscriber].isNoLocal, subscriptions[subscriber].session.index == session { return }
        guard selects(subscriber, entry.content, headerBytes: entry.headerBytes) else { return }
        topics[index].outTotal &+= 1
        enqueueTransient(entry, in: Int(subscriptions[subscriber].queue), topic: index, into: &effects)
    }

    /// A message for a reply channel. It lives in memory only, within a bound.
    mutating func enqueueReply(
        _ content: Bytes, headerBytes: UInt32, _ extras: SendExtras?, in index: Int, into effects: inout Effects
    ) {
        transientSequence &+= 1
        totals.messagesIn &+= 1
        let stamp = stamp(extras, for: index)
        let entry = QueueState.Entry(
            sequence: transientSequence, batch: 0,
            content: stamp.lines.isEmpty ? keepTransient(content) : transient.append(stamp.lines, content),
            headerBytes: headerBytes + UInt32(stamp.lines.count), count: 0, flags: stamp.flags)
        enqueueTransient(entry, in: index, topic: nil, into: &effects)
    }

    private mutating func enqueueTransient(
        _ entry: QueueState.Entry, in index: Int, topic: Int?, into effects: inout Effects
    ) {
        let count = UInt64(entry.content.count)
        let waiting = queues[index].bytes
        if waiting > 0, waiting &+ count > UInt64(limits.backlogBytes),
            !catchUp(index, for: count, topic: topic, into: &effects)
        {
            return
        }
        queues[index].bytes &+= count
        queues[index].inTotal &+= 1
        if entry.flags == 0, let consumer = idleConsumer(of: index) {
            return deliver(
                entry.content, headerBytes: entry.headerBytes, flags: 0, sequence: entry.sequence, count: 1,
                from: index,
                to: consumer, into: &effects)
        }
        queues[index].window.append(entry)
        queues[index].windowBytes &+= Int(count)
        dispatch(index, into: &effects)
    }

    /// The only consumer, if it may have a message at once: nothing is in front of it, and nobody else could get it.
    private mutating func idleConsumer(of index: Int) -> Int? {
        guard queues[index].window.isEmpty, queues[index].turn.count == 1, queues[index].consumers.count == 1,
            queues[index].returned.isEmpty, queues[index].rare.waiting.isEmpty, queues[index].rare.selectors.isEmpty,
            !queues[index].rare.note.isDeliveryPaused
        else { return nil }
        let consumer = Int(queues[index].turn[0])
        return mayDeliver(to: consumer) ? consumer : nil
    }

    mutating func keepTransient(_ bytes: Bytes) -> Slice { transient.append(bytes) }

    // MARK: Slow subscribers

    /// More than its bound would wait for a subscriber. Returns whether the message may be put there all the same.
    private mutating func catchUp(
        _ index: Int, for count: UInt64, topic: Int?, into effects: inout Effects
    ) -> Bool {
        guard let topic, let consumer = queues[index].consumers.first else {
            overflow(index, into: &effects)
            return false
        }
        let subscriber = Int(consumer)
        let most = UInt64(limits.backlogBytes) &+ UInt64(subscriptions[subscriber].retainedBytes)
        if queues[index].bytes &+ count <= most { return true }
        switch topics[topic].settings.slowSubscriber {
        case .disconnect:
            overflow(index, into: &effects)
            return false
        case .dropNewest: break
        case .dropOldest:
            while queues[index].bytes &+ count > most, let oldest = queues[index].window.popFirst() {
                queues[index].windowBytes &-= Int(oldest.content.count)
                queues[index].bytes &-= UInt64(oldest.content.count)
                countDropped(1, for: subscriber, topic)
            }
            // What the subscriber holds unacknowledged cannot be taken back.
            if queues[index].bytes == 0 || queues[index].bytes &+ count <= most { return true }
        }
        countDropped(1, for: subscriber, topic)
        return false
    }

    private mutating func countDropped(_ count: UInt64, for subscriber: Int, _ topic: Int) {
        subscriptions[subscriber].droppedTotal &+= count
        topics[topic].droppedTotal &+= count
    }

    /// A slow subscriber must not slow the others nor use up memory: it is cut off, and told why, unless the
    /// settings of its topic say that it may lose messages. A reply channel drops what does not fit, since cutting
    /// off the replier would punish the wrong one.
    mutating func overflow(_ index: Int, into effects: inout Effects) {
        switch queues[index].kind {
        case .reply:
            totals.repliesDropped += 1
            effects.reports.append(.repliesDropped(name: queues[index].name))
        case .subscription, .stored:
            guard let consumer = queues[index].consumers.first, !queues[index].isCutOff else { return }
            queues[index].isCutOff = true
            let address = sessions[Int(subscriptions[Int(consumer)].session.index)].address
            let detail =
                "too many bytes of topic messages were waiting for this subscriber (topic.subscriber_backlog_bytes, memory.messages_bytes)"
            effects.kicks.append(Kick(address: address, refusal: Refusal(.slowConsumer, detail)))
        }
    }

    /// All that waits for a subscriber is given up for want of memory. False if it must be cut off.
    mutating func dropBacklog(_ index: Int) -> Bool {
        guard queues[index].kind == .subscription, let consumer = queues[index].consumers.first,
            policies.settings(for: queues[index].name, own: [:]).slowSubscriber != .disconnect
        else { return false }
        subscriptions[Int(consumer)].droppedTotal &+= UInt64(queues[index].window.count)
        return true
    }

    // MARK: Who gets it

    /// Makes sure that the topic knows who listens to it now.
    mutating func refresh(_ index: Int) {
        if topics[index].epoch == topicEpoch { return }
        let name = topics[index].name
        topics[index].matches = liveSubscriptions.matches(name).sorted {
            subscriptions[Int($0)].number < subscriptions[Int($1)].number
        }
        topics[index].bound = durableSubscriptions.matches(name).sorted {
            queues[Int($0)].id < queues[Int($1)].id
        }.compactMap { boundQueues[$0] }
        topics[index].settings = policies.settings(for: name, own: [:])
        gatherAudiences(index)
        topics[index].epoch = topicEpoch
    }

    mutating func topic(named name: [UInt8]) throws(Refusal) -> Int {
        if let index = topicByName[name] { return Int(index) }
        if try TopicPattern(name).hasWildcard {
            throw Refusal(.wildcardInSend, "*, **, > and # stand for words in SUBSCRIBE only")
        }
        return topicIndex(of: name)
    }

    /// The topic of a name that is known to be a good one.
    mutating func topicIndex(of name: [UInt8]) -> Int {
        if let index = topicByName[name] { return Int(index) }
        if topics.count >= limits.topics { forgetTopics() }
        topics.append(TopicState(name: name, generation: topicGeneration))
        topicByName[name] = Int32(topics.count - 1)
        return topics.count - 1
    }

    /// Topics are no more than a memory of who matches; when there are too many, start anew.
    private mutating func forgetTopics() {
        topicGeneration &+= 1
        let kept = topics.filter { liveSubscriptions.hasListener(named: $0.name) }.prefix(limits.topics / 2)
        topics = kept.map { TopicState(name: $0.name, generation: topicGeneration) }
        topicByName = Dictionary(uniqueKeysWithValues: topics.indices.map { (topics[$0].name, Int32($0)) })
    }
}
