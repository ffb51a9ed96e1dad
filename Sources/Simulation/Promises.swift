/// What clients were told, and what they know of each message: the naive model. It holds what the broker shows,
/// on the wire and on disk, against what is allowed, and remembers the first thing that is not.
///
///     I1  what was confirmed or shown is there until it is acknowledged
///     I2  nothing is invented, changed or doubled; nothing of a transaction without COMMIT, or half of one
///     I3  what was acknowledged with a receipt does not come again
///     I4  order per producer and queue, except for what comes again and says so
///
/// (I5 to I7, that it answers, that recovering twice is recovering once, and that counters are what is there, are
/// seen to by the `World`.)
struct Promises {
    enum Existence {
        /// In a transaction that was not committed.
        case held
        /// Sent; nobody knows.
        case possible
        case certain
        /// It is not there, and must never be.
        case never
    }

    enum Acknowledgement { case none, possible, certain }

    /// A message in one queue, or in the dead-letter queue of that queue.
    struct Copy {
        var message: Int
        var family: Int
        var existence = Existence.possible
        var acknowledgement = Acknowledgement.none
        /// Nobody promised anything: purged, deleted with its queue, given to `ack:auto`, not persistent.
        var mayVanish = false
        /// From then on it may be gone, in milliseconds since 1970.
        var vanishesAt: UInt64 = .max
        /// Not delivered before.
        var notBefore: UInt64 = 0
        /// The transaction that it was sent in, or -1.
        var transaction = -1
        /// The transaction in which it was acknowledged, or -1.
        var acknowledgedIn = -1
        /// An ACK outside of transactions was sent since it was last delivered. Whoever has it in a transaction then
        /// lost it before, and does not know.
        var isAcknowledgedAlone = false
        /// The life of the broker in which it was last delivered, and as which delivery of all.
        var life = -1
        var shown = 0
        var wasSentAgain = false
        /// Its queue was deleted, with the ids that it remembered.
        var wasForgotten = false
        /// What was sent again is another message then, and the first may still be there as a dead letter.
        var mayBeSeveral: Bool { wasForgotten && wasSentAgain }
        /// A NACK of it was confirmed: it has been delivered so often.
        var deliveries: UInt32 = 0
        /// A delayed message to a topic comes to durable subscriptions when it falls due, if they are there then.
        var comesLater = false
        /// Place in the order of its producer; 0: it has none.
        var order: UInt64 = 0
    }

    struct Message {
        var producer: Int
        var bytes: Int
        var isPersistent: Bool
        /// The topic that it was sent to, or -1, and in which transaction, or -1.
        var topic: Int
        var transaction: Int
        /// How many times it is on its way; at 0 a durable subscription that is made from now on does not get it.
        var underWay = 1
        var isSettled: Bool { underWay == 0 }
        var isDelayed = false
        /// By family.
        var copies: [Int: Int] = [:]
    }

    struct Transaction {
        enum State { case open, asked, done, undone }
        var state = State.open
        var sends: [Int] = []
        var acknowledgements: [Int] = []
    }

    /// What a scan of the store found.
    struct Found {
        var family: Int
        var message: Int
    }

    private(set) var violation: String?
    private(set) var copies: [Copy] = []
    private(set) var messages: [Message] = []
    private(set) var transactions: [Transaction] = []
    /// The last in order, by subscription and producer.
    private var lastOrder: [OrderKey: UInt64] = [:]
    private var nextOrder: UInt64 = 1
    /// Deliveries of all copies so far.
    private(set) var deliveries = 0
    /// Queues from which somebody took without acknowledging.
    private var loose: Set<Int> = []
    var life = 0

    private struct OrderKey: Hashable {
        var link: UInt64
        var slot: UInt32
        var producer: Int
        var family: Int
    }

    mutating func violated(_ sentence: String) {
        if violation == nil { violation = sentence }
    }

    /// How a copy is spoken of.
    func spoken(_ index: Int) -> String {
        "message \(copies[index].message) of client \(messages[copies[index].message].producer) in \(Names.family(copies[index].family))"
    }

    // MARK: Sending

    mutating func newMessage(
        producer: Int, bytes: Int, isPersistent: Bool, topic: Int, transaction: Int, isDelayed: Bool
    ) -> Int {
        messages.append(
            Message(
                producer: producer, bytes: bytes, isPersistent: isPersistent, topic: topic, transaction: transaction,
                isDelayed: isDelayed))
        return messages.count - 1
    }

    /// A durable subscription is asked for: it may get what is on its way.
    mutating func subscribe(durable family: Int, to topic: Int) {
        for index in messages.indices where messages[index].topic == topic && !messages[index].isSettled {
            let transaction = messages[index].transaction
            if transaction >= 0, transactions[transaction].state == .undone { continue }
            let copy = send(
                index, to: family, transaction: transaction, isPlain: false, at: 0, ttl: 0, delay: 0)
            if transaction >= 0, transactions[transaction].state != .open { copies[copy].existence = .possible }
            copies[copy].mayVanish = true
        }
    }

    /// A message is on its way, perhaps once more.
    mutating func underWayAgain(_ message: Int) { messages[message].underWay += 1 }

    /// The broker has dealt with it, once.
    mutating func arrived(_ message: Int) {
        if !messages[message].isDelayed { messages[message].underWay = max(0, messages[message].underWay - 1) }
    }

    /// A copy on its way to a queue. The same one if it was sent there before.
    mutating func send(
        _ message: Int, to family: Int, transaction: Int, isPlain: Bool, at now: UInt64, ttl: UInt64, delay: UInt64
    )
        -> Int
    {
        if let known = messages[message].copies[family] {
            if copies[known].existence == .never, copies[known].acknowledgement == .none {
                copies[known].existence = .possible
            }
            copies[known].order = 0
            copies[known].wasSentAgain = true
            return known
        }
        var copy = Copy(message: message, family: family)
        copy.mayVanish = !messages[message].isPersistent
        copy.transaction = transaction
        if transaction >= 0 {
            copy.existence = .held
            transactions[transaction].sends.append(copies.count)
        }
        if ttl > 0 { copy.vanishesAt = now + ttl }
        if delay > 0 { copy.notBefore = now + delay }
        if isPlain {
            copy.order = nextOrder
            nextOrder += 1
        }
        copy.comesLater = family >= Names.queues && messages[message].isDelayed
        copies.append(copy)
        messages[message].copies[family] = copies.count - 1
        return copies.count - 1
    }

    /// The RECEIPT of the SEND is there.
    mutating func confirm(_ copy: Int) {
        // Of what need not be on disk, or not in that queue, the RECEIPT says nothing.
        if copies[copy].mayVanish { return }
        if copies[copy].transaction >= 0 || copies[copy].existence != .possible || copies[copy].comesLater { return }
        copies[copy].existence = .certain
    }

    /// Copies that may be there.
    var backlog: Int {
        copies.reduce(0) { $0 + ($1.existence != .never && $1.acknowledgement != .certain ? 1 : 0) }
    }

    func isLoose(_ family: Int) -> Bool { loose.contains(family) }

    /// From now on what is sent there may be lost with a connection.
    mutating func loosen(_ family: Int) {
        if loose.insert(family).inserted { release(family: family) }
    }

    /// A copy that was promised and not shown after so many deliveries, if there is one.
    func missing(since delivery: Int, at now: UInt64) -> String? {
        let index = copies.indices.first { index in
            let copy = copies[index]
            return copy.existence == .certain && copy.acknowledgement == .none && copy.acknowledgedIn < 0
                && !copy.mayVanish && now < copy.vanishesAt && copy.shown <= delivery
        }
        return index.map { spoken($0) }
    }

    /// Copies of a queue may be gone from now on.
    mutating func release(family: Int) {
        for index in copies.indices where copies[index].family == family { copies[index].mayVanish = true }
    }

    /// A queue is deleted with the ids that it remembered: what is sent again is another message.
    mutating func forget(family: Int) {
        release(family: family)
        for index in copies.indices where copies[index].family == family { copies[index].wasForgotten = true }
        for index in copies.indices where copies[index].family == family && copies[index].wasSentAgain {
            copies[index].existence = .possible
            copies[index].acknowledgement = .none
        }
    }

    mutating func release(copy: Int) { copies[copy].mayVanish = true }

    /// The message of this number, if this is what was sent.
    func checked(_ number: Int, _ body: [UInt8], _ check: String?) -> Message? {
        guard messages.indices.contains(number) else { return nil }
        let message = messages[number]
        let isWhole = body == Payload.bytes(number, count: message.bytes) && (check == nil || check == "c:\(number)\\")
        return isWhole ? message : nil
    }

    // MARK: Transactions

    mutating func begin() -> Int {
        transactions.append(Transaction())
        return transactions.count - 1
    }

    mutating func askCommit(_ number: Int) {
        transactions[number].state = .asked
        for copy in transactions[number].sends {
            copies[copy].existence = .possible
            if copies[copy].order > 0 {
                copies[copy].order = nextOrder
                nextOrder += 1
            }
        }
        for copy in transactions[number].acknowledgements { copies[copy].acknowledgement = .possible }
    }

    mutating func committed(_ number: Int) {
        if transactions[number].state == .done { return }
        if transactions[number].state == .undone {
            return violated("transaction \(number) took place after it had not")
        }
        transactions[number].state = .done
        for copy in transactions[number].sends where copies[copy].existence == .possible {
            copies[copy].existence = .certain
        }
        for copy in transactions[number].acknowledgements { settled(copy) }
    }

    mutating func undone(_ number: Int) {
        transactions[number].state = .undone
        for copy in transactions[number].sends { copies[copy].existence = .never }
        for copy in transactions[number].acknowledgements where copies[copy].acknowledgedIn == number {
            copies[copy].acknowledgedIn = -1
            if !copies[copy].isAcknowledgedAlone { copies[copy].acknowledgement = .none }
        }
    }

    // MARK: Acknowledging

    mutating func acknowledge(_ copy: Int, in transaction: Int) {
        if transaction >= 0 {
            copies[copy].acknowledgedIn = transaction
            transactions[transaction].acknowledgements.append(copy)
        } else {
            copies[copy].acknowledgement = .possible
            copies[copy].isAcknowledgedAlone = true
            // Whoever acknowledged it in a transaction before did not hold it any more.
            copies[copy].acknowledgedIn = -1
        }
    }

    /// The RECEIPT of the ACK is there.
    mutating func acknowledged(_ copy: Int) {
        if copies[copy].acknowledgement == .possible { settled(copy) }
    }

    /// It does not come again, unless there is another like it.
    private mutating func settled(_ copy: Int) {
        copies[copy].acknowledgement = copies[copy].mayBeSeveral ? .none : .certain
        if copies[copy].mayBeSeveral { copies[copy].acknowledgedIn = -1 }
    }

    /// The RECEIPT of a NACK is there: that delivery counts, whatever happens to the broker.
    mutating func returned(_ copy: Int, count: UInt32) {
        copies[copy].deliveries = max(copies[copy].deliveries, count)
    }

    // MARK: What the broker shows

    /// The broker writes a MESSAGE. `count`: deliveries that it tells of.
    mutating func delivered(
        _ copy: Int, on link: UInt64, slot: UInt32, count: UInt32, isDead: Bool, isAuto: Bool, at now: UInt64
    ) {
        let about = spoken(copy)
        switch copies[copy].existence {
        case .never: return violated("I2: \(about) was delivered, though it was not there before")
        case .held: return violated("I2: \(about) was delivered without COMMIT")
        case .possible, .certain: break
        }
        if copies[copy].acknowledgement == .certain {
            return violated("I3: \(about) came back after the receipt of its ACK")
        }
        if copies[copy].life == life, count < 2, !isDead, !copies[copy].mayBeSeveral {
            return violated("I4: \(about) came again without redelivered")
        }
        if count <= copies[copy].deliveries, !isDead, !copies[copy].mayBeSeveral {
            return violated("\(about) is delivery \(count), though \(copies[copy].deliveries) were confirmed")
        }
        if now < copies[copy].notBefore {
            return violated("\(about) was delivered \(copies[copy].notBefore - now) ms before its time")
        }
        let isFirst = copies[copy].life < 0 && count < 2 && !isDead
        if isFirst, copies[copy].order > 0 { checkOrder(copy, link, slot, about) }
        copies[copy].life = life
        copies[copy].isAcknowledgedAlone = false
        deliveries += 1
        copies[copy].shown = deliveries
        if messages[copies[copy].message].isPersistent {
            copies[copy].existence = .certain
            if copies[copy].transaction >= 0 { committed(copies[copy].transaction) }
        }
        // Acknowledged in a transaction, and there again: the transaction did not take place.
        if copies[copy].acknowledgedIn >= 0, transactions[copies[copy].acknowledgedIn].state == .asked {
            undone(copies[copy].acknowledgedIn)
        }
        // An ACK that was on its way was not the broker's to take any more.
        if copies[copy].acknowledgement == .possible, copies[copy].acknowledgedIn < 0 {
            copies[copy].acknowledgement = .none
        }
        if isAuto { copies[copy].mayVanish = true }
    }

    private mutating func checkOrder(_ copy: Int, _ link: UInt64, _ slot: UInt32, _ about: String) {
        let key = OrderKey(
            link: link, slot: slot, producer: messages[copies[copy].message].producer, family: copies[copy].family)
        if let last = lastOrder[key], last > copies[copy].order {
            violated("I4: \(about) came after a message that was sent later")
        }
        lastOrder[key] = copies[copy].order
    }

    // MARK: What the store holds

    /// Compares with a full scan. `isAfterCrash`: nothing is under way, so what was open is decided.
    mutating func compare(_ found: [Found], isAfterCrash: Bool, at now: UInt64) {
        if violation != nil { return }
        var counts = [Int](repeating: 0, count: copies.count)
        for one in found {
            guard messages.indices.contains(one.message), let copy = messages[one.message].copies[one.family] else {
                return violated("I2: message \(one.message) is in \(Names.family(one.family)) and was never sent there")
            }
            counts[copy] += 1
        }
        for copy in copies.indices { checkPresence(copy, counts[copy], at: now) }
        if isAfterCrash, violation == nil { decide(counts, at: now) }
    }

    private mutating func checkPresence(_ copy: Int, _ count: Int, at now: UInt64) {
        if count == 0 {
            let isPromised =
                copies[copy].existence == .certain && copies[copy].acknowledgement == .none
                && copies[copy].acknowledgedIn < 0 && !copies[copy].mayVanish && now < copies[copy].vanishesAt
            if isPromised { violated("I1: \(spoken(copy)) is lost") }
            return
        }
        if count > 1, !copies[copy].mayBeSeveral { return violated("I2: \(spoken(copy)) is there \(count) times") }
        switch copies[copy].existence {
        case .never: violated("I2: \(spoken(copy)) is there, though it was not before")
        case .held: violated("I2: \(spoken(copy)) is there without COMMIT")
        case .possible, .certain: break
        }
        if copies[copy].acknowledgement == .certain {
            violated("I3: \(spoken(copy)) is there after the receipt of its ACK")
        }
    }

    private mutating func decide(_ counts: [Int], at now: UInt64) {
        for message in messages.indices where !messages[message].isDelayed { messages[message].underWay = 0 }
        for number in transactions.indices {
            switch transactions[number].state {
            case .open: undone(number)
            case .asked: decide(transaction: number, counts, at: now)
            case .done, .undone: break
            }
        }
        for copy in copies.indices {
            if counts[copy] > 0 {
                if messages[copies[copy].message].isPersistent { copies[copy].existence = .certain }
                copies[copy].acknowledgement = .none
                copies[copy].acknowledgedIn = -1
            } else if copies[copy].comesLater, copies[copy].life < 0 || !messages[copies[copy].message].isPersistent {
                // What need not be on disk may be shown before it is known to have fallen due.
                continue
            } else if copies[copy].existence != .held {
                if copies[copy].existence == .certain, !copies[copy].mayVanish {
                    copies[copy].acknowledgement = .certain
                } else if copies[copy].acknowledgement == .possible {
                    // Not on disk when it was shown: all that was known of it may be gone.
                    copies[copy].acknowledgement = .none
                }
                copies[copy].existence = .never
            }
        }
    }

    /// All of a transaction has taken place, or nothing.
    private mutating func decide(transaction number: Int, _ counts: [Int], at now: UInt64) {
        var yes: [Int] = []
        var no: [Int] = []
        for copy in transactions[number].sends {
            if counts[copy] > 0 {
                yes.append(copy)
            } else if !copies[copy].mayVanish, copies[copy].acknowledgement == .none, now < copies[copy].vanishesAt {
                no.append(copy)
            }
        }
        for copy in transactions[number].acknowledgements where copies[copy].acknowledgedIn == number {
            if counts[copy] > 0 { no.append(copy) } else if isSurelyThere(copy, at: now) { yes.append(copy) }
        }
        if let done = yes.first, let missing = no.first {
            return violated(
                "I2: half a transaction: \(spoken(done)) says it took place, \(spoken(missing)) that it did not")
        }
        if !yes.isEmpty {
            committed(number)
        } else if !no.isEmpty {
            undone(number)
        } else {
            transactions[number].state = .done
        }
    }

    /// Without the ACK it would have to be there.
    private func isSurelyThere(_ copy: Int, at now: UInt64) -> Bool {
        copies[copy].existence == .certain && !copies[copy].mayVanish && !copies[copy].isAcknowledgedAlone
            && now < copies[copy].vanishesAt
    }
}
