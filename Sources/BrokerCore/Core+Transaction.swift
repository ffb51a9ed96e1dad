import Base

/// What happens between BEGIN and COMMIT, and at its end.
extension Core {
    /// Keeps a message for COMMIT. Its destination is understood now, so that a bad one is refused now.
    /// A queue that comes to be by this stays, whatever becomes of the transaction.
    mutating func hold(
        _ send: Send, _ extras: SendExtras?, of session: Int32, into effects: inout Effects
    ) throws(Refusal) {
        let target: Transaction.Held.Target
        switch try self.target(of: send, session: session, into: &effects) {
        case .queue(let index, let generation) where queues[Int(index)].isStored:
            try checkSending(to: Int(index))
            target = .stored(index, generation: generation)
        case .queue(let index, let generation):
            try checkReply(extras)
            target = .reply(index, generation: generation)
        case .topic(let index, _) where isLater(extras):
            let room = try waitingRoom(of: topics[Int(index)].name, for: extras, into: &effects)
            target = .stored(Int32(room), generation: queues[room].generation)
        case .topic(let index, _): target = .topic(topics[Int(index)].name)
        case .unknown: target = .gone
        }
        try countOperations(1, in: send.transaction, of: session, bytes: send.content.count)
        sessions[Int(session)].transactions[send.transaction]?.add(
            send.content, target: target, headerBytes: send.headerBytes, flags: send.flags, extras: extras)
    }

    /// Operations are messages sent and messages decided: each is a record of the batch to come.
    mutating func countOperations(
        _ count: Int, in transaction: UInt32, of session: Int32, bytes: Int
    ) throws(Refusal) {
        guard
            let (operations, held) = sessions[Int(session)].transactions[transaction].map({ ($0.operations, $0.bytes) })
        else { return }
        if operations + count > limits.transactionOperations {
            throw Refusal(
                .transactionTooLarge,
                "a transaction may hold \(limits.transactionOperations) operations (limits.transaction_operations)")
        }
        if held + bytes > limits.transactionBytes {
            throw Refusal(
                .transactionTooLarge,
                "a transaction may hold \(limits.transactionBytes) bytes (limits.transaction_bytes)")
        }
        sessions[Int(session)].transactions[transaction]?.operations += count
        sessions[Int(session)].transactions[transaction]?.bytes += bytes
    }

    /// All of it, in one batch.
    mutating func commit(_ number: UInt32, of session: Int32, into effects: inout Effects) throws(Refusal) {
        guard let transaction = sessions[Int(session)].transactions[number] else { return }
        let topics = try check(transaction, of: session)
        let extras = transaction.sends.count { $0.extras != nil }
        makeRoom(
            for: transaction.bytes + extras * Self.laneNameBytes + topics.bytes,
            records: transaction.operations + extras * (1 + Self.dedupRecords) + topics.records, into: &effects)
        sessions[Int(session)].transactions[number] = nil
        var touched: Set<Int> = []
        var fed: Set<Int> = []
        for consumer in transaction.subscriptions.sorted() {
            end(number, of: Int(consumer), commit: true, touched: &touched, into: &effects)
        }
        for held in transaction.sends {
            switch held.target {
            case .stored(let index, _):
                try store(held, in: Int(index), into: &effects)
                if held.flags & MessageFlags.durable == 0 { touched.insert(Int(index)) }
            case .reply(let index, let generation) where queues[Int(index)].generation == generation:
                enqueueReply(
                    held.content.bytes, headerBytes: held.headerBytes, held.extras, in: Int(index), into: &effects)
            case .topic(let name):
                let topic = topicIndex(of: name)
                refresh(topic)
                let message = held.publication(of: session)
                let recipients = withoutDuplicates(recipients(of: message, in: topic), message)
                try distribute(message, to: topic, recipients, into: &effects)
                fed.formUnion(recipients.map(\.queue))
                if held.flags & MessageFlags.durable == 0 { touched.formUnion(recipients.map(\.queue)) }
            case .reply, .gone:
                totals.repliesDropped += 1
            }
        }
        totals.transactionsCommitted += 1
        for case .stored(let index, _) in transaction.sends.lazy.map(\.target) { fed.insert(Int(index)) }
        for queue in fed.sorted() { trim(queue, into: &effects) }
        for queue in touched.sorted() { dispatch(queue, into: &effects) }
    }

    private mutating func store(
        _ held: Transaction.Held, in index: Int, into effects: inout Effects
    ) throws(Refusal) {
        let hash = dedupHash(held.extras)
        if isDuplicate(hash, in: index) { return }
        let stamp = stamp(held.extras, for: index)
        let lane = try self.lane(stamp.lane, of: index, into: &effects)
        let kept: (slice: Slice, offset: UInt32) =
            stamp.lines.isEmpty ? (held.content, adopt(held.content)) : keep(stamp.lines, held.content.bytes)
        store(
            kept.slice, count: kept.slice.count, offset: kept.offset,
            headerBytes: held.headerBytes + UInt32(stamp.lines.count),
            flags: held.flags | stamp.flags, in: lane)
        remember(hash, in: index)
    }

    /// Nothing may be refused once a transaction has begun to take effect. Returns what the messages to topics
    /// take of the batch.
    private mutating func check(_ transaction: Transaction, of session: Int32) throws(Refusal) -> BatchRoom {
        var room = BatchRoom()
        var brought: [Int: (messages: UInt64, bytes: UInt64)] = [:]
        func bring(_ bytes: Int, to queue: Int) {
            let before = brought[queue] ?? (0, 0)
            brought[queue] = (before.messages &+ 1, before.bytes &+ UInt64(bytes))
        }
        for held in transaction.sends {
            guard case .topic(let name) = held.target else { continue }
            let topic = topicIndex(of: name)
            refresh(topic)
            let message = held.publication(of: session)
            let recipients = recipients(of: message, in: topic)
            if let diskShort, needsDisk(message, recipients) { throw Refusal(.diskShort, diskShort) }
            try check(message, to: topic, recipients, &room)
            for recipient in recipients { bring(message.content.count, to: recipient.queue) }
        }
        for held in transaction.sends {
            guard case .stored(let index, let generation) = held.target else { continue }
            if queues[Int(index)].generation != generation {
                throw Refusal(.transactionTargetGone, "nothing of the transaction was done; send it again")
            }
            try checkSending(to: Int(index))
            if let diskShort { throw Refusal(.diskShort, diskShort) }
            bring(Int(held.content.count), to: Int(index))
        }
        for (queue, size) in brought { try checkSpace(for: size.messages, size.bytes, in: queue) }
        let lanes = room.records + transaction.sends.count
        if laneCount + lanes > limits.lanes || UInt64(nextQueueID) + UInt64(lanes) >= UInt64(UInt32.max) {
            throw Refusal(.tooManyQueues, "the broker keeps its limit of \(limits.lanes) lanes of queues")
        }
        return room
    }

    /// Nothing of it. Returns the queues that may have something to hand out now.
    mutating func abort(_ number: UInt32, of session: Int32, into effects: inout Effects) -> Set<Int> {
        guard let transaction = sessions[Int(session)].transactions.removeValue(forKey: number) else { return [] }
        var touched: Set<Int> = []
        for consumer in transaction.subscriptions.sorted() {
            end(number, of: Int(consumer), commit: false, touched: &touched, into: &effects)
        }
        return touched
    }

    /// Settles what the transaction decided on one subscription, or makes it undecided again.
    private mutating func end(
        _ number: UInt32, of consumer: Int, commit: Bool, touched: inout Set<Int>, into effects: inout Effects
    ) {
        let subscription = subscriptions[consumer]
        guard !subscription.isFree else { return }
        for position in 0..<subscription.deliveries.count {
            let delivery = subscriptions[consumer].deliveries[position]
            guard delivery.transaction == number, delivery.state == .accepting || delivery.state == .rejecting else {
                continue
            }
            if commit {
                finish(position, of: consumer, .settled(delivery.verdict), held: false, into: &effects)
            } else if subscription.isClosed {
                finish(position, of: consumer, .lost, held: false, into: &effects)
            } else {
                subscriptions[consumer].deliveries[position].state = .unacknowledged
                subscriptions[consumer].deliveries[position].transaction = 0
                subscriptions[consumer].decided -= 1
                subscriptions[consumer].heldCount += 1
                subscriptions[consumer].heldBytes += Int(delivery.bytes)
            }
        }
        if !commit { subscriptions[consumer].openFrom = 0 }
        subscriptions[consumer].dropSettled()
        touched.insert(Int(subscription.queue))
        releaseIfDone(consumer)
    }
}

extension Transaction.Held {
    /// Valid while `self` is there.
    func publication(of session: Int32) -> Publication {
        Publication(
            content: content.bytes, headerBytes: headerBytes, flags: flags, extras: extras, session: session)
    }
}

extension Transaction {
    mutating func add(
        _ content: Bytes, target: Held.Target, headerBytes: UInt32, flags: UInt8, extras: SendExtras?
    ) {
        sends.append(
            Held(
                target: target, content: arena.append(content), headerBytes: headerBytes, flags: flags, extras: extras))
    }
}
