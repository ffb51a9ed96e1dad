import Base
import STOMP
import Testing

@testable import BrokerClient

/// Goal: whatever happens in whatever order, every call is answered exactly once, limits hold, and a confirmed send
/// was seen by the broker. Method: a random program, a random broker and a random network, from a printed seed;
/// the rules are looked at after each step. One seed after the other: side by side they would keep all threads from the tests
/// that wait for sockets.
@Suite(.serialized) struct SimulationTests {
    @Test(arguments: 0..<40) func anyOrderOfEvents(seed: Int) throws {
        var world = World(seed: UInt64(seed))
        for _ in 0..<300 { try world.step() }
        try world.settleDown()
    }
}

private struct World {
    var talk: Talk
    var random: SplitMix64
    /// Frames written on this connection which the broker has not looked at.
    var wire: [Frame] = []
    var dials = 1
    var asked: Set<RequestID> = []
    var sends: [RequestID: String] = [:]
    var seenByBroker: Set<String> = []
    /// What was asked, and the requests that the broker has seen: (correlation-id, text).
    var asks: [RequestID: String] = [:]
    var services: [(correlation: String, text: String)] = []
    var subscriptions: [SubscriptionID] = []
    var brokerSubscriptions: Set<String> = []
    var transactions: [TransactionID] = []
    var deliveries: [Delivery] = []
    var lastText = 0

    init(seed: UInt64) {
        random = SplitMix64(seed: seed)
        talk = Talk.ready {
            $0.addresses = ["one", "two"]
            $0.unconfirmedMessages = 4
            $0.unconfirmedBytes = 1_000
            $0.requestsInFlight = 3
            $0.failsWhenBusy = seed % 2 == 0
            $0.reconnect = .exponential(first: .milliseconds(5), longest: .milliseconds(50))
            $0.connectTimeoutMilliseconds = 100
            $0.seed = seed
        }
    }

    mutating func step() throws {
        switch random.below(23) {
        case 0...3: send()
        case 4: subscribe()
        case 5: consume()
        case 6: settle()
        case 7: transact()
        case 8: if let request = asked.sorted().randomElement(using: &random) { talk.cancel(request) }
        case 9: if let id = subscriptions.randomElement(using: &random) { unsubscribe(id) }
        case 10: talk.lose()
        case 11: if random.below(4) == 0 { brokerSaysError() }
        case 12: congest()
        case 13...14: pass()
        case 20: ask()
        case 21...22: answer()
        case 15: connect(isGood: random.below(4) > 0)
        default: brokerWorks()
        }
        collect()
        try check()
    }

    /// From here on everything works: then every call must come to its end.
    mutating func settleDown() throws {
        for _ in 0..<200 {
            connect(isGood: true)
            let link = talk.conversation.link
            talk.event { $0.setCongested(false, on: link, at: $1) }
            for _ in 0..<50 { brokerWorks() }
            pass()
            collect()
        }
        let close = talk.close(within: 1_000)
        asked.insert(close)
        collect()
        for _ in 0..<50 { brokerWorks() }
        for _ in 0..<5 { talk.pass(milliseconds: 1_000) }
        let open = asked.filter { talk.outcomes[$0] == nil }
        #expect(open.isEmpty, "never answered: \(open)")
        #expect(talk.conversation.requests.isEmpty)
        for (request, text) in asks {
            guard case .success(.replies(let replies, _))? = talk.outcomes[request] else { continue }
            #expect(replies.allSatisfy { $0.frame.text == text }, "\(text) got the reply to another request")
        }
        #expect(conversationIsEmpty)
        for (request, text) in sends where talk.outcomes[request] == .success(.done) {
            #expect(seenByBroker.contains(text), "\(text) was confirmed and never seen")
        }
    }

    private var conversationIsEmpty: Bool {
        let book = talk.conversation.asks
        return book.inFlight == 0 && book.waiting.isEmpty && book.collected.isEmpty
    }

    private func check() throws {
        let conversation = talk.conversation
        #expect(conversation.asks.inFlight <= 3)
        let written = conversation.requests.values.filter {
            if case .ask(let ask) = $0.purpose { ask.isInFlight } else { false }
        }
        #expect(written.count == conversation.asks.inFlight)
        #expect(conversation.unconfirmedMessages <= 4)
        #expect(conversation.unconfirmedBytes <= 1_000)
        let unconfirmed = conversation.requests.values.filter(\.isUnconfirmed)
        #expect(unconfirmed.count == conversation.unconfirmedMessages)
        for record in conversation.subscriptions.values { #expect(record.buffer.count <= record.prefetch) }
        for request in conversation.requests.values {
            guard let deadline = request.deadline else { continue }
            let wake = try #require(conversation.wake, "nobody would look at a deadline")
            #expect(wake <= deadline)
        }
        if let due = conversation.due {
            let wake = try #require(conversation.wake, "nobody would look at the phase")
            #expect(wake <= due)
        }
    }

    /// New frames go onto the wire; a new connection has an empty one.
    private mutating func collect() {
        if talk.dials.count != dials || !talk.conversation.hasLink {
            dials = talk.dials.count
            wire = []
            brokerSubscriptions = []
            talk.sent = []
        }
        wire += talk.sent
        talk.sent = []
    }

    // MARK: The program

    private mutating func send() {
        lastText += 1
        let text = "message \(lastText)"
        let isConfirmed = random.below(3) > 0
        let within = UInt64(random.below(300) + 1)
        let request = talk.send(text, isConfirmed ? .receipt : .none, within: within)
        asked.insert(request)
        if isConfirmed { sends[request] = text }
    }

    private mutating func ask() {
        lastText += 1
        let text = "question \(lastText)"
        let isGathering = random.below(3) == 0
        let request = talk.ask(text, within: UInt64(random.below(300) + 1)) {
            $0.isGathering = isGathering
            $0.atMost = isGathering ? 2 : 1
        }
        asks[request] = text
        asked.insert(request)
    }

    /// A service answers one of the requests, perhaps for the second time, perhaps one of a connection that is gone.
    private mutating func answer() {
        guard let request = services.randomElement(using: &random) else { return }
        talk.reply(request.text, correlation: request.correlation)
    }

    private mutating func subscribe() {
        let modes: [Acknowledgement] = [.individual, .cumulative, .automatic]
        let (id, request) = talk.subscribe(modes[random.below(3)], prefetch: random.below(4) + 1)
        subscriptions.append(id)
        asked.insert(request)
    }

    private mutating func unsubscribe(_ id: SubscriptionID) {
        let request = talk.request()
        asked.insert(request)
        if random.below(2) == 0 {
            talk.event { $0.cancel(id, as: request, deadline: $1.adding(milliseconds: 50), at: $1) }
        } else {
            talk.event { $0.forget(id, at: $1) }
            asked.remove(request)
        }
    }

    private mutating func consume() {
        guard let id = subscriptions.randomElement(using: &random) else { return }
        let request = talk.next(id)
        asked.insert(request)
        if case .success(.message(let delivery)) = talk.outcomes[request] { deliveries.append(delivery) }
    }

    private mutating func settle() {
        guard let delivery = deliveries.randomElement(using: &random) else { return }
        if random.below(3) == 0 {
            let request = talk.request()
            asked.insert(request)
            talk.event {
                $0.settleConfirmed(
                    delivery, .acknowledge, as: request, deadline: $1.adding(milliseconds: 50), at: $1)
            }
            return
        }
        do throws(ClientError) {
            try talk.settle(delivery, in: transactions.last)
        } catch {
            // Any refusal will do here; that it is the right one is tested elsewhere.
            #expect(error != .cancelled)
        }
    }

    private mutating func transact() {
        switch random.below(4) {
        case 0: transactions.append(talk.begin())
        case 1: if let transaction = transactions.popLast() { asked.insert(talk.commit(transaction)) }
        case 2: if let transaction = transactions.popLast() { talk.event { $0.abort(transaction, at: $1) } }
        default: if let transaction = transactions.last { asked.insert(talk.send("in it", in: transaction)) }
        }
    }

    // MARK: The network

    private mutating func congest() {
        let link = talk.conversation.link
        let isFull = random.below(2) == 0
        talk.event { $0.setCongested(isFull, on: link, at: $1) }
    }

    private mutating func pass() { talk.pass(milliseconds: UInt64(random.below(30))) }

    private mutating func connect(isGood: Bool) {
        guard talk.conversation.isDialing(talk.conversation.link) else { return }
        if !isGood { return talk.lose() }
        talk.open()
        collect()
        talk.broker(.connected, ["version": "1.2"])
        collect()
    }

    // MARK: The broker

    /// Takes the next frame from the wire, or delivers a message.
    private mutating func brokerWorks() {
        collect()
        defer { collect() }
        if random.below(4) == 0, let id = brokerSubscriptions.sorted().randomElement(using: &random) {
            lastText += 1
            talk.broker(
                .message,
                ["subscription": id, "message-id": "\(lastText)", "ack": "\(lastText)", "destination": "/queue/a"])
            return
        }
        guard !wire.isEmpty else { return }
        let frame = wire.removeFirst()
        switch frame.command {
        case .send:
            seenByBroker.insert(frame.text)
            if let correlation = frame["correlation-id"] { services.append((correlation, frame.text)) }
        case .subscribe where frame["id"] != "0": brokerSubscriptions.insert(frame["id"] ?? "")
        case .unsubscribe: brokerSubscriptions.remove(frame["id"] ?? "")
        default: break
        }
        if let receipt = frame["receipt"] { talk.broker(.receipt, ["receipt-id": receipt]) }
    }

    private mutating func brokerSaysError() {
        guard talk.conversation.canTransmit else { return }
        if let receipt = wire.compactMap({ $0["receipt"] }).first, random.below(2) == 0 {
            talk.broker(.error, ["message": "no", "receipt-id": receipt])
        } else {
            talk.broker(.error, ["message": "no"])
        }
    }
}
