import BrokerCore

/// What the core promises, in plain dictionaries: obviously right and slow. It does not say who gets the
/// next message or when; it says of each delivery whether it was allowed, and what must have been
/// delivered by now.
struct ModelBroker {
    struct Message {
        var bytes: [UInt8]
        var isDurable: Bool
        var count: UInt32 = 0
    }

    struct Queue {
        enum Kind: Equatable {
            case stored
            case reply(owner: Int)
            case subscription
        }
        var kind: Kind
        var name: String
        var id: UInt32
        var next: UInt64 = 1
        var ready: [UInt64: Message] = [:]
        var held: [UInt64: Message] = [:]
        var isCutOff = false

        var lowest: UInt64? { ready.keys.min() }
        var live: [UInt64: Message] { ready.merging(held) { first, _ in first } }
        var bytes: Int {
            ready.values.reduce(0) { $0 + $1.bytes.count } + held.values.reduce(0) { $0 + $1.bytes.count }
        }
    }

    struct Held {
        var tag: UInt64
        var sequence: UInt64
        /// 0: not decided.
        var transaction: UInt32 = 0
        var accepts = false
    }

    struct Subscription {
        var session: Int
        var slot: UInt32
        var queue: Int
        var topic: String?
        var mode: AcknowledgeMode
        var count: Int
        var bytes: Int
        var held: [Held] = []
        var nextTag: UInt64 = 1
        var isClosed = false
    }

    struct Transaction {
        struct Sent {
            var destination: String
            /// The queue that was meant, and whether there was one.
            var queue: Int?
            var bytes: [UInt8]
            var isDurable: Bool
        }
        var sends: [Sent] = []
        var operations = 0
        var bytes = 0
    }

    struct Session {
        var slots: [UInt32: Int] = [:]
        var highestSlot: UInt32 = 0
        var transactions: [UInt32: Transaction] = [:]
        var unflushed = 0
    }

    /// What a command changed in storage, as far as the model knows: for the check of atomic commits.
    struct Change: Hashable {
        var kind: Record.Kind
        var queue: UInt32
        var sequence: UInt64
    }

    var limits: CoreLimits
    var isDiskShort = false
    var queues: [Int: Queue] = [:]
    var names: [String: Int] = [:]
    var subscriptions: [Int: Subscription] = [:]
    var sessions: [Int: Session] = [:]
    var nextQueueID: UInt32 = 1
    var transientNext: UInt64 = 0
    var serial = 0
    var kicked: Set<Int> = []
    var drops: UInt64 = 0
    /// What a COMMIT did.
    var committed: [Change] = []
    /// In which batch each stored message came, and which batches are durable; lent by the storage while
    /// deliveries are judged.
    var batches: [QueueID: [UInt64: UInt64]] = [:]
    var durableThrough: UInt64 = 0
    /// Broken promises.
    var wrong: [String] = []
    /// Deliveries that the core has reported and the model has not looked at.
    var stream: ArraySlice<Delivery> = []

    init(limits: CoreLimits) { self.limits = limits }

    private mutating func serialNumber() -> Int {
        serial += 1
        return serial
    }

    // MARK: Commands

    mutating func open() -> Int {
        let number = serialNumber()
        sessions[number] = Session()
        return number
    }

    mutating func carryOut(_ request: Request, of session: Int) -> Refusal.Kind? {
        switch request {
        case .send(let name, let body, let durable, _, let transaction, _):
            return send(name, Request.content(body), durable, transaction, session)
        case .accept(let slot, let tag, let transaction): return settle(slot, tag, true, transaction, session)
        case .reject(let slot, let tag, let transaction, _): return settle(slot, tag, false, transaction, session)
        case .settle(let slot, let queue, let sequence, let accept, let transaction):
            return settle(slot, queue: queue, sequence: sequence, accept, transaction, session)
        case .subscribe(let slot, let name, let mode, let count, let bytes, _):
            return subscribe(slot, name, mode, Int(count), Int(bytes), session)
        case .unsubscribe(let slot):
            if let index = sessions[session]?.slots.removeValue(forKey: slot) { end(index) }
        case .temporary(let name): names[name] = place(name, .reply(owner: session))
        case .begin(let number): sessions[session]?.transactions[number] = Transaction()
        case .commit(let number): return commit(number, session)
        case .abort(let number): abort(number, session)
        case .disconnect: takeBackAll(session)
        case .flushed(let bytes):
            let left = sessions[session, default: Session()].unflushed - bytes
            sessions[session]?.unflushed = max(0, left)
        }
        return nil
    }

    private func canonical(_ name: String) -> String { name.hasPrefix("/") ? name : "/queue/" + name }

    private static func isTopic(_ name: String) -> Bool { name.hasPrefix("/topic/") }

    private mutating func place(_ name: String, _ kind: Queue.Kind) -> Int {
        let number = serialNumber()
        queues[number] = Queue(kind: kind, name: name, id: kind == .stored ? nextQueueID : 0)
        if kind == .stored { nextQueueID += 1 }
        return number
    }

    /// The stored queue or reply channel of that name; a stored one is made if it is missing.
    mutating func queue(_ name: String) -> (Int?, Refusal.Kind?) {
        let name = canonical(name)
        if let found = names[name] { return (found, nil) }
        if name.hasPrefix("/reply-queue/") { return (nil, nil) }
        if !name.hasPrefix("/queue/") { return (nil, .unsupportedDestination) }
        if queues.values.count(where: { $0.kind == .stored }) >= limits.queues { return (nil, .tooManyQueues) }
        let made = place(name, .stored)
        names[name] = made
        return (made, nil)
    }

    private mutating func send(
        _ name: String, _ bytes: [UInt8], _ durable: Bool, _ transaction: UInt32, _ session: Int
    ) -> Refusal.Kind? {
        var target: Int?
        if Self.isTopic(name) {
            if Self.hasWildcard(name) { return .wildcardInSend }
        } else {
            let (found, refusal) = queue(name)
            if let refusal { return refusal }
            target = found
            if isDiskShort, transaction == 0, let found, queues[found]?.kind == .stored { return .diskShort }
        }
        let sent = Transaction.Sent(destination: name, queue: target, bytes: bytes, isDurable: durable)
        guard transaction != 0 else {
            arrive(sent)
            return nil
        }
        return count(1, bytes.count, transaction, session) { $0.sends.append(sent) }
    }

    private mutating func count(
        _ operations: Int, _ bytes: Int, _ number: UInt32, _ session: Int,
        _ change: (inout Transaction) -> Void = { _ in }
    ) -> Refusal.Kind? {
        guard var transaction = sessions[session]?.transactions[number] else { return nil }
        if transaction.operations + operations > limits.transactionOperations { return .transactionTooLarge }
        if transaction.bytes + bytes > limits.transactionBytes { return .transactionTooLarge }
        transaction.operations += operations
        transaction.bytes += bytes
        change(&transaction)
        sessions[session]?.transactions[number] = transaction
        return nil
    }

    /// A message takes effect.
    private mutating func arrive(_ sent: Transaction.Sent) {
        let message = Message(bytes: sent.bytes, isDurable: sent.isDurable)
        if Self.isTopic(sent.destination) {
            transientNext += 1
            for index in listeners(of: sent.destination) {
                arrive(message, transientNext, in: subscriptions[index]?.queue ?? 0)
            }
        } else if let index = sent.queue, let queue = queues[index] {
            if queue.kind == .stored {
                queues[index]?.ready[queue.next] = message
                queues[index]?.next += 1
                committed.append(Change(kind: .append, queue: queue.id, sequence: queue.next))
            } else {
                transientNext += 1
                arrive(message, transientNext, in: index)
            }
        } else {
            drops += 1
        }
    }

    /// A message that is not stored is there at once or not at all.
    private mutating func arrive(_ message: Message, _ sequence: UInt64, in index: Int) {
        guard let queue = queues[index] else { return }
        if queue.bytes > 0, queue.bytes + message.bytes.count > limits.backlogBytes {
            if queue.kind != .subscription { drops += 1 }
            if queue.kind == .subscription, !queue.isCutOff, let owner = consumers(of: index).first {
                queues[index]?.isCutOff = true
                kicked.insert(subscriptions[owner]?.session ?? 0)
            }
            return
        }
        queues[index]?.ready[sequence] = message
        takeAllowed()
    }

    /// In order of subscription.
    private func listeners(of topic: String) -> [Int] {
        let open = subscriptions.filter { !$0.value.isClosed && Self.matches($0.value.topic ?? "", topic) }
        return open.keys.sorted()
    }

    private static func words(_ topic: String) -> [Substring] {
        topic.dropFirst("/topic/".count).split(separator: ".", omittingEmptySubsequences: false)
    }

    static func hasWildcard(_ topic: String) -> Bool { words(topic).contains { ["*", "**", ">", "#"].contains($0) } }

    static func matches(_ pattern: String, _ topic: String) -> Bool {
        var (pattern, topic) = (words(pattern)[...], words(topic)[...])
        while let word = pattern.popFirst() {
            if ["**", ">", "#"].contains(word) { return true }
            guard let next = topic.popFirst(), word == "*" || word == next else { return false }
        }
        return topic.isEmpty
    }

    private mutating func subscribe(
        _ slot: UInt32, _ name: String, _ mode: AcknowledgeMode, _ count: Int, _ bytes: Int, _ session: Int
    ) -> Refusal.Kind? {
        var subscription = Subscription(
            session: session, slot: slot, queue: 0, mode: mode, count: max(1, count), bytes: max(1, bytes))
        if Self.isTopic(name) {
            subscription.topic = name
            subscription.queue = place(name, .subscription)
        } else {
            let (found, refusal) = queue(name)
            if let refusal { return refusal }
            guard let found else { return .noSuchTemporary }
            if case .reply(let owner) = queues[found]?.kind, owner != session { return .notYourTemporary }
            subscription.queue = found
        }
        let index = serialNumber()
        subscriptions[index] = subscription
        sessions[session]?.slots[slot] = index
        let highest = sessions[session, default: Session()].highestSlot
        sessions[session]?.highestSlot = max(slot, highest)
        return nil
    }

    // MARK: ACK and NACK

    private mutating func settle(
        _ slot: UInt32, _ tag: UInt64, _ accept: Bool, _ transaction: UInt32, _ session: Int
    ) -> Refusal.Kind? {
        guard let index = sessions[session]?.slots[slot], var subscription = subscriptions[index] else {
            return slot > 0 && slot <= sessions[session, default: Session()].highestSlot ? nil : .unknownDelivery
        }
        if subscription.mode == .auto { return .autoAcknowledged }
        guard let at = subscription.held.firstIndex(where: { $0.tag == tag && $0.transaction == 0 }) else {
            return .unknownDelivery
        }
        let covered = (0...at).filter {
            subscription.held[$0].transaction == 0 && (subscription.mode == .cumulative || $0 == at)
        }
        if transaction != 0 {
            if let refusal = count(covered.count, 0, transaction, session) { return refusal }
            for position in covered {
                subscription.held[position].transaction = transaction
                subscription.held[position].accepts = accept
            }
            subscriptions[index] = subscription
            return nil
        }
        for position in covered { finish(subscription.held[position], of: subscription.queue, accept: accept) }
        subscription.held = subscription.held.indices.filter { !covered.contains($0) }.map { subscription.held[$0] }
        subscriptions[index] = subscription
        return nil
    }

    private mutating func settle(
        _ slot: UInt32, queue: UInt32, sequence: UInt64, _ accept: Bool, _ transaction: UInt32, _ session: Int
    ) -> Refusal.Kind? {
        let mine = sessions[session, default: Session()]
        var hasAuto = false
        for candidate in slot == 0 ? mine.slots.keys.sorted() : [slot] {
            guard let index = mine.slots[candidate], let subscription = subscriptions[index],
                queues[subscription.queue]?.id == queue
            else { continue }
            hasAuto = hasAuto || subscription.mode == .auto
            if let held = subscription.held.first(where: { $0.sequence == sequence && $0.transaction == 0 }) {
                return settle(candidate, held.tag, accept, transaction, session)
            }
        }
        let isLate =
            slot == 0 ? mine.slots.count < mine.highestSlot : mine.slots[slot] == nil && slot <= mine.highestSlot
        if isLate { return nil }
        return hasAuto ? .autoAcknowledged : .unknownDelivery
    }

    private mutating func finish(_ held: Held, of index: Int, accept: Bool) {
        guard let message = queues[index]?.held.removeValue(forKey: held.sequence) else {
            wrong.append("the model lost \(held.sequence)")
            return
        }
        let isStored = queues[index]?.kind == .stored
        let id = queues[index]?.id ?? 0
        if isStored { committed.append(Change(kind: accept ? .settle : .attempt, queue: id, sequence: held.sequence)) }
        if !accept { queues[index]?.ready[held.sequence] = message }
    }

    // MARK: Transactions and ends

    private mutating func commit(_ number: UInt32, _ session: Int) -> Refusal.Kind? {
        guard let transaction = sessions[session]?.transactions[number] else { return nil }
        for sent in transaction.sends {
            guard let index = sent.queue, !sent.destination.hasPrefix("/reply-queue/") else { continue }
            if queues[index] == nil { return .transactionTargetGone }
            if isDiskShort { return .diskShort }
        }
        sessions[session]?.transactions[number] = nil
        committed = []
        for (index, position) in decided(number, session) {
            guard let subscription = subscriptions[index] else { continue }
            let held = subscription.held[position]
            finish(held, of: subscription.queue, accept: held.accepts)
        }
        forget(number, session) { _ in nil }
        for sent in transaction.sends { arrive(sent) }
        return nil
    }

    private mutating func abort(_ number: UInt32, _ session: Int) {
        sessions[session]?.transactions[number] = nil
        for (index, position) in decided(number, session) {
            guard let subscription = subscriptions[index], subscription.isClosed else { continue }
            finish(subscription.held[position], of: subscription.queue, accept: false)
        }
        forget(number, session) { held in
            var held = held
            held.transaction = 0
            return held
        }
    }

    private func decided(_ number: UInt32, _ session: Int) -> [(subscription: Int, position: Int)] {
        subscriptions.filter { $0.value.session == session }.sorted { $0.key < $1.key }.flatMap { index, subscription in
            subscription.held.indices.filter { subscription.held[$0].transaction == number }.map { (index, $0) }
        }
    }

    /// Takes out or changes what transaction `number` decided.
    private mutating func forget(_ number: UInt32, _ session: Int, _ change: (Held) -> Held?) {
        for (index, subscription) in subscriptions where subscription.session == session {
            subscriptions[index]?.held = subscription.held.compactMap {
                if $0.transaction != number { return $0 }
                return subscription.isClosed ? nil : change($0)
            }
            release(index)
        }
    }

    /// A subscription is over; what a transaction has decided stays with it.
    private mutating func end(_ index: Int) {
        guard let subscription = subscriptions[index] else { return }
        for held in subscription.held where held.transaction == 0 {
            finish(held, of: subscription.queue, accept: false)
        }
        subscriptions[index]?.held.removeAll { $0.transaction == 0 }
        subscriptions[index]?.isClosed = true
        release(index)
    }

    private mutating func release(_ index: Int) {
        guard let subscription = subscriptions[index], subscription.isClosed, subscription.held.isEmpty else { return }
        if subscription.topic != nil { queues[subscription.queue] = nil }
        subscriptions[index] = nil
    }

    mutating func close(_ session: Int) {
        takeBackAll(session)
        sessions[session] = nil
        for (index, queue) in queues where queue.kind == .reply(owner: session) {
            queues[index] = nil
            names[queue.name] = nil
        }
    }

    private mutating func takeBackAll(_ session: Int) {
        for number in sessions[session, default: Session()].transactions.keys { abort(number, session) }
        for index in sessions[session, default: Session()].slots.values { end(index) }
        sessions[session]?.slots = [:]
    }

    // MARK: Operators

    mutating func purge(_ index: Int) -> Int {
        defer { queues[index]?.ready = [:] }
        return queues[index]?.ready.count ?? 0
    }

    mutating func delete(_ index: Int) {
        for (number, subscription) in subscriptions where subscription.queue == index {
            kicked.insert(subscription.session)
            sessions[subscription.session]?.slots[subscription.slot] = nil
            subscriptions[number] = nil
        }
        names[queues[index]?.name ?? ""] = nil
        queues[index] = nil
    }

    mutating func move(_ sequences: [UInt64], from index: Int, to target: Int) -> Int {
        var moved = 0
        for sequence in sequences {
            guard var message = queues[index]?.ready.removeValue(forKey: sequence), let next = queues[target]?.next
            else { continue }
            message.count = 0
            queues[target]?.ready[next] = message
            queues[target]?.next += 1
            moved += 1
        }
        return moved
    }
}
