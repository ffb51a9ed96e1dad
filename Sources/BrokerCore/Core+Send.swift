import Base

/// Messages on their way in.
extension Core {
    mutating func send(
        _ send: Send, _ extras: SendExtras?, of session: Int32, into effects: inout Effects
    ) throws(Refusal) {
        switch try target(of: send, session: session, into: &effects) {
        case .queue(let index, _):
            try enqueue(send, extras, in: Int(index), into: &effects)
        case .topic(let index, _):
            // Nobody listens: nothing to keep.
            let content = hasSubscribers(Int(index)) ? keepTransient(send.content) : nil
            publish(content, headerBytes: send.headerBytes, to: Int(index), into: &effects)
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
            let index = try queue(named: destination.name, into: &effects)
            return .queue(Int32(index), generation: queues[index].generation)
        case .topic:
            let index = try topic(named: destination.name)
            return .topic(Int32(index), generation: topics[index].generation)
        case .reply:
            guard let index = queueByName[destination.name] else { return .unknown }
            return .queue(index, generation: queues[Int(index)].generation)
        }
    }

    /// The queue of that canonical name; created, on disk too, if there is none.
    mutating func queue(named name: [UInt8], into effects: inout Effects) throws(Refusal) -> Int {
        if let index = queueByName[name] { return Int(index) }
        guard queueByID.count < limits.queues else {
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
        return index
    }

    mutating func placeQueue(id: QueueID, name: [UInt8], kind: QueueState.Kind) -> Int {
        countGeneration()
        let state = QueueState(id: id, name: name, kind: kind, generation: generation)
        let index: Int
        if let free = freeQueues.popLast() {
            index = Int(free)
            queues[index] = state
        } else {
            index = queues.count
            queues.append(state)
        }
        if kind != .subscription { queueByName[name] = Int32(index) }
        if kind == .stored { queueByID[id] = Int32(index) }
        return index
    }

    /// Forgets a queue; its place is free for another.
    mutating func removeQueue(_ index: Int) {
        let queue = queues[index]
        if queue.kind != .subscription { queueByName[queue.name] = nil }
        if queue.kind == .stored { queueByID[queue.id] = nil }
        duplicates.drop(Int32(index))
        countGeneration()
        queues[index] = QueueState(id: QueueID(rawValue: 0), name: [], kind: .subscription, generation: generation)
        freeQueues.append(Int32(index))
    }

    private mutating func enqueue(
        _ send: Send, _ extras: SendExtras?, in index: Int, into effects: inout Effects
    ) throws(Refusal) {
        guard queues[index].isStored else {
            return enqueueTransient(
                keepTransient(send.content), headerBytes: send.headerBytes, in: index, into: &effects)
        }
        let hash = dedupHash(extras)
        if isDuplicate(hash, in: index) { return }
        if let diskShort { throw Refusal(.diskShort, diskShort) }
        let count = send.content.count
        guard count <= Batch.payloadLimit else {
            throw Refusal(
                .messageTooLarge, "\(count) bytes are more than the \(Batch.payloadLimit) that can be stored together")
        }
        makeRoom(for: count, records: 1 + Self.dedupRecords, into: &effects)
        let (slice, offset) = keep(send.content)
        store(slice, offset: offset, headerBytes: send.headerBytes, flags: send.flags, in: index)
        remember(hash, in: index)
        if send.flags & MessageFlags.durable == 0 { dispatch(index, into: &effects) }
    }

    /// A message whose bytes are in the batch becomes the last of its queue.
    @inline(__always)
    mutating func store(_ content: Slice, offset: UInt32, headerBytes: UInt32, flags: UInt8, in index: Int) {
        let sequence = queues[index].next
        records.append(
            Record(
                kind: .append, flags: flags, headerBytes: headerBytes, queue: queues[index].id, sequence: sequence,
                bytes: UInt64(content.count), offset: offset))
        queues[index].next = sequence &+ 1
        queues[index].bytes &+= UInt64(content.count)
        queues[index].inTotal &+= 1
        totals.messagesIn &+= 1
        if queues[index].awaitedBatch != batchNumber {
            queues[index].awaitedBatch = batchNumber
            awaiting.append(Awaiting(batch: batchNumber, queue: Int32(index), generation: queues[index].generation))
        }
        let room = queues[index].consumers.isEmpty ? limits.idleWindowBytes : limits.windowBytes
        if queues[index].coldCount == 0, queues[index].windowBytes < room {
            let batch = flags & MessageFlags.durable != 0 ? batchNumber : 0
            queues[index].window.append(
                QueueState.Entry(sequence: sequence, batch: batch, content: content, headerBytes: headerBytes, count: 0)
            )
            queues[index].windowBytes &+= Int(content.count)
            queues[index].coldFrom = sequence &+ 1
        } else {
            if queues[index].coldCount == 0 { queues[index].coldFrom = sequence }
            queues[index].coldCount &+= 1
        }
    }

    /// A message for one topic subscription or reply channel. It lives in memory only, within a bound.
    mutating func enqueueTransient(_ content: Slice, headerBytes: UInt32, in index: Int, into effects: inout Effects) {
        transientSequence &+= 1
        totals.messagesIn &+= 1
        enqueueTransient(content, headerBytes: headerBytes, sequence: transientSequence, in: index, into: &effects)
    }

    private mutating func enqueueTransient(
        _ content: Slice, headerBytes: UInt32, sequence: UInt64, in index: Int, into effects: inout Effects
    ) {
        let waiting = queues[index].bytes
        if waiting > 0, waiting &+ UInt64(content.count) > UInt64(limits.backlogBytes) {
            return overflow(index, into: &effects)
        }
        queues[index].window.append(
            QueueState.Entry(sequence: sequence, batch: 0, content: content, headerBytes: headerBytes, count: 0))
        queues[index].windowBytes &+= Int(content.count)
        queues[index].bytes &+= UInt64(content.count)
        queues[index].inTotal &+= 1
        dispatch(index, into: &effects)
    }

    /// A slow subscriber must not slow the others nor use up memory: it is cut off, and told why.
    /// A reply channel drops what does not fit, since cutting off the replier would punish the wrong one.
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

    mutating func keepTransient(_ bytes: Bytes) -> Slice { transient.append(bytes) }

    // MARK: Topics

    /// One copy of the bytes serves all who get the message.
    mutating func publish(_ content: Slice?, headerBytes: UInt32, to index: Int, into effects: inout Effects) {
        topics[index].inTotal &+= 1
        totals.messagesIn &+= 1
        transientSequence &+= 1
        guard hasSubscribers(index), let content else { return }
        let sequence = transientSequence
        let matches = topics[index].matches
        topics[index].outTotal &+= UInt64(matches.count)
        for match in matches {
            let queue = Int(subscriptions[Int(match)].queue)
            enqueueTransient(content, headerBytes: headerBytes, sequence: sequence, in: queue, into: &effects)
        }
    }

    private mutating func hasSubscribers(_ index: Int) -> Bool {
        if topics[index].epoch != topicEpoch { findMatches(index) }
        return !topics[index].matches.isEmpty
    }

    private mutating func findMatches(_ index: Int) {
        let name = topics[index].name
        var matches = exactSubscriptions[name] ?? []
        if !patternSubscriptions.isEmpty {
            let words = TopicPattern.split(name)
            for listeners in patternSubscriptions.values where listeners.pattern.matches(words) {
                matches += listeners.subscriptions
            }
            matches.sort { subscriptions[Int($0)].number < subscriptions[Int($1)].number }
        }
        topics[index].matches = matches
        topics[index].epoch = topicEpoch
    }

    private mutating func topic(named name: [UInt8]) throws(Refusal) -> Int {
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
        let kept = topics.filter { exactSubscriptions[$0.name] != nil }.prefix(limits.topics / 2)
        topics = kept.map { TopicState(name: $0.name, generation: topicGeneration) }
        topicByName = Dictionary(uniqueKeysWithValues: topics.indices.map { (topics[$0].name, Int32($0)) })
    }
}
