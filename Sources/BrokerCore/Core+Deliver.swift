import Base

/// Messages on their way out, and what comes back.
extension Core {
    /// Hands out what is ready in the queue that `at` is, or is a lane of, to consumers in turn, as far as
    /// their credit goes.
    mutating func dispatch(_ at: Int, into effects: inout Effects) {
        let index = Int(queues[at].parent)
        if queues[index].consumers.isEmpty {
            if !delayedTopics.isEmpty, delayedTopics.contains(Int32(index)) { publishDue(index, into: &effects) }
            return
        }
        if !queues[index].rare.selectors.isEmpty { return serveAll(of: index, into: &effects) }
        serve(of: index, into: &effects)
    }

    /// Those who take everything (`view` -1), or those who have one of the queue's selectors.
    mutating func serve(of index: Int, view: Int = -1, into effects: inout Effects) {
        if !queues[index].rare.lanes.isEmpty { return serveLanes(of: index, view: view, into: &effects) }
        _ = view < 0 ? serve(index, of: index, into: &effects) : serve(index, of: index, view: view, into: &effects)
    }

    /// Higher ranks first, strictly: while a lane is read from disk, lower ones wait.
    private mutating func serveLanes(of index: Int, view: Int, into effects: inout Effects) {
        let lanes = queues[index].rare.lanes
        var at = 0
        while at < lanes.count {
            let rank = queues[Int(lanes[at])].lane.rank
            var end = at + 1
            while end < lanes.count, queues[Int(lanes[end])].lane.rank == rank { end += 1 }
            let count = end - at
            if count > 1 { queues[index].rare.turnOfLanes = (queues[index].rare.turnOfLanes + 1) % count }
            let first = count > 1 ? queues[index].rare.turnOfLanes : 0
            var isReading = false
            for offset in 0..<count {
                // An ACK makes room for one message: the other groups need not be looked at when it is gone.
                if count > 1, view < 0, !canDeliver(index) { return }
                let lane = Int(lanes[at + (first + offset) % count])
                let served =
                    view < 0
                    ? serve(lane, of: index, into: &effects) : serve(lane, of: index, view: view, into: &effects)
                switch served {
                case .reading: isReading = true
                case .noCredit: return
                case .nothing: break
                }
            }
            if isReading { return }
            at = end
        }
    }

    enum Served {
        /// All is handed out that may be.
        case nothing
        /// The next message must be read first.
        case reading
        /// No consumer of the queue may have one more.
        case noCredit
    }

    @inline(__always)
    private mutating func serve(_ lane: Int, of index: Int, into effects: inout Effects) -> Served {
        while true {
            switch queues[lane].head(durable: durableThrough) {
            case .window:
                if queues[lane].window[0].flags & MessageFlags.stamped != 0, expireFirst(of: lane, into: &effects) {
                    continue
                }
                guard let consumer = nextConsumer(lane, of: index) else { return noConsumer(lane, of: index) }
                guard let entry = queues[lane].popWindow() else { return .nothing }
                let (headerBytes, flags) = (entry.headerBytes, entry.flags)
                let (sequence, count) = (entry.sequence, entry.count &+ 1)
                deliver(
                    (consume entry).content, headerBytes: headerBytes, flags: flags, sequence: sequence, count: count,
                    from: lane, to: Int(consumer), into: &effects)
                readAhead(of: lane, into: &effects)
            case .returned:
                if expireReturned(of: lane, into: &effects) { continue }
                guard let consumer = nextConsumer(lane, of: index) else { return noConsumer(lane, of: index) }
                guard let back = queues[lane].returned.popLowest(), let content = back.content else { return .nothing }
                deliver(
                    content, headerBytes: back.headerBytes, flags: back.flags, sequence: back.sequence,
                    count: back.count &+ 1, from: lane, to: Int(consumer), into: &effects)
            case .page(let from):
                guard nextConsumer(lane, of: index, isLooking: true) != nil else { return noConsumer(lane, of: index) }
                want(from: from, of: lane, into: &effects)
                return .reading
            case .none:
                return .nothing
            }
        }
    }

    /// A group lane stands still for its holder alone.
    private func noConsumer(_ lane: Int, of index: Int) -> Served {
        queues[lane].isGroup || queues[lane].rare.waitingCount >= limits.waitingCount || queues[index].turn.first != nil
            ? .nothing : .noCredit
    }

    /// Asks for a page, once.
    mutating func want(from: UInt64, of index: Int, into effects: inout Effects) {
        guard queues[index].isStored, !queues[index].pageOutstanding, !queues[index].waitsForDurable,
            queues[index].rare.failure == nil || queues[index].mayRetry
        else { return }
        queues[index].mayRetry = false
        queues[index].pageOutstanding = true
        queues[index].pageAskedAt = durableThrough
        effects.pages.append(
            PageWanted(
                queue: queues[index].id, from: from, maxCount: limits.pageCount, maxBytes: limits.pageBytes,
                epoch: queues[index].pageEpoch))
    }

    /// The consumer that gets the next message of a lane; nil if none may have one more. To look changes
    /// no turn.
    @inline(__always)
    private mutating func nextConsumer(_ lane: Int, of index: Int, isLooking: Bool = false) -> Int32? {
        if lane != index || queues[index].rare.isMade {
            if queues[lane].rare.waitingCount >= limits.waitingCount || queues[index].rare.isDeliveryPaused {
                return nil
            }
            if queues[lane].isGroup { return groupConsumer(lane, of: index) }
        }
        if let only = onlyConsumer(of: index) {
            return !subscriptions[Int(only)].isSelective && mayDeliver(to: Int(only)) ? only : nil
        }
        guard canDeliver(index), let consumer = queues[index].turn.first else { return nil }
        if !isLooking, queues[index].turn.count > 1 {
            queues[index].turn.popFirst()
            queues[index].turn.append(consumer)
        }
        return consumer
    }

    /// The consumer that gets everything, if there is such a one: the first that asked for it, or the first of
    /// all where the queue is so. When it goes, the next takes over.
    @inline(__always)
    func onlyConsumer(of index: Int) -> Int32? {
        if queues[index].rare.isMade, let first = queues[index].rare.exclusives.first { return first }
        return queues[index].settings.value.exclusiveConsumer ? queues[index].consumers.first : nil
    }

    /// Brings a consumer that may have one more to the front of the turn, if there is one.
    @inline(__always)
    private mutating func canDeliver(_ index: Int) -> Bool {
        while let consumer = queues[index].turn.first {
            if mayDeliver(to: Int(consumer)) { return true }
            queues[index].turn.popFirst()
            subscriptions[Int(consumer)].isInTurn = false
        }
        return false
    }

    /// A consumer has credit or room again, or for the first time.
    @inline(__always)
    mutating func takeTurn(_ consumer: Int) {
        if subscriptions[consumer].isInTurn || subscriptions[consumer].isClosed { return }
        subscriptions[consumer].isInTurn = true
        queues[Int(subscriptions[consumer].queue)].turn.append(Int32(consumer))
    }

    /// A consumer is leaving.
    mutating func loseTurn(_ consumer: Int) {
        guard subscriptions[consumer].isInTurn else { return }
        subscriptions[consumer].isInTurn = false
        let index = Int(subscriptions[consumer].queue)
        for _ in 0..<queues[index].turn.count {
            guard let other = queues[index].turn.popFirst() else { return }
            if Int(other) != consumer { queues[index].turn.append(other) }
        }
    }

    /// Field by field: a method of the subscription would be given a copy of it, with all that it holds.
    @inline(__always)
    func hasCredit(_ consumer: Int) -> Bool {
        if subscriptions[consumer].mode == .auto { return true }
        let held = subscriptions[consumer].heldCount
        if held >= subscriptions[consumer].prefetchCount { return false }
        return held == 0 || subscriptions[consumer].heldBytes < subscriptions[consumer].prefetchBytes
    }

    @inline(__always)
    mutating func mayDeliver(to consumer: Int) -> Bool {
        guard hasCredit(consumer) else { return false }
        let session = Int(subscriptions[consumer].session.index)
        if sessions[session].unflushed < limits.unflushedBytes { return true }
        sessions[session].isHeldUp = true
        return false
    }

    @inline(__always)
    mutating func deliver(
        _ content: consuming Slice, headerBytes: UInt32, flags: UInt8, sequence: UInt64, count: UInt32,
        from index: Int, to consumer: Int, into effects: inout Effects
    ) {
        let bytes = content.count
        let tag = subscriptions[consumer].note(
            bytes, sequence: sequence, count: count, headerBytes: headerBytes, flags: flags, from: index)
        let id = queues[index].id
        let isStored = queues[index].isStored
        if subscriptions[consumer].mode == .auto {
            queues[index].bytes &-= UInt64(bytes)
            totals.acknowledged &+= 1
            if isStored {
                makeRoom(for: 0, into: &effects)
                settle(id, sequence, bytes: bytes)
            }
        } else {
            queues[index].inFlight &+= 1
            if !isStored { subscriptions[consumer].contents[tag] = content }
        }
        let parent = Int(queues[index].parent)
        queues[parent].outTotal &+= 1
        totals.messagesOut &+= 1
        if count > 1 {
            queues[parent].redeliveredTotal &+= 1
            totals.redelivered &+= 1
        }
        let session = Int(subscriptions[consumer].session.index)
        sessions[session].unflushed &+= Int(bytes) &+ 128
        let address = sessions[session].address
        effects.hasDeliveries = true
        effects.deliveries[address.loop].append(
            Delivery(
                connection: address.connection, slot: subscriptions[consumer].slot, count: count, tag: tag,
                queue: isStored ? id.rawValue : 0, headerBytes: headerBytes, sequence: sequence, content: content))
    }

    // MARK: ACK and NACK

    mutating func acknowledge(
        slot: UInt32, tag: UInt64, verdict: Verdict, transaction: UInt32, of session: Int32, into effects: inout Effects
    ) throws(Refusal) {
        guard let consumer = subscription(slot, of: session) else {
            // A late ACK after UNSUBSCRIBE: its message has gone back already.
            if slot > 0, slot <= sessions[Int(session)].highestSlot { return }
            throw Refusal(.unknownDelivery, "no subscription of this connection has had this message")
        }
        let mode = subscriptions[consumer].mode
        if mode == .individual, transaction == 0 {
            makeRoom(for: 0, into: &effects)
            guard let delivery = subscriptions[consumer].settle(tag) else { throw Self.notDelivered }
            conclude(delivery, of: consumer, .settled(verdict), into: &effects)
            takeTurn(consumer)
            return dispatch(Int(subscriptions[consumer].queue), into: &effects)
        }
        if mode == .auto {
            throw Refusal(.autoAcknowledged, "the subscription has ack:auto; its messages are settled as they are sent")
        }
        guard let at = subscriptions[consumer].index(ofTag: tag),
            subscriptions[consumer].deliveries[at].state == .unacknowledged
        else { throw Self.notDelivered }
        let first =
            mode == .cumulative ? subscriptions[consumer].index(atOrAfter: subscriptions[consumer].openFrom) : at
        if transaction != 0 {
            let count = (first...at).count { subscriptions[consumer].deliveries[$0].state == .unacknowledged }
            try countOperations(count, in: transaction, of: session, bytes: 0)
            sessions[Int(session)].transactions[transaction]?.subscriptions.insert(Int32(consumer))
        }
        for position in first...at
        where subscriptions[consumer].deliveries[position].state == .unacknowledged {
            if transaction != 0 {
                decide(position, of: consumer, verdict, transaction: transaction)
            } else {
                makeRoom(for: 0, into: &effects)
                finish(position, of: consumer, .settled(verdict), held: true, into: &effects)
            }
        }
        if mode == .cumulative { subscriptions[consumer].openFrom = tag &+ 1 }
        subscriptions[consumer].dropSettled()
        takeTurn(consumer)
        dispatch(Int(subscriptions[consumer].queue), into: &effects)
    }

    /// A delivery is decided in a transaction; that gives its credit back.
    private mutating func decide(_ position: Int, of consumer: Int, _ verdict: Verdict, transaction: UInt32) {
        subscriptions[consumer].deliveries[position].state = verdict == .accept ? .accepting : .rejecting
        subscriptions[consumer].deliveries[position].verdict = verdict
        subscriptions[consumer].deliveries[position].transaction = transaction
        subscriptions[consumer].heldCount -= 1
        subscriptions[consumer].heldBytes -= Int(subscriptions[consumer].deliveries[position].bytes)
        subscriptions[consumer].decided += 1
    }

    /// How a delivery ends.
    enum Ending {
        case settled(Verdict)
        /// The consumer is gone, or does not want any more.
        case lost
    }

    private static var notDelivered: Refusal {
        Refusal(.unknownDelivery, "the message was not delivered on this subscription or is settled already")
    }

    /// A delivery ends: its message is gone, or comes back.
    mutating func finish(
        _ position: Int, of consumer: Int, _ ending: Ending, held: Bool, into effects: inout Effects
    ) {
        let delivery = subscriptions[consumer].deliveries[position]
        subscriptions[consumer].deliveries[position].state = .settled
        if held {
            subscriptions[consumer].heldCount &-= 1
            subscriptions[consumer].heldBytes &-= Int(delivery.bytes)
        } else {
            subscriptions[consumer].decided -= 1
        }
        conclude(delivery, of: consumer, ending, into: &effects)
    }

    /// What the end of a delivery is for its message.
    @inline(__always)
    private mutating func conclude(
        _ delivery: Subscription.InFlight, of consumer: Int, _ ending: Ending, into effects: inout Effects
    ) {
        let lane = Int(delivery.lane)
        queues[lane].inFlight &-= 1
        let isStored = queues[lane].isStored
        let content = isStored ? nil : subscriptions[consumer].contents.removeValue(forKey: delivery.tag)
        if case .settled(.accept) = ending {
            queues[lane].bytes &-= UInt64(delivery.bytes)
            totals.acknowledged &+= 1
            if isStored { settle(queues[lane].id, delivery.sequence, bytes: delivery.bytes) }
            return
        }
        comeBack(delivery, content, ending, from: consumer, into: &effects)
    }

    @inline(__always)
    func subscription(_ slot: UInt32, of session: Int32) -> Int? {
        let recent = sessions[Int(session)].recentSubscription
        if recent >= 0, slot == sessions[Int(session)].recentSlot { return Int(recent) }
        return sessions[Int(session)].subscriptions[slot].map { Int($0) }
    }

    /// Finds a delivery by the message it carries. Nil for a late ACK after UNSUBSCRIBE, where there
    /// is nothing to do; a 1.0 client names no subscription, so it is believed once it had another.
    func delivery(
        of session: Int32, slot: UInt32, queue: UInt32, sequence: UInt64
    ) throws(Refusal) -> (slot: UInt32, tag: UInt64)? {
        let mine = sessions[Int(session)].subscriptions
        let highestSlot = sessions[Int(session)].highestSlot
        var takesNone = false
        for candidate in slot == 0 ? mine.keys.sorted() : [slot] {
            guard let index = mine[candidate] else { continue }
            let subscription = subscriptions[Int(index)]
            guard let lane = lane(queue, of: Int(subscription.queue)) else { continue }
            takesNone = takesNone || subscription.mode == .auto
            if let position = subscription.position(ofSequence: sequence, in: Int32(lane)) {
                return (candidate, subscription.deliveries[position].tag)
            }
        }
        let hasEnded = slot == 0 ? mine.count < highestSlot : mine[slot] == nil && slot <= highestSlot
        if hasEnded { return nil }
        if takesNone {
            throw Refusal(.autoAcknowledged, "the subscription has ack:auto; its messages are settled as they are sent")
        }
        throw Self.notDelivered
    }

    /// The lane with this storage id if it is one of the queue at `index`; 0 stands for what is not stored.
    private func lane(_ id: UInt32, of index: Int) -> Int? {
        if id == 0 { return queues[index].isStored ? nil : index }
        guard let lane = queueByID[QueueID(rawValue: id)], Int(queues[Int(lane)].parent) == index else { return nil }
        return Int(lane)
    }
}
