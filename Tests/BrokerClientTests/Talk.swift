import Base
import STOMP
import Testing

@testable import BrokerClient

/// Drives a conversation by hand: plays its owner and its broker, keeps what it wanted done, and watches the rule
/// that holds everywhere: no request is answered twice.
struct Talk {
    var conversation: Conversation
    var now = Instant(nanoseconds: 1_000_000_000)
    var sent: [Frame] = []
    var heartBeats = 0
    var dials: [Int] = []
    var hangUps: [(link: LinkNumber, politely: Bool)] = []
    var resumed = 0
    var states: [ConnectionState] = []
    var notes: [Note] = []
    var outcomes: [RequestID: Result<Reply, ClientError>] = [:]
    private var lastNumber: UInt64 = 0

    init(_ change: (inout ConversationSettings) -> Void = { _ in }) {
        var settings = ConversationSettings(addresses: ["first:1"], identity: "me")
        change(&settings)
        conversation = Conversation(settings)
    }

    /// Logged in, without heart-beats and with nothing else said yet.
    static func ready(
        version: String = "1.2", _ change: (inout ConversationSettings) -> Void = { _ in }
    ) -> Talk {
        var talk = Talk(change)
        let request = talk.connect()
        talk.open()
        talk.broker(.connected, ["version": version])
        #expect(talk.outcomes[request] == .success(.done))
        talk.sent = []
        return talk
    }

    mutating func number() -> UInt64 {
        lastNumber += 1
        return lastNumber
    }

    mutating func request() -> RequestID { RequestID(number: number()) }

    mutating func event<R>(_ body: (inout Conversation, Instant) throws -> R) rethrows -> R {
        defer { absorb() }
        return try body(&conversation, now)
    }

    private mutating func absorb() {
        for effect in conversation.takeEffects() {
            switch effect {
            case .dial(_, let address): dials.append(address)
            case .transmit(let frame): sent.append(frame)
            case .settle(let settlement): sent.append(written(settlement))
            case .transmitBatch(let batch, let range): for index in range { sent.append(batch.frame(index)) }
            case .heartBeat: heartBeats += 1
            case .hangUp(let link, let politely): hangUps.append((link, politely))
            case .resumeReading: resumed += 1
            case .announce(let state): states.append(state)
            case .tell(let note): notes.append(note)
            case .complete(let id, let outcome):
                #expect(outcomes.updateValue(outcome, forKey: id) == nil, "\(id) was answered twice")
            }
        }
    }

    private func written(_ settlement: Settlement) -> Frame {
        var bytes = Buffer()
        settlement.encode(version: conversation.version, into: &bytes)
        return Wire.frame(UnsafeBufferPointer(bytes.readable), conversation.version) ?? Frame(.error)
    }

    // MARK: The owner

    mutating func connect() -> RequestID {
        let id = request()
        event { $0.connect(as: id, at: $1) }
        return id
    }

    mutating func open(passcode: String? = nil) {
        let link = conversation.link
        let isWanted = event { $0.opened(link, passcode: passcode, at: $1) }
        #expect(isWanted)
    }

    mutating func lose(_ loss: ConnectionLoss = .ended(reason: "peer-closed")) {
        let link = conversation.link
        event { $0.ended(link, .connectionLost(loss), at: $1) }
    }

    /// Lets the time pass up to the next time that the conversation named, and a little less than nothing more.
    mutating func sleepUntilWake() {
        guard let wake = conversation.wake else {
            Issue.record("the conversation waits for nothing")
            return
        }
        now = max(now, wake)
        event { $0.tick(at: $1) }
    }

    mutating func pass(milliseconds: UInt64) {
        now = now.adding(milliseconds: milliseconds)
        event { $0.tick(at: $1) }
    }

    /// From a lost connection to the next CONNECTED.
    mutating func reconnect(version: String = "1.2") {
        let before = dials.count
        for _ in 0..<100 where dials.count == before { sleepUntilWake() }
        open()
        sent = []
        broker(.connected, ["version": version])
    }

    // MARK: The program

    mutating func send(
        _ text: String, _ confirmation: BrokerClient.Confirmation = .receipt, headers: Headers = [:],
        within: UInt64 = 30_000
    ) -> RequestID {
        let id = request()
        let frame = Frame.send(Array(text.utf8), to: "/queue/a", headers: headers, persistent: true)
        let deadline = now.adding(milliseconds: within)
        event { $0.send(frame, confirmation, as: id, deadline: deadline, at: $1) }
        return id
    }

    /// Texts to /queue/a, by one call.
    mutating func send(all texts: [String], within: UInt64 = 30_000) -> Batch {
        let first = number()
        for _ in texts.dropFirst() { _ = number() }
        let batch = Batch(texts.map { Outgoing(Array($0.utf8), to: "/queue/a") }, from: first, identity: "me")
        let deadline = now.adding(milliseconds: within)
        event { $0.send(batch, deadline: deadline, at: $1) }
        return batch
    }

    /// The broker confirms these messages of it.
    mutating func confirm(_ batch: Batch, _ range: Range<Int>) {
        for index in range { receipt(RequestID(number: batch.first + UInt64(index))) }
    }

    mutating func ask(_ text: String, within: UInt64 = 30_000, _ change: (inout Ask) -> Void = { _ in }) -> RequestID {
        let id = request()
        var ask = Ask(frame: .send(Array(text.utf8), to: "/queue/a", headers: [:], persistent: false))
        change(&ask)
        let deadline = now.adding(milliseconds: within)
        event { $0.ask(ask, as: id, deadline: deadline, at: $1) }
        return id
    }

    mutating func subscribe(
        _ acknowledgement: Acknowledgement = .individual, prefetch: Int = 3, to destination: String = "/queue/a"
    ) -> (id: SubscriptionID, request: RequestID) {
        let id = SubscriptionID(number: number())
        let request = request()
        let frame = Frame.subscribe(
            id, to: destination, acknowledgement: acknowledgement, prefetch: prefetch, headers: [:])
        let record = SubscriptionRecord(
            frame: frame, destination: destination, acknowledgement: acknowledgement, prefetch: prefetch)
        let deadline = now.adding(milliseconds: 30_000)
        event { $0.subscribe(id, record, as: request, deadline: deadline, at: $1) }
        return (id, request)
    }

    mutating func subscribed(
        _ acknowledgement: Acknowledgement = .individual, prefetch: Int = 3
    ) -> SubscriptionID {
        let (id, request) = subscribe(acknowledgement, prefetch: prefetch)
        receipt(request)
        #expect(outcomes[request] == .success(.done))
        sent = []
        return id
    }

    mutating func next(_ id: SubscriptionID) -> RequestID {
        let request = request()
        event { $0.next(from: id, as: request, at: $1) }
        return request
    }

    mutating func message(_ id: SubscriptionID) throws -> Delivery {
        let request = next(id)
        guard case .success(.message(let delivery))? = outcomes[request] else { throw Nothing() }
        return delivery
    }

    struct Nothing: Error {}

    mutating func settle(
        _ delivery: Delivery, _ verdict: Verdict = .acknowledge, in transaction: TransactionID? = nil
    ) throws(ClientError) {
        defer { absorb() }
        try conversation.settle(delivery, verdict, in: transaction, deadline: now, at: now)
    }

    mutating func cancel(_ request: RequestID) { event { $0.cancel(request, at: $1) } }

    mutating func begin() -> TransactionID {
        let transaction = TransactionID(number: number())
        let id = request()
        let deadline = now.adding(milliseconds: 30_000)
        event { $0.begin(transaction, as: id, deadline: deadline, at: $1) }
        return transaction
    }

    mutating func send(_ text: String, in transaction: TransactionID) -> RequestID {
        let id = request()
        let frame = Frame.send(Array(text.utf8), to: "/queue/a", headers: [:], persistent: true)
        let deadline = now.adding(milliseconds: 30_000)
        event { $0.send(frame, in: transaction, as: id, deadline: deadline, at: $1) }
        return id
    }

    mutating func commit(_ transaction: TransactionID) -> RequestID {
        let id = request()
        let deadline = now.adding(milliseconds: 30_000)
        event { $0.commit(transaction, as: id, deadline: deadline, at: $1) }
        return id
    }

    mutating func close(within milliseconds: UInt64 = 5_000) -> RequestID {
        let id = request()
        event { $0.close(as: id, within: milliseconds, at: $1) }
        return id
    }

    // MARK: The broker

    @discardableResult
    mutating func broker(
        _ command: Command, _ headers: KeyValuePairs<String, String> = [:], text: String = ""
    ) -> Bool {
        let link = conversation.link
        let frame = Frame(command, headers, text: text)
        return event { conversation, now in
            if command == .message, let message = Wire.message(frame, conversation.version) {
                return conversation.received(message, on: link, at: now)
            }
            conversation.received(frame, on: link, at: now)
            return true
        }
    }

    mutating func receipt(_ request: RequestID) {
        broker(.receipt, ["receipt-id": String(request.number)])
    }

    /// What a service sends to the `reply-to` of a request.
    mutating func reply(_ text: String, correlation: String, from name: String = "") {
        broker(
            .message,
            [
                "subscription": "0", "message-id": "m-\(text)", "destination": "/reply-queue/1",
                "correlation-id": correlation, "replied-by": name,
            ], text: text)
    }

    /// Confirms everything sent so far that asked for it.
    mutating func confirmAll() {
        for receipt in sent.compactMap({ $0["receipt"] }) { broker(.receipt, ["receipt-id": receipt]) }
    }

    @discardableResult
    mutating func deliver(_ text: String, to id: SubscriptionID) -> Bool {
        broker(
            .message,
            [
                "subscription": String(id.number), "message-id": "m-\(text)", "ack": "a-\(text)",
                "destination": "/queue/a",
            ], text: text)
    }

    mutating func expectTaken(
        _ text: String, to id: SubscriptionID, _ expected: Bool, at location: SourceLocation = #_sourceLocation
    ) {
        let isTaken = deliver(text, to: id)
        #expect(isTaken == expected, sourceLocation: location)
    }

    mutating func expectNext(
        _ text: String, from id: SubscriptionID, at location: SourceLocation = #_sourceLocation
    ) throws {
        let delivery = try message(id)
        #expect(delivery.frame.text == text, sourceLocation: location)
    }

    var sentText: [String] { sent.map { "\($0.command.text) \($0.text)" } }
    var commands: [Command] { sent.map(\.command) }
}
