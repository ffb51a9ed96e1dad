import Base

/// What operators see and do. Cold: these build arrays and names.
extension Core {
    public struct QueueView: Sendable {
        public var id: QueueID
        public var name: [UInt8]
        public var isStored: Bool
        /// The sequence that the next message gets.
        public var next: UInt64
        public var messages: UInt64
        public var ready: UInt64
        public var unacknowledged: UInt64
        public var bytes: UInt64
        public var consumers: Int
        public var inTotal: UInt64
        public var outTotal: UInt64
        public var redeliveredTotal: UInt64
        public var memoryBytes: Int
        public var failure: String?
        /// Not due yet; refused and waiting for the next delivery.
        public var delayed: UInt64 = 0
        public var waiting: UInt64 = 0
        public var counts = QueueCounts()
        /// Since the oldest ready message came, at least; nil if there is none.
        public var oldestMilliseconds: UInt64?
        /// Per second, over the last second.
        public var inRate = 0.0
        public var outRate = 0.0
        /// Priorities, buckets of groups and times that have a lane of their own now.
        public var lanes = 0
        public var isDeliveryPaused: Bool
        public var isSendingPaused: Bool
    }

    public struct TopicView: Sendable {
        public var name: [UInt8]
        public var subscribers = 0
        public var durableSubscribers = 0
        public var inTotal: UInt64 = 0
        public var outTotal: UInt64 = 0
        /// Counted for each subscriber that did not get one because it was too slow.
        public var droppedTotal: UInt64 = 0
        public var isRetaining = false
    }

    public struct SubscriptionView: Sendable {
        public var address: SessionAddress
        public var slot: UInt32
        public var destination: [UInt8]
        public var mode: AcknowledgeMode
        public var prefetchCount: Int
        public var prefetchBytes: Int
        public var unacknowledged: Int
        public var delivered: UInt64
        public var redelivered: UInt64
        public var dropped: UInt64
        /// As the client wrote it; empty: it wants everything.
        public var selector: [UInt8]
        public var isExclusive: Bool
    }

    public struct SessionView: Sendable {
        public var subscriptions: Int
        public var unacknowledged: Int
        public var transactions: Int
        public var unflushedBytes: Int
    }

    /// Queues and reply channels, not the private queues of topic subscriptions; in no order.
    public func queueViews() -> [QueueView] {
        queueByName.values.filter { !delayedTopics.contains($0) }.map { view(of: Int($0)) }
    }

    public func queueView(named name: [UInt8]) -> QueueView? {
        guard let canonical = canonicalQueue(name), let index = queueByName[canonical] else { return nil }
        return view(of: Int(index))
    }

    private func view(of index: Int) -> QueueView {
        let queue = queues[index]
        let lanes = allLanes(of: index)
        var view = QueueView(
            id: queue.id, name: queue.name, isStored: queue.isStored, next: queue.next,
            messages: lanes.reduce(0) { $0 + queues[$1].messages },
            ready: lanes.reduce(0) { $0 + (queues[$1].isServed ? queues[$1].ready : 0) },
            unacknowledged: lanes.reduce(0) { $0 + queues[$1].inFlight },
            bytes: lanes.reduce(0) { $0 + queues[$1].bytes }, consumers: queue.consumers.count,
            inTotal: queue.inTotal,
            outTotal: queue.outTotal, redeliveredTotal: queue.redeliveredTotal, memoryBytes: queue.windowBytes,
            failure: queue.rare.failure, isDeliveryPaused: queue.rare.note.isDeliveryPaused,
            isSendingPaused: queue.rare.note.isSendingPaused)
        for lane in lanes {
            if queues[lane].isDelayed {
                view.delayed += queues[lane].messages
            } else {
                view.waiting += queues[lane].unready
            }
        }
        view.counts = queue.rare.counts
        view.lanes = lanes.count - 1
        view.oldestMilliseconds = oldest(of: lanes).map { now.wall - min(now.wall, $0) }
        (view.inRate, view.outRate) = (queue.rates.coming, queue.rates.going)
        return view
    }

    /// When the oldest ready message of some lanes came.
    private func oldest(of lanes: [Int]) -> UInt64? {
        var oldest: UInt64?
        for lane in lanes where queues[lane].isServed && queues[lane].ready > 0 {
            var first = queues[lane].window.first?.sequence ?? queues[lane].coldFrom
            if !queues[lane].returned.isEmpty { first = min(first, queues[lane].returned.lowestSequence) }
            oldest = min(oldest ?? .max, queues[lane].ages.time(of: first) ?? startedAt)
        }
        return oldest
    }

    public func subscriptionViews() -> [SubscriptionView] {
        subscriptions.filter { !$0.isFree && !$0.isClosed }.map { subscription in
            SubscriptionView(
                address: sessions[Int(subscription.session.index)].address, slot: subscription.slot,
                destination: subscription.topic ?? queues[Int(subscription.queue)].name, mode: subscription.mode,
                prefetchCount: subscription.prefetchCount, prefetchBytes: subscription.prefetchBytes,
                unacknowledged: subscription.heldCount, delivered: subscription.deliveredTotal,
                redelivered: subscription.redeliveredTotal, dropped: subscription.droppedTotal,
                selector: subscription.selector?.text ?? queues[Int(subscription.queue)].rare.note.binding?.selector
                    ?? [],
                isExclusive: subscription.isExclusive)
        }
    }

    public func sessionView(_ id: SessionID) -> SessionView {
        guard isOpen(id) else {
            return SessionView(subscriptions: 0, unacknowledged: 0, transactions: 0, unflushedBytes: 0)
        }
        let session = sessions[Int(id.index)]
        let held = session.subscriptions.values.reduce(0) { $0 + subscriptions[Int($1)].heldCount }
        return SessionView(
            subscriptions: session.subscriptions.count, unacknowledged: held, transactions: session.transactions.count,
            unflushedBytes: session.unflushed)
    }

    public var queueCount: Int { queueByID.count - laneCount }
    public var topicCount: Int { topics.count }
    public var subscriptionCount: Int { subscriptions.count - freeSubscriptions.count }
    public var unreadableQueues: [[UInt8]] {
        queues.filter { $0.rare.failure != nil }.map { queues[Int($0.parent)].name }
    }

    public struct QueueTotals: Sendable {
        public var messages: UInt64 = 0
        public var bytes: UInt64 = 0
        public var inFlight: UInt64 = 0
    }

    /// Over all stored queues.
    public var queueTotals: QueueTotals {
        var totals = QueueTotals()
        for index in queues.indices where queues[index].isStored {
            totals.messages += queues[index].messages
            totals.bytes += queues[index].bytes
            totals.inFlight += queues[index].inFlight
        }
        return totals
    }

    func canonicalQueue(_ name: [UInt8]) -> [UInt8]? {
        let destination = name.withUnsafeBufferPointer { try? Destination($0) }
        guard let destination, destination.kind != .topic else { return nil }
        return destination.name
    }

    // MARK: Doing

    /// Makes a queue, with settings of its own as `Policy.checked` gives them. Returns false if it was there;
    /// then its settings stay as they are.
    public mutating func createQueue(
        named name: [UInt8], settings: [String: String] = [:], into effects: inout Effects
    ) throws(Refusal) -> Bool {
        let canonical = try storedName(name)
        if queueByName[canonical] != nil { return false }
        let index = try queue(named: canonical, into: &effects)
        if !settings.isEmpty {
            queues[index].rare.note.settings = settings
            writeNote(of: index, into: &effects)
            resolveSettings(of: index)
        }
        seal(into: &effects)
        return true
    }

    func storedName(_ name: [UInt8]) throws(Refusal) -> [UInt8] {
        let destination = try name.withUnsafeBufferPointer { (bytes) throws(Refusal) in try Destination(bytes) }
        guard destination.kind == .queue else {
            throw Refusal(.badDestination, "only /queue/NAME can be managed as a queue")
        }
        return destination.name
    }

    /// Why a queue cannot be deleted without force.
    public enum DeleteObstacle: Error, Equatable, Sendable {
        case missing
        case consumers(Int)
        case messages(UInt64)
    }

    /// Deletes a stored queue with all that is in it. With `force` its subscribers are disconnected.
    /// Returns how many messages went with it.
    public mutating func deleteQueue(
        named name: [UInt8], force: Bool, into effects: inout Effects
    ) throws(DeleteObstacle) -> UInt64 {
        guard let canonical = canonicalQueue(name), let found = queueByName[canonical], queues[Int(found)].isStored
        else {
            throw .missing
        }
        let index = Int(found)
        let consumers = queues[index].consumers
        let messages = allLanes(of: index).reduce(0) { $0 + queues[$1].messages }
        if !force, !consumers.isEmpty { throw .consumers(consumers.count) }
        if !force, messages > 0 { throw .messages(messages) }
        for position in subscriptions.indices
        where subscriptions[position].queue == found && !subscriptions[position].isFree {
            disown(position, into: &effects)
            let refusal = Refusal(.queueDeleted, "an operator deleted a queue that this connection was subscribed to")
            let session = Int(subscriptions[position].session.index)
            effects.kicks.append(Kick(address: sessions[session].address, refusal: refusal))
        }
        forgetQueue(index, into: &effects)
        seal(into: &effects)
        return messages
    }

    /// A stored queue that no subscription looks at goes, on disk too, with all that is in it.
    mutating func forgetQueue(_ index: Int, into effects: inout Effects) {
        makeRoom(for: 0, records: 1 + queues[index].rare.laneByKind.count, into: &effects)
        let messages = size(of: index).messages
        deleteLanes(of: index)
        records.append(Record(kind: .deleteQueue, queue: queues[index].id))
        effects.reports.append(.queueDeleted(name: queues[index].name, id: queues[index].id, messages: messages))
        removeQueue(index)
    }

    /// A subscription whose queue is being deleted: it holds nothing any more.
    mutating func disown(_ index: Int, into effects: inout Effects) {
        let subscription = subscriptions[index]
        let session = Int(subscription.session.index)
        for number in sessions[session].transactions.keys {
            sessions[session].transactions[number]?.subscriptions.remove(Int32(index))
        }
        sessions[session].subscriptions[subscription.slot] = nil
        sessions[session].recentSubscription = -1
        browsers[Int32(index)] = nil
        subscriptions[index].forgetDeliveries()
        subscriptions[index].isFree = true
        freeSubscriptions.append(Int32(index))
    }

    /// Throws away all messages of a stored queue that no consumer holds; returns how many.
    public mutating func purgeQueue(named name: [UInt8], into effects: inout Effects) -> UInt64? {
        guard let canonical = canonicalQueue(name), let found = queueByName[canonical], queues[Int(found)].isStored
        else {
            return nil
        }
        var count: UInt64 = 0
        for lane in allLanes(of: Int(found)) {
            count += queues[lane].messages - queues[lane].inFlight
            purge(lane: lane, into: &effects)
        }
        seal(into: &effects)
        return count
    }

    private mutating func purge(lane index: Int, into effects: inout Effects) {
        var heldBytes: UInt64 = 0
        defer { queues[index].startViewsAnew() }
        func settled(_ sequence: UInt64, _ bytes: UInt32) {
            makeRoom(for: 0, into: &effects)
            settle(queues[index].id, sequence, bytes: bytes)
            heldBytes += UInt64(bytes)
        }
        while let back = queues[index].returned.popLowest() { settled(back.sequence, back.bytes) }
        if queues[index].unready > 0 {
            for back in queues[index].rare.waiting.removeAll() { settled(back.sequence, back.bytes) }
            for body in queues[index].rare.dead { settled(body.sequence, body.bytes) }
            queues[index].rare.dead.removeAll()
        }
        queues[index].evict()
        settleCold(index, held: heldBytes, into: &effects)
        queues[index].attempts.removeAll()
        queues[index].rare.failure = nil
        queues[index].pageOutstanding = false
        queues[index].pageEpoch &+= 1
        if queues[index].isDelayed, queues[index].messages == 0 { arm(index, at: now.wall) }
    }

    /// Everything from `coldFrom` on is settled, but for what consumers hold of it by their selectors, with as
    /// few records as the count field allows. The first has the bytes of all.
    private mutating func settleCold(_ index: Int, held returnedBytes: UInt64, into effects: inout Effects) {
        var inFlightBytes: UInt64 = 0
        var held: [UInt64] = []
        for subscription in subscriptions where subscription.queue == queues[index].parent && !subscription.isFree {
            for position in 0..<subscription.deliveries.count
            where subscription.deliveries[position].state != .settled
                && Int(subscription.deliveries[position].lane) == index
            {
                inFlightBytes += UInt64(subscription.deliveries[position].bytes)
                let sequence = subscription.deliveries[position].sequence
                if sequence >= queues[index].coldFrom { held.append(sequence) }
            }
        }
        var coldBytes = queues[index].bytes &- inFlightBytes &- returnedBytes
        var from = queues[index].coldFrom
        makeRoom(for: 0, records: held.count + 1, into: &effects)
        for end in held.sorted() + [queues[index].next] {
            while from < end {
                let count = UInt32(min(end - from, UInt64(UInt32.max)))
                // Storage does not look at the bytes where there was nothing left to settle.
                let isBare =
                    !held.isEmpty && (from..<from + UInt64(count)).allSatisfy(queues[index].rare.taken.contains)
                records.append(
                    Record(
                        kind: .settle, queue: queues[index].id, sequence: from, count: count,
                        bytes: isBare ? 0 : coldBytes))
                if !isBare { coldBytes = 0 }
                from += UInt64(count)
            }
            from = end + 1
        }
        queues[index].bytes = inFlightBytes
        queues[index].coldCount = 0
        queues[index].coldFrom = queues[index].next
    }
}

extension Core {
    public struct Deliveries: Sendable {
        /// How often each was delivered, if it was.
        public var counts: [UInt64: UInt32] = [:]
        /// Those that a consumer holds.
        public var held: Set<UInt64> = []
        /// When those that wait are delivered next, in milliseconds since 1970.
        public var due: [UInt64: UInt64] = [:]
    }

    /// What is known of the messages of a lane with these sequences.
    public func deliveries(in queue: QueueID, of sequences: ClosedRange<UInt64>) -> Deliveries {
        guard let index = queueByID[queue] else { return Deliveries() }
        let attempts = queues[Int(index)].attempts.filter { sequences.contains($0.key) }
        var counts = attempts.mapValues(\.count)
        var due = attempts.mapValues(\.notBefore).filter { $0.value > now.wall }
        for waiting in queues[Int(index)].rare.waiting.messages where sequences.contains(waiting.message.sequence) {
            counts[waiting.message.sequence] = waiting.message.count
            due[waiting.message.sequence] = waiting.due
        }
        for back in queues[Int(index)].returned.all where sequences.contains(back.sequence) {
            counts[back.sequence] = back.count
        }
        var held: Set<UInt64> = []
        for subscription in subscriptions where subscription.queue == queues[Int(index)].parent && !subscription.isFree
        {
            for position in 0..<subscription.deliveries.count {
                let delivery = subscription.deliveries[position]
                guard delivery.lane == index, delivery.state != .settled, sequences.contains(delivery.sequence) else {
                    continue
                }
                held.insert(delivery.sequence)
                counts[delivery.sequence] = delivery.count
            }
        }
        return Deliveries(counts: counts, held: held, due: due)
    }
}
