import Base
import STOMP

/// The client's side of STOMP over a series of connections, as a value: events in, effects out. It does no
/// I/O and knows the time only from its caller.
///
///     idle -> dialing -> loggingIn -> restoring -> ready -> closing -> closed
///                ^  \________|____________|__________|        ^          ^
///                |                  broke                     |          |
///                `---------------- resting -------------------'----------'
///
/// After each event take the effects and carry them out in order; call `tick` at `wake` or soon after.
struct Conversation {
    enum Phase: Sendable {
        case idle
        /// Socket and credentials are under way.
        case dialing
        /// CONNECT is sent.
        case loggingIn
        /// Logged in; these SUBSCRIBEs have to be confirmed before anything is sent again.
        case restoring(Set<RequestID>)
        case ready(since: Instant)
        /// No connection until `due`.
        case resting
        /// DISCONNECT is sent, with this receipt.
        case closing(RequestID)
        case closed(ClientError?)
    }

    let settings: ConversationSettings
    var phase = Phase.idle
    /// When the phase has to be over.
    var due: Instant?
    /// Of the event that is being worked on.
    var now = Instant(nanoseconds: 0)
    private(set) var effects = Deque<Effect>()

    /// The connection, or the last one, or the attempt.
    var link = LinkNumber(number: 0)
    var address = 0
    var version = Version.v12
    var server: String?
    var heart: Heart
    var backoff: Backoff
    var lastLoss = ConnectionLoss.ended(reason: "not-connected")
    /// The call of `connect`, until it is answered.
    var connecting: RequestID?
    var closers: [RequestID] = []
    /// The socket is full: nothing more is admitted. What must go out, like ACK, still does.
    var isCongested = false

    var requests: [RequestID: Request] = [:]
    /// Sends in order that may not go out yet. Some may be gone by now.
    var waiting = Deque<RequestID>()
    var batches = BatchBook()
    var unconfirmedMessages = 0
    var unconfirmedBytes = 0
    /// RECEIPTs have made room; see `admitAfterReceipts`.
    var mayAdmit = false
    var subscriptions: [SubscriptionID: SubscriptionRecord] = [:]
    var transactions: [TransactionID: TransactionRecord] = [:]
    var asks = AskBook()
    var lastSerial: UInt64 = 0
    /// The subscription that got more than its prefetch, so that reading had to stop.
    var overrun: SubscriptionID?

    /// When `tick` should be called. May be early, never late.
    private(set) var wake: Instant?
    private var lastOwnRequest = RequestID(number: 1 << 63)

    /// A SEND that was under way during so many ERRORs without `receipt-id` is taken for their cause:
    /// otherwise it would be sent again, and break the connection again, for ever.
    static let suspicions = 3

    init(_ settings: ConversationSettings) {
        precondition(!settings.addresses.isEmpty)
        self.settings = settings
        heart = Heart(at: now)
        backoff = Backoff(settings.reconnect, seed: settings.seed)
    }

    mutating func takeEffects() -> [Effect] {
        var taken: [Effect] = []
        while let effect = takeEffect() { taken.append(effect) }
        return taken
    }

    /// The first of them.
    mutating func takeEffect() -> Effect? { effects.popFirst() }

    /// Gives memory back that many at once have needed.
    mutating func shrinkEffects() { if effects.isEmpty { effects.removeAll() } }

    // MARK: Connecting

    /// Begins. The request is answered when the first connection is ready, or when no address works.
    mutating func connect(as request: RequestID, at now: Instant) {
        self.now = now
        connecting = request
        requests[request] = Request(.connect)
        dial()
    }

    /// The socket is open and the credentials are here. False: nobody wants this one any more.
    mutating func opened(_ link: LinkNumber, passcode: String?, at now: Instant) -> Bool {
        self.now = now
        guard isDialing(link) else { return false }
        phase = .loggingIn
        transmit(.connect(settings, passcode: passcode))
        return true
    }

    /// The attempt failed, or the connection ended.
    mutating func ended(_ link: LinkNumber, _ error: ClientError, at now: Instant) {
        self.now = now
        guard link == self.link, hasLink else { return }
        broke(error)
    }

    /// Bytes came, whatever they mean.
    mutating func heard(_ link: LinkNumber, at now: Instant) {
        if link == self.link { heart.heard(at: now) }
    }

    /// The socket has no room, or has it again.
    mutating func setCongested(_ isCongested: Bool, on link: LinkNumber, at now: Instant) {
        self.now = now
        guard link == self.link else { return }
        self.isCongested = isCongested
        if !isCongested { admit() }
    }

    mutating func dial() {
        link = link.next
        phase = .dialing
        setDue(now.adding(milliseconds: settings.connectTimeoutMilliseconds))
        announce(.connecting(address: settings.addresses[address]))
        effects.append(.dial(link, address: address))
    }

    mutating func loggedIn() {
        var outstanding: [RequestID] = []
        for (id, record) in subscriptions.sorted(by: { $0.key < $1.key }) {
            switch record.phase {
            case .ended: continue
            case .requested:
                guard let request = requests.first(where: { $0.value.isSubscribe(id) })?.key else { continue }
                outstanding.append(request)
                transmit(record.frame.with(receipt: request))
            case .active:
                let request = ownRequest(.restore(id))
                outstanding.append(request)
                transmit(record.frame.with(receipt: request))
            }
        }
        phase = .restoring(Set(outstanding))
        restored(nil)
    }

    /// One of the outstanding SUBSCRIBEs is settled. When none is left, sends may go out again.
    mutating func restored(_ request: RequestID?) {
        guard case .restoring(var outstanding) = phase else { return }
        if let request { outstanding.remove(request) }
        phase = .restoring(outstanding)
        if outstanding.isEmpty { becomeReady() }
    }

    private mutating func becomeReady() {
        phase = .ready(since: now)
        due = nil
        backoff.succeeded()
        announce(.connected(version: version.text.description, server: server))
        if let connecting { succeed(connecting) }
        connecting = nil
        resend()
        admit()
    }

    // MARK: The link breaks

    /// The link is of no more use. Tries another, or gives up.
    mutating func broke(_ error: ClientError) {
        let before = phase
        effects.append(.hangUp(link, politely: false))
        dropLink(error)
        if case .closing = before { return end(nil, closersGet: error) }
        if case .ready(let since) = before {
            backoff.ended(afterMilliseconds: now.milliseconds(since: since))
        } else {
            address = (address + 1) % settings.addresses.count
        }
        if connecting != nil {
            return address == 0 ? end(error, closersGet: nil) : dial()
        }
        guard let delay = backoff.next() else { return end(error, closersGet: nil) }
        phase = .resting
        setDue(now.adding(milliseconds: delay))
        announce(.disconnected(reason: error, retryIn: .milliseconds(Int64(clamping: delay))))
    }

    /// Forgets all that belongs to this one connection.
    private mutating func dropLink(_ error: ClientError) {
        if case .connectionLost(let loss) = error { lastLoss = loss }
        due = nil
        isCongested = false
        overrun = nil
        heart = Heart(at: now)
        for id in Array(subscriptions.keys) { subscriptions[id]?.loseDeliveries() }
        for (id, request) in requests.sorted(by: { $0.key < $1.key }) {
            switch request.purpose {
            case .unsubscribe: succeed(id)
            case .restore, .replyChannel: requests[id] = nil
            case .settle, .sendInTransaction: fail(id, .connectionLost(lastLoss))
            case .commit: fail(id, .outcomeUnknown)
            case .ask(let ask): loseAsk(id, ask)
            case .connect, .send, .batch, .post, .subscribe, .begin, .next, .close: break
            }
        }
    }

    // MARK: The end

    /// Says DISCONNECT and waits for its receipt, at most so long.
    mutating func close(as request: RequestID, within milliseconds: UInt64, at now: Instant) {
        self.now = now
        let limit = now.adding(milliseconds: milliseconds)
        requests[request] = Request(.close)
        switch phase {
        case .closed:
            succeed(request)
        case .closing:
            closers.append(request)
            setDue(min(limit, due ?? limit))
        case .restoring, .ready:
            closers.append(request)
            let receipt = ownRequest(.close)
            transmit(Frame(.disconnect).with(receipt: receipt))
            phase = .closing(receipt)
            setDue(limit)
            failWhatCannotFinish()
        case .idle, .dialing, .loggingIn, .resting:
            closers.append(request)
            hangUpAndEnd(nil)
        }
    }

    /// Nobody uses the client any more: says good-bye without waiting for an answer.
    mutating func leave(at now: Instant) {
        self.now = now
        if canTransmit { transmit(Frame(.disconnect)) }
        hangUpAndEnd(nil)
    }

    mutating func hangUpAndEnd(_ reason: ClientError?, closersGet error: ClientError? = nil) {
        if hasLink { effects.append(.hangUp(link, politely: true)) }
        end(reason, closersGet: error)
    }

    /// After DISCONNECT only answers to what was said before it can still come.
    private mutating func failWhatCannotFinish() {
        endSubscriptions(nil)
        for (id, request) in requests.sorted(by: { $0.key < $1.key }) where !request.isUnconfirmed {
            switch request.purpose {
            case .send, .post, .begin, .sendInTransaction, .subscribe: fail(id, .closed)
            case .batch: endBatch(id, because: nil)
            case .unsubscribe: succeed(id)
            case .restore, .replyChannel: requests[id] = nil
            case .ask(let ask) where ask.isInFlight: fail(id, .outcomeUnknown)
            case .ask: fail(id, .closed)
            case .connect, .settle, .commit, .next, .close: break
            }
        }
    }

    /// For good. nil: because the program wanted it.
    private mutating func end(_ reason: ClientError?, closersGet error: ClientError?) {
        if case .closed = phase { return }
        phase = .closed(reason)
        due = nil
        connecting = nil
        endSubscriptions(reason)
        for closer in closers {
            if let error { fail(closer, error) } else { succeed(closer) }
        }
        closers = []
        for (id, request) in requests.sorted(by: { $0.key < $1.key }) {
            switch request.purpose {
            case .restore, .replyChannel, .close: requests[id] = nil
            case .unsubscribe: succeed(id)
            case .commit: fail(id, .outcomeUnknown)
            case .send where request.isUnconfirmed: fail(id, .outcomeUnknown)
            case .batch: endBatch(id, because: reason)
            case .ask(let ask) where ask.isInFlight: fail(id, .outcomeUnknown)
            case .connect, .ask, .send, .post, .subscribe, .settle, .begin, .sendInTransaction, .next:
                fail(id, reason ?? .closed)
            }
        }
        waiting.removeAll()
        asks.waiting.removeAll()
        transactions = [:]
        announce(.closed(reason: reason))
    }

    // MARK: Small words

    /// The socket of this link is still wanted.
    func isDialing(_ link: LinkNumber) -> Bool {
        if case .dialing = phase { return link == self.link }
        return false
    }

    /// A socket is open, or may be.
    var hasLink: Bool {
        switch phase {
        case .dialing, .loggingIn, .restoring, .ready, .closing: true
        case .idle, .resting, .closed: false
        }
    }

    /// Frames other than CONNECT may be sent.
    var canTransmit: Bool {
        switch phase {
        case .restoring, .ready: true
        case .idle, .dialing, .loggingIn, .resting, .closing, .closed: false
        }
    }

    /// Why no call can succeed any more.
    var finalError: ClientError? {
        switch phase {
        case .closing: .closed
        case .closed(let reason): reason ?? .closed
        case .idle, .dialing, .loggingIn, .restoring, .ready, .resting: nil
        }
    }

    mutating func transmit(_ frame: Frame) {
        heart.spoke(at: now)
        effects.append(.transmit(frame))
    }

    mutating func transmit(_ settlement: Settlement) {
        heart.spoke(at: now)
        effects.append(.settle(settlement))
    }

    mutating func transmit(_ batch: Batch, _ range: Range<Int>) {
        heart.spoke(at: now)
        effects.append(.transmitBatch(batch, range))
    }

    mutating func tell(_ note: Note) { effects.append(.tell(note)) }

    mutating func announce(_ state: ConnectionState) { effects.append(.announce(state)) }

    mutating func add(_ effect: Effect) { effects.append(effect) }

    /// A request that nobody waits for. Its number is out of reach of those that callers bring.
    mutating func ownRequest(_ purpose: Request.Purpose) -> RequestID {
        lastOwnRequest = RequestID(number: lastOwnRequest.number + 1)
        requests[lastOwnRequest] = Request(purpose)
        return lastOwnRequest
    }

    mutating func succeed(_ id: RequestID, _ reply: Reply = .done) { complete(id, .success(reply)) }
    mutating func fail(_ id: RequestID, _ error: ClientError) { complete(id, .failure(error)) }

    /// What most RECEIPTs are for, without a copy of the request. False: this one is for something else.
    mutating func confirmSend(_ id: RequestID) -> Bool {
        guard let request = requests.removeValue(forKey: id) else { return false }
        guard request.isUnconfirmed, case .send(_, let bytes) = request.purpose else {
            requests[id] = request
            return false
        }
        isConfirmed(bytes)
        effects.append(.complete(id, .success(.done)))
        return true
    }

    mutating func isConfirmed(_ bytes: Int) {
        unconfirmedMessages -= 1
        unconfirmedBytes -= bytes
    }

    /// Each request is completed at most once: it is forgotten here.
    private mutating func complete(_ id: RequestID, _ result: Result<Reply, ClientError>) {
        guard let request = requests.removeValue(forKey: id) else { return }
        if request.isUnconfirmed, case .send(_, let bytes) = request.purpose { isConfirmed(bytes) }
        if case .ask(let ask) = request.purpose { forgetAsk(id, ask) }
        if case .batch = request.purpose { return endBatch(id, result) }
        effects.append(.complete(id, result))
    }

    mutating func setDue(_ time: Instant) {
        due = time
        wakeBy(time)
    }

    mutating func wakeBy(_ time: Instant?) {
        guard let time else { return }
        wake = wake.map { min($0, time) } ?? time
    }

    mutating func forgetWake() { wake = nil }
}

extension Request {
    func isSubscribe(_ id: SubscriptionID) -> Bool {
        if case .subscribe(id) = purpose { return true }
        return false
    }
}
