import Base

/// Messages on their way out, and what comes back.
extension Core {
    /// Hands out what is ready to consumers in turn, as far as their credit goes.
    mutating func dispatch(_ index: Int, into effects: inout Effects) {
        if queues[index].consumers.isEmpty { return }
        while true {
            switch queues[index].head(durable: durableThrough) {
            case .window:
                guard let consumer = nextConsumer(index) else { return }
                guard let entry = queues[index].window.popFirst() else { return }
                queues[index].windowBytes &-= Int(entry.content.count)
                deliver(
                    entry.content, headerBytes: entry.headerBytes, sequence: entry.sequence, count: entry.count &+ 1,
                    from: index, to: Int(consumer), into: &effects)
            case .returned:
                guard let consumer = nextConsumer(index) else { return }
                guard let back = queues[index].returned.popLowest(), let content = back.content else { return }
                deliver(
                    content, headerBytes: back.headerBytes, sequence: back.sequence, count: back.count &+ 1,
                    from: index, to: Int(consumer), into: &effects)
            case .page(let from):
                if !queues[index].note.isDeliveryPaused, canDeliver(index) {
                    want(from: from, of: index, into: &effects)
                }
                return
            case .none:
                return
            }
        }
    }

    /// Asks for a page, once.
    private mutating func want(from: UInt64, of index: Int, into effects: inout Effects) {
        guard queues[index].isStored, !queues[index].pageOutstanding, !queues[index].waitsForDurable,
            queues[index].failure == nil || queues[index].mayRetry
        else { return }
        queues[index].mayRetry = false
        queues[index].pageOutstanding = true
        queues[index].pageAskedAt = durableThrough
        effects.pages.append(
            PageWanted(
                queue: queues[index].id, from: from, maxCount: limits.pageCount, maxBytes: limits.pageBytes,
                epoch: queues[index].pageEpoch))
    }

    /// The next consumer in turn that may have one more; nil if none may.
    @inline(__always)
    private mutating func nextConsumer(_ index: Int) -> Int32? {
        if queues[index].note.isDeliveryPaused { return nil }
        guard canDeliver(index), let consumer = queues[index].turn.first else { return nil }
        if queues[index].turn.count > 1 {
            queues[index].turn.popFirst()
            queues[index].turn.append(consumer)
        }
        return consumer
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

    @inline(__always)
    private mutating func mayDeliver(to consumer: Int) -> Bool {
        guard subscriptions[consumer].hasCredit else { return false }
        let session = Int(subscriptions[consumer].session.index)
        if sessions[session].unflushed < limits.unflushedBytes { return true }
        sessions[session].isHeldUp = true
        return false
    }

    private mutating func deliver(
        _ content: Slice, headerBytes: UInt32, sequence: UInt64, count: UInt32, from index: Int, to consumer: Int,
        into effects: inout Effects
    ) {
        let isStored = queues[index].isStored
        let mode = subscriptions[consumer].mode
        let slot = subscriptions[consumer].slot
        let session = Int(subscriptions[consumer].session.index)
        let tag = subscriptions[consumer].nextTag
        subscriptions[consumer].nextTag = tag &+ 1
        if mode == .auto {
            subscriptions[consumer].firstTag = tag &+ 1
            queues[index].bytes &-= UInt64(content.count)
            totals.acknowledged &+= 1
            if isStored {
                makeRoom(for: 0, into: &effects)
                settle(queues[index].id, sequence, bytes: content.count)
            }
        } else {
            subscriptions[consumer].deliveries.append(
                Subscription.InFlight(
                    tag: tag, sequence: sequence, bytes: content.count, count: count, headerBytes: headerBytes,
                    state: .unacknowledged, transaction: 0, content: isStored ? nil : content))
            subscriptions[consumer].heldCount &+= 1
            subscriptions[consumer].heldBytes &+= Int(content.count)
            queues[index].inFlight &+= 1
        }
        subscriptions[consumer].deliveredTotal &+= 1
        sessions[session].unflushed &+= Int(content.count) &+ 128
        queues[index].outTotal &+= 1
        totals.messagesOut &+= 1
        if count > 1 {
            queues[index].redeliveredTotal &+= 1
            totals.redelivered &+= 1
        }
        let address = sessions[session].address
        effects.hasDeliveries = true
        effects.deliveries[address.loop].append(
            Delivery(
                connection: address.connection, slot: slot, count: count, tag: tag,
                queue: isStored ? queues[index].id.rawValue : 0, headerBytes: headerBytes, sequence: sequence,
                content: content))
    }

    // MARK: ACK and NACK

    mutating func acknowledge(
        slot: UInt32, tag: UInt64, accept: Bool, transaction: UInt32, of session: Int32, into effects: inout Effects
    ) throws(Refusal) {
        guard let consumer = subscription(slot, of: session) else {
            // A late ACK after UNSUBSCRIBE: its message has gone back already.
            if slot > 0, slot <= sessions[Int(session)].highestSlot { return }
            throw Refusal(.unknownDelivery, "no subscription of this connection has had this message")
        }
        let mode = subscriptions[consumer].mode
        if mode == .auto {
            throw Refusal(.autoAcknowledged, "the subscription has ack:auto; its messages are settled as they are sent")
        }
        guard let at = subscriptions[consumer].index(ofTag: tag),
            subscriptions[consumer].deliveries[at].state == .unacknowledged
        else {
            throw Refusal(.unknownDelivery, "the message was not delivered on this subscription or is settled already")
        }
        let first =
            mode == .cumulative ? subscriptions[consumer].index(atOrAfter: subscriptions[consumer].openFrom) : at
        if transaction != 0 {
            let count = (first...at).count { subscriptions[consumer].deliveries[$0].state == .unacknowledged }
            try countOperations(count, in: transaction, of: session, bytes: 0)
            sessions[Int(session)].transactions[transaction]?.subscriptions.insert(Int32(consumer))
        }
        var back: [Returned] = []
        for position in first...at
        where subscriptions[consumer].deliveries[position].state == .unacknowledged {
            if transaction != 0 {
                decide(position, of: consumer, accept: accept, transaction: transaction)
            } else {
                makeRoom(for: 0, into: &effects)
                finish(position, of: consumer, accept: accept, held: true, back: &back)
            }
        }
        if mode == .cumulative { subscriptions[consumer].openFrom = tag &+ 1 }
        subscriptions[consumer].dropSettled()
        takeTurn(consumer)
        let queue = Int(subscriptions[consumer].queue)
        if !back.isEmpty { queues[queue].takeBack(back) }
        dispatch(queue, into: &effects)
    }

    /// A delivery is decided in a transaction; that gives its credit back.
    private mutating func decide(_ position: Int, of consumer: Int, accept: Bool, transaction: UInt32) {
        subscriptions[consumer].deliveries[position].state = accept ? .accepting : .rejecting
        subscriptions[consumer].deliveries[position].transaction = transaction
        subscriptions[consumer].heldCount -= 1
        subscriptions[consumer].heldBytes -= Int(subscriptions[consumer].deliveries[position].bytes)
        subscriptions[consumer].decided += 1
    }

    /// A delivery ends: its message is gone, or comes back.
    @inline(__always)
    mutating func finish(
        _ position: Int, of consumer: Int, accept: Bool, held: Bool, back: inout [Returned]
    ) {
        let delivery = subscriptions[consumer].deliveries[position]
        subscriptions[consumer].deliveries[position].state = .settled
        subscriptions[consumer].deliveries[position].content = nil
        if held {
            subscriptions[consumer].heldCount &-= 1
            subscriptions[consumer].heldBytes &-= Int(delivery.bytes)
        } else {
            subscriptions[consumer].decided -= 1
        }
        let queue = Int(subscriptions[consumer].queue)
        queues[queue].inFlight &-= 1
        if accept {
            queues[queue].bytes &-= UInt64(delivery.bytes)
            totals.acknowledged &+= 1
            if queues[queue].isStored { settle(queues[queue].id, delivery.sequence, bytes: delivery.bytes) }
            return
        }
        back.append(
            Returned(
                sequence: delivery.sequence, bytes: delivery.bytes, count: delivery.count,
                headerBytes: delivery.headerBytes, content: delivery.content))
        if queues[queue].isStored {
            records.append(
                Record(kind: .attempt, queue: queues[queue].id, sequence: delivery.sequence, count: delivery.count))
        }
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
            let source = queues[Int(subscription.queue)]
            guard (source.isStored ? source.id.rawValue : 0) == queue else { continue }
            takesNone = takesNone || subscription.mode == .auto
            if let position = subscription.position(ofSequence: sequence) {
                return (candidate, subscription.deliveries[position].tag)
            }
        }
        let hasEnded = slot == 0 ? mine.count < highestSlot : mine[slot] == nil && slot <= highestSlot
        if hasEnded { return nil }
        if takesNone {
            throw Refusal(.autoAcknowledged, "the subscription has ack:auto; its messages are settled as they are sent")
        }
        throw Refusal(.unknownDelivery, "the message was not delivered on this subscription or is settled already")
    }
}
