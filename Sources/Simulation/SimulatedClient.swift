import Base
import BrokerCore
import STOMP

/// A client with a mind of its own: it sends, receives, acknowledges, runs transactions, vanishes, comes back and
/// sends again what was not confirmed. It speaks through the real codec, and tells `Promises` what it was told.
final class SimulatedClient {
    let number: Int
    unowned let world: World
    var link: SimulatedLink?
    var isConnected = false
    var version = Version.v12
    var parser = FrameParser(role: .client, limits: FrameLimits(headerCount: 1000, bodyBytes: 1 << 20))
    var inbox: [UInt8] = []
    /// What was asked, in order of the frames, and not answered yet.
    var receipts: [Receipt] = []
    var subscriptions: [String: Subscription] = [:]
    var held: [Held] = []
    /// Acknowledged in the open transaction.
    private var spent: [Held] = []
    var arrivals = 0
    /// The open transaction, as `Promises` counts them.
    private var transaction: Int?
    var unconfirmed: [Outgoing] = []
    private var nextID = 1

    struct Receipt {
        /// Empty: no RECEIPT was asked for. The next one speaks for this frame too.
        var id: String
        var meaning: Meaning
    }

    enum Meaning {
        case nothing
        case sent(message: Int, copies: [Int])
        case acknowledged([Int])
        case rejected(Int, count: UInt32)
        case committed(Int)
        case durable(Int)
        case durableGone(Int)
        case disconnected
    }

    struct Subscription {
        var id: String
        var family: Int
        var isDead: Bool
        var isAuto: Bool
        var isCumulative: Bool

        /// The id tells the world, which sees only that, what the subscription is.
        static func parse(_ id: String) -> Subscription? {
            if id.hasPrefix("d"), let number = Int(id.dropFirst()) {
                let family = Names.durable(number)
                return Subscription(id: id, family: family, isDead: false, isAuto: false, isCumulative: false)
            }
            let parts = id.split(separator: ".")
            guard parts.count == 4, let family = Int(parts[1]) else { return nil }
            return Subscription(
                id: id, family: family, isDead: parts[3] == "dead", isAuto: parts[2] == "auto",
                isCumulative: parts[2] == "client")
        }
    }

    struct Held {
        var arrival: Int
        var copy: Int
        var subscription: String
        var messageID: String
        var ack: String
        var count: UInt32
    }

    /// A message that is sent until it is confirmed.
    struct Outgoing {
        var message: Int
        var target: Target
        var headers: [Frame.Header]
        var ttl: UInt64
        var delay: UInt64

        var spoken: String { headers.map { " \($0.name):\($0.value)" }.joined() }
    }

    enum Target {
        case queue(Int)
        case topic(Int)
        case both(Int, Int)

        /// -1: none.
        var topic: Int {
            switch self {
            case .queue: -1
            case .topic(let topic), .both(_, let topic): topic
            }
        }
    }

    init(_ number: Int, _ world: World) {
        self.number = number
        self.world = world
    }

    var isWaiting: Bool { receipts.contains { !$0.id.isEmpty } }
    /// Can be told that something happened.
    var isAlive: Bool { link.map { !$0.isCut } ?? false }

    // MARK: Coming and going

    func connect(_ dice: inout SplitMix64) {
        guard let link = world.accept() else { return }
        self.link = link
        version = dice.oneIn(4) ? .v11 : .v12
        parser = FrameParser(role: .client, limits: FrameLimits(headerCount: 1000, bodyBytes: 1 << 20))
        isConnected = false
        world.note("client \(number) connects on link \(link.id)")
        write(Frame(.connect, ["accept-version": "\(version.text)", "host": "sim", "login": "c\(number)"]))
    }

    /// The connection is no more, for whatever reason.
    func lose() {
        guard let link else { return }
        link.isCut = link.isCut || link.isFinished
        self.link = nil
        isConnected = false
        inbox = []
        receipts = []
        subscriptions = [:]
        held = []
        spent = []
        if let transaction { world.promises.undone(transaction) }
        transaction = nil
    }

    /// Reset, with what is under way.
    func vanish() {
        guard let link else { return }
        world.note("client \(number) vanishes")
        world.broker?.cut(link)
        lose()
    }

    func halfClose() {
        guard let link, isConnected else { return }
        world.note("client \(number) closes its side")
        link.clientIsDone = true
    }

    // MARK: Writing

    private func write(_ frame: Frame) {
        guard let link, !link.clientIsDone else { return }
        link.toBroker += frame.encoded(version: version)
    }

    /// A frame for which no RECEIPT is asked.
    private func noReceipt(_ meaning: Meaning) { receipts.append(Receipt(id: "", meaning: meaning)) }

    private func receipt(_ meaning: Meaning) -> Frame.Header {
        let id = "r\(nextID)"
        nextID += 1
        receipts.append(Receipt(id: id, meaning: meaning))
        return Frame.Header("receipt", id)
    }

    /// One thing that a client would do.
    func act(_ dice: inout SplitMix64) {
        guard let link, isConnected, !link.clientIsDone else {
            if link == nil { connect(&dice) }
            return
        }
        switch dice.roll(0..<100) {
        case 0..<38: sendSome(&dice)
        case 38..<46: sendAgain(&dice)
        case 46..<56: workInTransaction(&dice)
        case 56..<66: subscribe(&dice)
        case 66..<86: acknowledge(&dice)
        case 86..<92: reject(&dice)
        case 92..<94: unsubscribe(&dice)
        case 94..<96: durable(&dice)
        case 96: disconnect()
        default:
            // One that is never ended.
            let name = Frame.Header("transaction", "idle\(nextID)")
            nextID += 1
            write(Frame(.begin, headers: dice.oneIn(2) ? [name] : [name, receipt(.nothing)]))
        }
    }

    private func sendSome(_ dice: inout SplitMix64) {
        if world.isCrowded { return }
        for _ in 0..<dice.roll(1..<5) { send(&dice, transaction: nil) }
    }

    private func target(_ dice: inout SplitMix64) -> Target {
        let queue = dice.roll(0..<Names.queues)
        let topic = dice.roll(0..<Names.topics)
        return switch dice.roll(0..<10) {
        case 0..<2: .topic(topic)
        case 2: .both(queue, topic)
        default: .queue(queue)
        }
    }

    private func send(_ dice: inout SplitMix64, transaction: Int?) {
        let size = dice.oneIn(12) ? dice.roll(1000..<2600) : dice.roll(12..<200)
        let isPersistent = !dice.oneIn(12)
        var headers: [Frame.Header] = []
        if !isPersistent { headers.append(Frame.Header("persistent", "false")) }
        var isPlain = true
        if dice.oneIn(6) {
            headers.append(Frame.Header("priority", "\(dice.roll(0..<10))"))
            isPlain = false
        }
        if dice.oneIn(10) {
            headers.append(Frame.Header("message-group", "g\(dice.roll(0..<4))"))
            isPlain = false
        }
        var (ttl, delay): (UInt64, UInt64) = (0, 0)
        if dice.oneIn(14) { ttl = UInt64(dice.roll(500..<60_000)) }
        if dice.oneIn(10) {
            delay = UInt64(dice.roll(1..<40_000))
            isPlain = false
        }
        let target = target(&dice)
        let message = world.promises.newMessage(
            producer: number, bytes: size, isPersistent: isPersistent, topic: target.topic,
            transaction: transaction ?? -1, isDelayed: delay > 0)
        headers.append(Frame.Header("x-check", "c:\(message)\\"))
        let isDeduplicated = transaction == nil && dice.oneIn(2)
        if isDeduplicated { headers.append(Frame.Header("dedup-id", "m\(message)")) }
        if ttl > 0 { headers.append(Frame.Header("ttl", "\(ttl)")) }
        if delay > 0 { headers.append(Frame.Header("delay", "\(delay)")) }
        let out = Outgoing(
            message: message, target: target, headers: headers, ttl: ttl, delay: delay)
        if isDeduplicated { unconfirmed.append(out) }
        send(
            out, isPlain: isPlain && isPersistent, transaction: transaction,
            wantsReceipt: isDeduplicated || dice.oneIn(2))
    }

    private func send(
        _ out: Outgoing, isPlain: Bool, transaction: Int?, wantsReceipt: Bool, isAgain: Bool = false
    ) {
        var copies: [Int] = []
        if isAgain { world.promises.underWayAgain(out.message) }
        for (family, isSure) in world.families(of: out.target) {
            let copy = world.promises.send(
                out.message, to: family, transaction: transaction ?? -1, isPlain: isPlain, at: world.now.wall,
                ttl: out.ttl, delay: out.delay)
            // A delayed message to a topic is for who is there when it falls due.
            if !isSure || (family >= Names.queues && out.delay > 0) { world.promises.release(copy: copy) }
            copies.append(copy)
        }
        var headers = [Frame.Header("destination", world.destination(of: out.target))] + out.headers
        if let transaction { headers.append(Frame.Header("transaction", "t\(transaction)")) }
        let meaning = transaction == nil ? Meaning.sent(message: out.message, copies: copies) : .nothing
        if wantsReceipt { headers.append(receipt(meaning)) } else { noReceipt(meaning) }
        let bytes = world.promises.messages[out.message].bytes
        world.note(
            "client \(number) sends message \(out.message) to \(world.destination(of: out.target))\(out.spoken)\(transaction.map { " in transaction \($0)" } ?? "")"
        )
        write(Frame(.send, headers: headers, body: Payload.bytes(out.message, count: bytes)))
    }

    /// What was not confirmed before the connection broke; or, as when two of a kind publish the same, what another
    /// has not had confirmed.
    private func sendAgain(_ dice: inout SplitMix64) {
        if dice.oneIn(3) {
            guard let other = world.clients.randomElement(using: &dice), other !== self,
                let out = other.unconfirmed.randomElement(using: &dice)
            else { return }
            return send(out, isPlain: false, transaction: nil, wantsReceipt: true, isAgain: true)
        }
        let waiting = Set(
            receipts.compactMap { receipt -> Int? in
                if case .sent(let message, _) = receipt.meaning { message } else { nil }
            })
        for out in unconfirmed where !waiting.contains(out.message) {
            send(out, isPlain: false, transaction: nil, wantsReceipt: true, isAgain: true)
        }
    }

    /// Nothing more is sent again to a queue that has forgotten its ids.
    func forgetUnconfirmed() { unconfirmed = [] }

    /// Some steps of a transaction: sometimes all of it at once, sometimes with much in between.
    private func workInTransaction(_ dice: inout SplitMix64) {
        if transaction == nil {
            let number = world.promises.begin()
            transaction = number
            write(Frame(.begin, ["transaction": "t\(number)"]))
        }
        guard let number = transaction else { return }
        for _ in 0..<dice.roll(0..<4) {
            if dice.oneIn(2) {
                settle(&dice, transaction: number)
            } else if !world.isCrowded {
                send(&dice, transaction: number)
            }
        }
        if !dice.oneIn(3) { end(number, &dice) }
    }

    private func end(_ number: Int, _ dice: inout SplitMix64) {
        transaction = nil
        if dice.oneIn(5) {
            world.note("client \(self.number) aborts transaction \(number)")
            return abort(number)
        }
        spent = []
        world.note("client \(self.number) commits transaction \(number)")
        world.promises.askCommit(number)
        var headers = [Frame.Header("transaction", "t\(number)")]
        if dice.oneIn(4) { noReceipt(.committed(number)) } else { headers.append(receipt(.committed(number))) }
        write(Frame(.commit, headers: headers))
    }

    private func subscribe(_ dice: inout SplitMix64) {
        if subscriptions.count > 3 { return }
        let isDead = dice.oneIn(4)
        let durables = world.durables.indices.filter { world.durables[$0].state == .there }
        var family = dice.roll(0..<Names.queues)
        if dice.oneIn(3), let durable = durables.randomElement(using: &dice) { family = Names.durable(durable) }
        let mode = family == Names.loose && !isDead ? "auto" : dice.oneIn(3) ? "client" : "client-individual"
        subscribe(to: family, isDead: isDead, mode: mode, prefetch: dice.roll(1..<30))
    }

    func subscribe(to family: Int, isDead: Bool, mode: String, prefetch: Int) {
        let id = "s\(nextID).\(family).\(mode).\(isDead ? "dead" : "live")"
        nextID += 1
        guard let subscription = Subscription.parse(id) else { return }
        subscriptions[id] = subscription
        // From here on the broker may count them as taken.
        if mode == "auto" { world.loosen(family) }
        world.note("client \(number) subscribes \(id)")
        write(
            Frame(
                .subscribe,
                headers: [
                    Frame.Header("id", id),
                    Frame.Header("destination", isDead ? Names.deadLetters(family) : Names.family(family)),
                    Frame.Header("ack", mode), Frame.Header("prefetch-count", "\(prefetch)"), receipt(.nothing),
                ]))
    }

    private func unsubscribe(_ dice: inout SplitMix64) {
        guard let id = subscriptions.keys.sorted().randomElement(using: &dice) else { return }
        if let transaction { abort(transaction) }
        subscriptions[id] = nil
        held.removeAll { $0.subscription == id }
        write(Frame(.unsubscribe, headers: [Frame.Header("id", id), receipt(.nothing)]))
    }

    /// What was acknowledged is in our hands again.
    private func abort(_ number: Int) {
        transaction = nil
        held = (held + spent).sorted { $0.arrival < $1.arrival }
        spent = []
        world.promises.undone(number)
        write(Frame(.abort, ["transaction": "t\(number)"]))
    }

    private func durable(_ dice: inout SplitMix64) {
        if dice.oneIn(4),
            let number = world.durables.indices.filter({ world.durables[$0].state == .there }).randomElement(
                using: &dice)
        {
            world.durables[number].state = .going
            world.promises.release(family: Names.durable(number))
            world.note("client \(self.number) ends durable subscription \(number)")
            return write(
                Frame(
                    .unsubscribe,
                    headers: [
                        Frame.Header("id", "d\(number)"), Frame.Header("durable", "true"),
                        receipt(.durableGone(number)),
                    ]))
        }
        if world.durables.count > 5 { return }
        let number = world.durables.count
        let topic = dice.roll(0..<Names.topics)
        world.durables.append(World.Durable(topic: topic, state: .asked))
        world.promises.subscribe(durable: Names.durable(number), to: topic)
        world.note("client \(self.number) makes durable subscription \(number)")
        write(
            Frame(
                .subscribe,
                headers: [
                    Frame.Header("id", "d\(number)"), Frame.Header("destination", Names.topic(topic)),
                    Frame.Header("durable", "true"), Frame.Header("ack", "client-individual"),
                    Frame.Header("prefetch-count", "1"), receipt(.durable(number)),
                ]))
        // It consumes by a subscription of its own, whose id says what it is.
        write(Frame(.unsubscribe, headers: [Frame.Header("id", "d\(number)")]))
    }

    private func disconnect() {
        guard let link else { return }
        world.note("client \(number) disconnects")
        write(Frame(.disconnect, headers: [receipt(.disconnected)]))
        link.clientIsDone = true
        if let transaction { world.promises.undone(transaction) }
        transaction = nil
    }

    // MARK: Acknowledging

    private func acknowledge(_ dice: inout SplitMix64) {
        for _ in 0..<dice.roll(1..<4) { settle(&dice, transaction: nil) }
    }

    /// Acknowledges one message that is held, and those before it where the mode says so.
    private func settle(_ dice: inout SplitMix64, transaction: Int?) {
        guard let index = held.indices.randomElement(using: &dice) else { return }
        let copies = take(index, keeping: transaction != nil)
        for copy in copies.covered { world.promises.acknowledge(copy, in: transaction ?? -1) }
        var headers = copies.headers
        if let transaction {
            headers.append(Frame.Header("transaction", "t\(transaction)"))
        } else if !dice.oneIn(4) {
            headers.append(receipt(.acknowledged(copies.covered)))
        } else {
            noReceipt(.acknowledged(copies.covered))
        }
        world.note("client \(number) acknowledges \(copies.covered.map { world.promises.copies[$0].message })")
        write(Frame(.ack, headers: headers))
    }

    private func reject(_ dice: inout SplitMix64) {
        guard let index = held.indices.randomElement(using: &dice) else { return }
        let chosen = held[index]
        let copies = take(index)
        var headers = copies.headers
        let isDeadly = dice.oneIn(3)
        let isAlone = copies.covered == [chosen.copy]
        if isAlone, !dice.oneIn(3) { headers.append(receipt(.rejected(chosen.copy, count: chosen.count))) }
        if isDeadly {
            headers.append(Frame.Header("requeue", "false"))
        } else if dice.oneIn(3) {
            headers.append(Frame.Header("delay", "\(dice.roll(0..<5000))"))
        }
        world.note(
            "client \(number) rejects \(copies.covered.map { world.promises.copies[$0].message })\(isDeadly ? " for good" : "")"
        )
        write(Frame(.nack, headers: headers))
    }

    /// Takes a message, and those that an ACK of it covers, out of our hands.
    private func take(_ index: Int, keeping: Bool = false) -> (covered: [Int], headers: [Frame.Header]) {
        let chosen = held[index]
        var headers = [Frame.Header("id", chosen.ack)]
        if version < .v12 {
            headers = [Frame.Header("message-id", chosen.messageID), Frame.Header("subscription", chosen.subscription)]
        }
        guard subscriptions[chosen.subscription]?.isCumulative == true else {
            held.remove(at: index)
            if keeping { spent.append(chosen) }
            return ([chosen.copy], headers)
        }
        let all = held[...index].filter { $0.subscription == chosen.subscription }
        if keeping { spent += all }
        let covered = all.map(\.copy)
        held = held[...index].filter { $0.subscription != chosen.subscription } + held[(index + 1)...]
        return (covered, headers)
    }

    /// Acknowledges everything, with receipts: used when a run ends.
    func acknowledgeAll() {
        while !held.isEmpty {
            let copies = take(held.count - 1)
            for copy in copies.covered { world.promises.acknowledge(copy, in: -1) }
            write(Frame(.ack, headers: copies.headers + [receipt(.acknowledged(copies.covered))]))
        }
    }

}
