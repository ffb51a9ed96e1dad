import Base

/// A queue that topics write to.
struct BoundQueue: Sendable {
    let queue: Int32
    var selector: Selector?
    /// Why it gets nothing: its note cannot be understood.
    var failure: String?
}

/// Durable subscriptions: stored queues named `/dsub/NAME` or `/dsub/CLIENT.NAME` that topics write to, whether
/// anybody consumes from them or not. The note of the queue says what it listens to.
extension Core {
    /// The queue of the durable subscription that is asked for; made if there is none like it. What an existing one
    /// of the name listened to before is dropped with it, as JMS has it.
    mutating func durableQueue(
        for topic: [UInt8], _ extras: SubscribeExtras, _ selector: Selector?, into effects: inout Effects
    ) throws(Refusal) -> Int {
        let name = try Self.durableQueueName(extras)
        _ = try TopicPattern(topic)
        if extras.noLocal, extras.clientID.isEmpty {
            throw Refusal(
                .contradictoryWishes,
                "a durable subscription that all who name it share cannot leave out what one of them sends (no-local); "
                    + "give it an owner with client-id in CONNECT")
        }
        var binding = QueueNote.Binding(topic: topic, name: extras.durableName)
        binding.clientID = extras.clientID
        binding.selector = extras.selector
        if let found = queueByName[name] {
            let index = Int(found)
            let old = queues[index].rare.note.binding
            guard let old, old.clientID == binding.clientID, old.name == binding.name else {
                throw Refusal(
                    .subscriptionInUse,
                    "\(Self.text(name)) is the durable subscription of another client with another name; choose a name "
                        + "without a dot")
            }
            if old == binding {
                try checkMayAttach(to: index)
                return index
            }
            if !queues[index].consumers.isEmpty {
                throw Refusal(
                    .subscriptionInUse,
                    "\(Self.text(name)) listens to \(Self.text(old.topic)) with another destination or selector, and "
                        + "somebody consumes from it; end that first, or choose another name")
            }
            discard(index, into: &effects)
        }
        // It comes to be with what is retained for it, or not at all.
        let retained = extras.wantsRetained ? retained.topics(matching: topic) : []
        makeRoom(
            for: retainedBytes(of: retained) + 4 * (name.count + topic.count + extras.selector.count),
            records: 2 + retained.count, into: &effects)
        let index = try queue(named: name, into: &effects)
        queues[index].rare.note.binding = binding
        bind(index)
        writeNote(of: index, into: &effects)
        if extras.wantsRetained { giveRetained(to: index, matching: topic, into: &effects) }
        return index
    }

    /// The durable subscription that is named by its own destination.
    func durableQueue(named name: [UInt8]) throws(Refusal) -> Int {
        guard let found = queueByName[name], queues[Int(found)].rare.note.binding != nil else {
            throw Refusal(
                .noSuchSubscription,
                "there is no durable subscription \(Self.text(name)); SUBSCRIBE to its topic with "
                    + "durable-subscription-name makes one")
        }
        return Int(found)
    }

    /// An owned subscription has one consumer at a time.
    func checkMayAttach(to index: Int) throws(Refusal) {
        guard let binding = queues[index].rare.note.binding, !binding.clientID.isEmpty, !queues[index].consumers.isEmpty
        else { return }
        throw Refusal(
            .subscriptionInUse,
            "\(Self.text(queues[index].name)) belongs to one client, and a connection of it consumes already")
    }

    private static func text(_ name: [UInt8]) -> String { String(decoding: name, as: UTF8.self) }

    /// `/dsub/NAME`, or `/dsub/CLIENT.NAME` if it has an owner.
    private static func durableQueueName(_ extras: SubscribeExtras) throws(Refusal) -> [UInt8] {
        let own =
            extras.clientID.isEmpty ? extras.durableName : extras.clientID + [UInt8(ascii: ".")] + extras.durableName
        let name = Destination.durablePrefix + own
        _ = try name.withUnsafeBufferPointer { (bytes) throws(Refusal) in try Destination(bytes) }
        return name
    }

    // MARK: Being listened to

    /// Topics write to the queue from now on, if it is that of a durable subscription.
    mutating func bind(_ index: Int) {
        guard let binding = queues[index].rare.note.binding else { return }
        var bound = BoundQueue(queue: Int32(index))
        do throws(Refusal) {
            bound.selector = try Self.selector(binding.selector)
            try durableSubscriptions.add(Int32(index), to: binding.topic)
        } catch {
            // SUBSCRIBE has looked at both, so this is a note of another version. To give everything or nothing in
            // silence would both be wrong: it gets nothing, and operators are told.
            bound.failure = error.detail
        }
        boundQueues[Int32(index)] = bound
        topicEpoch &+= 1
    }

    /// Durable subscriptions that get nothing, and why. In order of name.
    public var deafSubscriptions: [(name: [UInt8], reason: String)] {
        boundQueues.values.compactMap { bound in
            bound.failure.map { (queues[Int(bound.queue)].name, $0) }
        }.sorted { $0.0.lexicographicallyPrecedes($1.0) }
    }

    /// A queue is going: topics do not write to it any more.
    mutating func unbind(_ index: Int) {
        guard let binding = queues[index].rare.note.binding else { return }
        durableSubscriptions.remove(Int32(index), from: binding.topic)
        boundQueues[Int32(index)] = nil
        topicEpoch &+= 1
    }

    // MARK: Being used

    /// While somebody consumes, the note has no time of last use: after a crash it counts from the start.
    mutating func noteUse(of index: Int, into effects: inout Effects) {
        guard queues[index].rare.note.binding != nil else { return }
        let time = queues[index].consumers.isEmpty ? max(1, now.wall / 1000) : 0
        if queues[index].rare.note.lastUsed == time { return }
        queues[index].rare.note.lastUsed = time
        writeNote(of: index, into: &effects)
    }

    /// Deletes durable subscriptions that nobody has used for as long as their settings say.
    mutating func expireSubscriptions(into effects: inout Effects) {
        for bound in boundQueues.keys.sorted() {
            let index = Int(bound)
            guard queues[index].consumers.isEmpty else { continue }
            // It was in use when the broker ended.
            if queues[index].rare.note.lastUsed == 0 { noteUse(of: index, into: &effects) }
            let most = queues[index].settings.value.subscriptionExpirySeconds
            let unused = now.wall / 1000 - min(now.wall / 1000, queues[index].rare.note.lastUsed)
            guard most > 0, unused >= most else { continue }
            effects.reports.append(
                .subscriptionExpired(
                    name: queues[index].name, unusedSeconds: unused, messages: size(of: index).messages))
            discard(index, into: &effects)
        }
    }

    /// Whether a durable subscription is not to get what a session sends: its one consumer is that session, and
    /// said so.
    func isLeftOut(_ index: Int, _ session: Int32) -> Bool {
        guard let consumer = queues[index].consumers.first, subscriptions[Int(consumer)].isNoLocal else { return false }
        return subscriptions[Int(consumer)].session.index == session
    }

    // MARK: Going

    /// The durable subscription that a client names goes. Nobody may be consuming from it.
    mutating func deleteSubscription(_ extras: SubscribeExtras, into effects: inout Effects) throws(Refusal) {
        let name = try Self.durableQueueName(extras)
        guard let found = queueByName[name], let binding = queues[Int(found)].rare.note.binding,
            binding.clientID == extras.clientID, binding.name == extras.durableName
        else {
            throw Refusal(.noSuchSubscription, "there is no durable subscription \(Self.text(name))")
        }
        guard queues[Int(found)].consumers.isEmpty else {
            throw Refusal(.subscriptionInUse, "\(Self.text(name)) has consumers; end their subscriptions first")
        }
        discard(Int(found), into: &effects)
    }

    /// What UNSUBSCRIBE deletes; nil if that is not a durable subscription. Refuses if others consume from it.
    func durableQueue(ofSubscription index: Int32) throws(Refusal) -> Int? {
        let queue = Int(subscriptions[Int(index)].queue)
        guard queues[queue].rare.note.binding != nil else { return nil }
        guard queues[queue].consumers.count == 1 else {
            throw Refusal(
                .subscriptionInUse, "\(Self.text(queues[queue].name)) has other consumers; the last one may delete it")
        }
        return queue
    }

    /// A stored queue goes, with its lanes and all that is in it. No subscription may be open on it; one that only
    /// a transaction keeps is taken out of that.
    mutating func discard(_ index: Int, into effects: inout Effects) {
        for position in subscriptions.indices
        where Int(subscriptions[position].queue) == index && !subscriptions[position].isFree {
            disown(position, into: &effects)
        }
        forgetQueue(index, into: &effects)
    }
}
