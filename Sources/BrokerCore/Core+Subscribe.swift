import Base

/// Subscriptions come and go.
extension Core {
    mutating func subscribe(
        _ subscribe: Subscribe, _ extras: SubscribeExtras?, of id: SessionID, into effects: inout Effects
    ) throws(Refusal) {
        let destination = try Destination(subscribe.destination)
        let selector = try Self.selector(extras, for: destination.kind)
        let queue: Int
        var topic: [UInt8]?
        switch destination.kind {
        case .queue:
            queue = try clientQueue(named: destination.name, into: &effects)
            idle[Int32(queue)]?.isUsed = true
        case .reply:
            guard let found = queueByName[destination.name] else {
                throw Refusal(.noSuchTemporary, "the temporary queue is gone, or never was")
            }
            guard queues[Int(found)].owner == id else {
                throw Refusal(.notYourTemporary, "only the connection that made a temporary queue may subscribe to it")
            }
            queue = Int(found)
        case .durable:
            if extras?.durableName.isEmpty == false {
                throw Refusal(.badDestination, "a durable subscription is made on its topic, not on its own name")
            }
            queue = try durableQueue(named: destination.name)
            // Who only looks is no consumer.
            if extras?.isBrowser != true { try checkMayAttach(to: queue) }
        case .topic where extras?.durableName.isEmpty == false:
            queue = try durableQueue(for: destination.name, extras ?? SubscribeExtras(), selector, into: &effects)
        case .topic:
            topic = destination.name
            _ = try TopicPattern(destination.name)
            queue = placeQueue(id: QueueID(rawValue: 0), name: destination.name, kind: .subscription)
        }
        subscriptionNumber += 1
        let index = place(
            Subscription(
                number: subscriptionNumber, session: id, slot: subscribe.slot, queue: Int32(queue),
                mode: extras?.isBrowser == true ? .auto : subscribe.mode,
                prefetchCount: Int(max(1, subscribe.prefetchCount)),
                prefetchBytes: Int(clamping: max(1, subscribe.prefetchBytes)), topic: topic,
                selector: topic == nil ? nil : selector))
        register(index, as: subscribe.slot, of: Int(id.index))
        if let extras, extras.isBrowser, destination.kind == .queue || destination.kind == .durable {
            return startBrowsing(index, extras, selector, in: queue, into: &effects)
        }
        queues[queue].consumers.append(index)
        if extras?.isExclusive == true, topic == nil {
            subscriptions[Int(index)].isExclusive = true
            queues[queue].rare.exclusives.append(index)
        }
        if destination.kind != .topic, let selector { look(with: index, for: selector, in: queue) }
        takeTurn(Int(index))
        subscriptions[Int(index)].isNoLocal = extras?.noLocal ?? false && destination.kind == .topic
        if let topic { try listen(to: topic, with: index) }
        noteUse(of: queue, into: &effects)
        if let topic, extras?.wantsRetained ?? true { giveRetained(to: queue, matching: topic, into: &effects) }
        dispatch(queue, into: &effects)
    }

    private mutating func register(_ index: Int32, as slot: UInt32, of session: Int) {
        sessions[session].subscriptions[slot] = index
        sessions[session].recentSlot = slot
        sessions[session].recentSubscription = index
        sessions[session].highestSlot = max(sessions[session].highestSlot, slot)
    }

    private mutating func place(_ subscription: Subscription) -> Int32 {
        if let index = freeSubscriptions.popLast() {
            subscriptions[Int(index)] = subscription
            return index
        }
        subscriptions.append(subscription)
        return Int32(subscriptions.count - 1)
    }

    private mutating func listen(to topic: [UInt8], with index: Int32) throws(Refusal) {
        try liveSubscriptions.add(index, to: topic)
        topicEpoch &+= 1
    }

    private mutating func stopListening(_ topic: [UInt8], _ index: Int32) {
        liveSubscriptions.remove(index, from: topic)
        topicEpoch &+= 1
    }

    mutating func unsubscribe(
        slot: UInt32, deletes: Bool, of session: Int32, into effects: inout Effects
    ) throws(Refusal) {
        guard let index = sessions[Int(session)].subscriptions[slot] else { return }
        let durable = deletes ? try durableQueue(ofSubscription: index) : nil
        sessions[Int(session)].subscriptions[slot] = nil
        if sessions[Int(session)].recentSlot == slot { sessions[Int(session)].recentSubscription = -1 }
        let queue = endSubscription(index, into: &effects)
        if let durable { return discard(durable, into: &effects) }
        dispatch(queue, into: &effects)
    }

    /// What the subscription holds goes back; returns its queue. Deliveries that an open
    /// transaction has decided stay with it until that ends.
    mutating func endSubscription(_ index: Int32, into effects: inout Effects) -> Int {
        let at = Int(index)
        let subscription = subscriptions[at]
        let queue = Int(subscription.queue)
        queues[queue].consumers.removeAll { $0 == index }
        if subscription.isExclusive { queues[queue].rare.exclusives.removeAll { $0 == index } }
        releaseLanes(of: at, in: queue)
        if subscription.isBrowser {
            browsers[index] = nil
        } else if subscription.isSelective {
            stopLooking(index, in: queue)
        } else {
            loseTurn(at)
        }
        if let topic = subscription.topic { stopListening(topic, index) }
        for position in 0..<subscription.deliveries.count
        where subscriptions[at].deliveries[position].state == .unacknowledged {
            makeRoom(for: 0, into: &effects)
            finish(position, of: at, .lost, held: true, into: &effects)
        }
        noteUse(of: queue, into: &effects)
        subscriptions[at].isClosed = true
        releaseIfDone(at)
        return queue
    }

    /// Frees a closed subscription that no transaction needs, with the queue that was its own.
    mutating func releaseIfDone(_ index: Int) {
        let subscription = subscriptions[index]
        guard !subscription.isFree, subscription.isClosed, subscription.decided == 0 else { return }
        subscriptions[index].isFree = true
        subscriptions[index].forgetDeliveries()
        freeSubscriptions.append(Int32(index))
        if subscription.topic != nil { removeQueue(Int(subscription.queue)) }
    }

    mutating func createTemporary(name: [UInt8], of id: SessionID) {
        let index = placeQueue(id: QueueID(rawValue: 0), name: name, kind: .reply)
        queues[index].owner = id
        sessions[Int(id.index)].temporaries.append(Int32(index))
    }
}
