import Base

/// Messages that live in memory: those of topics, which go to whoever is subscribed, and of reply channels.
extension Core {
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
            QueueState.Entry(
                sequence: sequence, batch: 0, content: content, headerBytes: headerBytes, count: 0, flags: 0))
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

    /// One copy of the bytes serves all who get the message.
    mutating func publish(_ content: Slice?, headerBytes: UInt32, to index: Int, into effects: inout Effects) {
        topics[index].inTotal &+= 1
        totals.messagesIn &+= 1
        transientSequence &+= 1
        guard hasSubscribers(index), let content else { return }
        let sequence = transientSequence
        let matches = topics[index].matches
        for match in matches where selects(Int(match), content, headerBytes: headerBytes) {
            topics[index].outTotal &+= 1
            let queue = Int(subscriptions[Int(match)].queue)
            enqueueTransient(content, headerBytes: headerBytes, sequence: sequence, in: queue, into: &effects)
        }
    }

    mutating func hasSubscribers(_ index: Int) -> Bool {
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
        let kept = topics.filter { exactSubscriptions[$0.name] != nil }.prefix(limits.topics / 2)
        topics = kept.map { TopicState(name: $0.name, generation: topicGeneration) }
        topicByName = Dictionary(uniqueKeysWithValues: topics.indices.map { (topics[$0].name, Int32($0)) })
    }
}
