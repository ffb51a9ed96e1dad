import Base
import STOMP
import Synchronization

/// Carries out what the conversation wants: connections, time, and the tasks that wait.
///
/// Calls come in on any thread and connections live on the loop of a `Carrier`; both meet in one lock around the
/// conversation. What belongs to the loop is left there as a chore, and the loop woken once for all of them. Confirmed SENDs,
/// of which many tasks can have many, do not even meet there: they are left at the door, and the loop lets in all that
/// stand there at once, so that they share a write. Continuations are resumed, and user code can run, only outside of the locks.
final class Engine: Sendable {
    typealias Outcome = Result<Reply, ClientError>

    /// For the loop to do.
    enum Chore: Sendable {
        case dial(LinkNumber, address: Int)
        case hangUp(LinkNumber, politely: Bool)
        case resumeReading(LinkNumber)
        case announce(ConnectionState, number: UInt64)
        case tell(Note)
        case wake(at: Instant)
    }

    /// Unsafe means that nothing checks what `Shared.waiters` is for: who waits is taken out of there, and resumed, once.
    typealias Waiter = UnsafeContinuation<Outcome, Never>

    struct Shared: ~Copyable, Sendable {
        var conversation: Conversation
        var waiters: [RequestID: Waiter] = [:]
        /// Frames that the loop has not taken yet.
        var output = Buffer()
        var chores: [Chore] = []
        var isLoopWoken = false
        /// The open socket: which link it belongs to, and its number on the loop.
        var socket: (link: LinkNumber, connection: UInt64)?
        var asking: Task<Void, Never>?
        /// The earliest timer that is set.
        var timer: Instant?
        var state: ConnectionState
        /// Counts the states, so that none is told twice.
        var stateNumber: UInt64 = 0

        init(_ conversation: Conversation) {
            self.conversation = conversation
            state = .connecting(address: conversation.settings.addresses[0])
        }
    }

    /// More than this many bytes that the loop has not taken yet are taken for a full socket.
    private static let outputBytes = 1 << 20

    /// Memory for more effects at once is given back.
    private static let effectsKept = 1_000

    let options: ClientOptions
    let circuits: CircuitBoard
    /// See `ConversationSettings.identity`.
    private let identity: String
    private let watchers = Watchers()
    private let carrier: any Carrier
    private let shared: SpinningLock<Shared>
    /// Taken inside of the other lock, or alone.
    private let door = SpinningLock(Door())
    private let lastNumber = Atomic<UInt64>(0)
    private let anchor = EngineAnchor()

    convenience init(_ addresses: [String], _ options: ClientOptions) throws(ClientError) {
        try self.init(through: try SocketCarrier(addresses), addresses, options)
    }

    /// `addresses` are for errors and states; the carrier knows what they mean.
    init(through carrier: any Carrier, _ addresses: [String], _ options: ClientOptions) throws(ClientError) {
        if let login = options.login { try Headers.checkLiteral("login", login) }
        if let host = options.host { try Headers.checkLiteral("host", host) }
        self.carrier = carrier
        self.options = options
        circuits = CircuitBoard(options.circuitBreaker, options.observer) { carrier.now }
        let settings = ConversationSettings(addresses, options)
        identity = settings.identity
        shared = SpinningLock(Shared(Conversation(settings)))
    }

    var clock: ClientClock { ClientClock(carrier) }
    var now: Instant { carrier.now }

    /// Unique in the life of this client.
    func nextNumber() -> UInt64 { lastNumber.add(1, ordering: .relaxed).newValue }

    /// For a SEND that is tried several times.
    func newDedupID() -> String { "\(identity)-\(nextNumber())" }

    var state: ConnectionState { shared.withLock { $0.state } }

    func states() -> AsyncStream<ConnectionState> {
        shared.withLock { watchers.stream(from: $0.state, $0.stateNumber) }
    }

    /// Messages received for this subscription and not yet asked for.
    func buffered(of id: SubscriptionID) -> Int {
        shared.withLock { $0.conversation.subscriptions[id]?.buffer.count ?? 0 }
    }

    var requestCounters: RequestCounters {
        shared.withLock { RequestCounters($0.conversation.asks) }
    }

    /// See `Message.isHeld`.
    func holds(_ delivery: Delivery) -> Bool {
        shared.withLock { $0.conversation.holds(delivery) }
    }

    func deadline(_ timeout: Duration?) -> Instant {
        carrier.now.adding(milliseconds: (timeout ?? options.timeout).wholeMilliseconds)
    }

    // MARK: Calls

    /// From here on there is something to do, unless the task is cancelled already.
    nonisolated(nonsending) func connect() async throws(ClientError) {
        _ = try await call {
            anchor.hold(self)
            $0.connect(as: $1, at: $2)
        }
    }

    /// Starts a request and waits for its outcome. When the task is cancelled, so is the request.
    nonisolated(nonsending) func call(
        _ start: (inout Conversation, RequestID, Instant) -> Void
    ) async throws(ClientError) -> Reply {
        try await call(as: RequestID(number: nextNumber()), start)
    }

    private nonisolated(nonsending) func call(
        as id: RequestID, _ start: (inout Conversation, RequestID, Instant) -> Void
    ) async throws(ClientError) -> Reply {
        let outcome: Outcome = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                if Task.isCancelled { return continuation.resume(returning: .failure(.cancelled)) }
                // A task cancelled before the lock is taken: the handler found nothing, so this looks itself.
                // Cancelled later: the handler waits for the lock and finds the request.
                enter { shared in
                    shared.waiters[id] = continuation
                    start(&shared.conversation, id, carrier.now)
                    if Task.isCancelled { shared.conversation.cancel(id, at: carrier.now) }
                }
            }
        } onCancel: {
            apply { $0.cancel(id, at: $1) }
        }
        return try outcome.get()
    }

    /// SEND, as `Client.send` says.
    nonisolated(nonsending) func send(
        _ frame: consuming Frame, _ confirmation: Confirmation, deadline: Instant
    ) async throws(ClientError) {
        let frame = frame
        if confirmation == .none {
            // Done when it is on its way, so it has nothing to wait for at the door.
            _ = try await call { $0.send(frame, .none, as: $1, deadline: deadline, at: $2) }
        } else {
            try await sendConfirmed(frame, deadline: deadline)
        }
    }

    private nonisolated(nonsending) func sendConfirmed(
        _ frame: consuming Frame, deadline: Instant
    ) async throws(ClientError) {
        let id = RequestID(number: nextNumber())
        let frame = frame.confirmable(as: id, identity)
        let bytes = frame.weight
        let outcome: Outcome = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                if Task.isCancelled { return continuation.resume(returning: .failure(.cancelled)) }
                arrive(
                    Door.Arrival(id: id, frame: frame, bytes: bytes, deadline: deadline, waiter: continuation))
                // As in `call`: cancelled before it stood at the door, the handler found nothing.
                if Task.isCancelled { apply { $0.cancel(id, at: $1) } }
            }
        } onCancel: {
            apply { $0.cancel(id, at: $1) }
        }
        _ = try outcome.get()
    }

    func newBatch(_ messages: [Outgoing]) -> Batch {
        let last = lastNumber.add(UInt64(messages.count), ordering: .relaxed).newValue
        return Batch(messages, from: last - UInt64(messages.count) + 1, identity: identity)
    }

    /// Many by one call, answered as `Conversation.send` says.
    nonisolated(nonsending) func send(_ batch: Batch, deadline: Instant) async throws(ClientError) -> Reply {
        try await call(as: batch.id) { conversation, _, now in conversation.send(batch, deadline: deadline, at: now) }
    }

    private func arrive(_ arrival: Door.Arrival) {
        let mustWake = door.withLock { $0.arrive(arrival) }
        if mustWake { carrier.submit { self.doChores(letsIn: true) } }
    }

    /// Under the lock: those who came first are let in first, whatever happens next.
    private func letIn(_ shared: inout Shared) {
        var arrivals = door.withLock { $0.takeAll() }
        if arrivals.isEmpty { return }
        let now = carrier.now
        while let arrival = arrivals.popFirst() {
            shared.waiters[arrival.id] = arrival.waiter
            shared.conversation.sendConfirmed(
                arrival.frame, bytes: arrival.bytes, as: arrival.id, deadline: arrival.deadline, at: now)
        }
    }

    /// An event that nobody waits for.
    func apply(_ event: (inout Conversation, Instant) -> Void) {
        enter { event(&$0.conversation, carrier.now) }
    }

    /// An event with an answer.
    func ask<R: Sendable>(_ event: (inout Conversation, Instant) throws(ClientError) -> R) throws(ClientError) -> R {
        var answer: Result<R, ClientError>?
        enter { shared in
            do throws(ClientError) {
                answer = .success(try event(&shared.conversation, carrier.now))
            } catch {
                answer = .failure(error)
            }
        }
        guard let answer else { throw .closed }
        return try answer.get()
    }

    // MARK: Under the lock

    /// What may only be done without the lock, since it can run the code of others.
    private struct Aftermath {
        var resumptions: [(waiter: Waiter, outcome: Outcome)] = []
        var cancelled: Task<Void, Never>?
        var mustWake = false
    }

    /// The way to the conversation, besides the rounds of the loop (`doChores`). Calls come behind those who stand at the
    /// door; on the loop, which brings what came from outside, chores are done before anybody is resumed, also those that
    /// the loop was woken for already.
    private func enter(onLoop: Bool = false, _ body: (inout Shared) -> Void) {
        var aftermath = Aftermath()
        shared.withLock { shared in
            if !onLoop { letIn(&shared) }
            body(&shared)
            absorb(&shared, &aftermath)
            guard !shared.chores.isEmpty || !shared.output.isEmpty, onLoop || !shared.isLoopWoken else { return }
            shared.isLoopWoken = true
            aftermath.mustWake = true
        }
        aftermath.cancelled?.cancel()
        if aftermath.mustWake {
            if onLoop { doChores(letsIn: false) } else { carrier.submit { self.doChores(letsIn: true) } }
        }
        for (waiter, outcome) in aftermath.resumptions { waiter.resume(returning: outcome) }
    }

    /// Effects become bytes, chores and resumptions.
    private func absorb(_ shared: inout Shared, _ aftermath: inout Aftermath) {
        var count = 0
        while let effect = shared.conversation.takeEffect() {
            count += 1
            switch effect {
            case .dial(let link, let address):
                shared.chores.append(.dial(link, address: address))
            case .transmit(let frame):
                frame.encode(version: shared.conversation.version, into: &shared.output)
            case .settle(let settlement):
                settlement.encode(version: shared.conversation.version, into: &shared.output)
            case .transmitBatch(let batch, let range):
                let version = shared.conversation.version
                for index in range { batch.encode(index, version: version, into: &shared.output) }
            case .heartBeat:
                shared.output.append(10)
            case .hangUp(let link, let politely):
                if !politely { shared.output.clear() }
                aftermath.cancelled = shared.asking
                shared.asking = nil
                shared.chores.append(.hangUp(link, politely: politely))
            case .resumeReading(let link):
                shared.chores.append(.resumeReading(link))
            case .complete(let id, let outcome):
                guard let waiter = shared.waiters.removeValue(forKey: id) else { continue }
                aftermath.resumptions.append((waiter, outcome))
            case .announce(let state):
                shared.state = state
                shared.stateNumber += 1
                if case .closed = state { anchor.letGo() }
                shared.chores.append(.announce(state, number: shared.stateNumber))
            case .tell(let note):
                if options.observer.hearsNotes { shared.chores.append(.tell(note)) }
            }
        }
        if count > Self.effectsKept { shared.conversation.shrinkEffects() }
        if shared.output.count > Self.outputBytes, !shared.conversation.isCongested {
            shared.conversation.setCongested(true, on: shared.conversation.link, at: carrier.now)
        }
        if let wake = shared.conversation.wake, shared.timer.map({ wake < $0 }) ?? true {
            shared.timer = wake
            shared.chores.append(.wake(at: wake))
        }
    }

    // MARK: On the loop

    /// Output first: it was said before the chores were set, and belongs to the socket they may close.
    private func doChores(letsIn: Bool) {
        var aftermath = Aftermath()
        var output = Buffer()
        var chores: [Chore] = []
        var socket: (link: LinkNumber, connection: UInt64)?
        // Whoever comes from here on wakes the loop again.
        if letsIn { door.withLock { $0.open() } }
        shared.withLock { shared in
            if letsIn { letIn(&shared) }
            absorb(&shared, &aftermath)
            swap(&output, &shared.output)
            swap(&chores, &shared.chores)
            socket = shared.socket
            shared.isLoopWoken = false
        }
        aftermath.cancelled?.cancel()
        let connection = socket.flatMap { carrier.connection($0.connection) }
        if let connection, !output.isEmpty {
            connection.write(UnsafeBufferPointer(output.readable))
            options.observer.measure(.bytesOut, .count(output.count))
        }
        for chore in chores { carryOut(chore) }
        for (waiter, outcome) in aftermath.resumptions { waiter.resume(returning: outcome) }
        reuse(output, isCongested: connection?.isCongested ?? false, link: socket?.link)
    }

    /// Gives the empty memory back for the next frames, and says whether the socket takes more.
    private func reuse(_ output: consuming Buffer, isCongested: Bool, link: LinkNumber?) {
        let mustTell = shared.withLock { shared in
            if shared.output.allocated == 0, output.allocated <= Self.outputBytes {
                output.clear()
                swap(&output, &shared.output)
            }
            return shared.conversation.isCongested != isCongested && shared.output.count <= Self.outputBytes
        }
        if mustTell, let link { congestion(isCongested, link: link) }
    }

    private func carryOut(_ chore: Chore) {
        switch chore {
        case .dial(let link, let address): dial(link, address)
        case .hangUp(let link, let politely): hangUp(link, politely)
        case .resumeReading(let link): connection(of: link)?.resumeReading()
        case .announce(let state, let number):
            watchers.announce(state, number)
            options.observer.told(state)
        case .tell(let note): options.observer.told(note)
        case .wake(let time): setTimer(for: time)
        }
    }

    private func connection(of link: LinkNumber) -> (any CarriedConnection)? {
        let id = shared.withLock { $0.socket?.link == link ? $0.socket?.connection : nil }
        return id.flatMap { carrier.connection($0) }
    }

    private func hangUp(_ link: LinkNumber, _ politely: Bool) {
        let connection = connection(of: link)
        shared.withLock { if $0.socket?.link == link { $0.socket = nil } }
        if politely { connection?.finish(code: "closed") } else { connection?.abort(code: "given-up") }
    }

    // MARK: Time

    private func setTimer(for time: Instant) {
        // Too early, it would have to be set again.
        let milliseconds = time.millisecondsRoundedUp(since: carrier.now)
        carrier.after(milliseconds: milliseconds) { [anchor] in anchor.engine?.timerFired(for: time) }
    }

    /// A timer that was overtaken by an earlier one does nothing.
    private func timerFired(for time: Instant) {
        var socket: UInt64?
        let isCurrent = shared.withLock { shared in
            guard shared.timer == time else { return false }
            shared.timer = nil
            socket = shared.socket?.connection
            return true
        }
        guard isCurrent else { return }
        // By way of the connection, which reads first what the socket holds: after this process was stopped for a
        // while, silence must not be judged before the bytes that refute it.
        if let connection = socket.flatMap({ carrier.connection($0) }), connection.isOpen {
            connection.tickSoon()
        } else {
            tick()
        }
    }

    func tick() {
        enter(onLoop: true) { $0.conversation.tick(at: carrier.now) }
    }

    // MARK: Connecting

    private func dial(_ link: LinkNumber, _ address: Int) {
        guard let passcode = options.passcode else { return open(link, address, passcode: nil) }
        let asking = Task { [anchor] in
            do {
                let text = try await passcode()
                try Headers.checkLiteral("passcode", text)
                anchor.engine?.open(link, address, passcode: text)
            } catch {
                anchor.engine?.failed(link, (error as? ClientError) ?? .credentialsFailed(reason: "\(error)"))
            }
        }
        let isWanted = shared.withLock { shared in
            guard shared.conversation.isDialing(link) else { return false }
            shared.asking = asking
            return true
        }
        if !isWanted { asking.cancel() }
    }

    private func failed(_ link: LinkNumber, _ error: ClientError) {
        apply { $0.ended(link, error, at: $1) }
    }

    private func open(_ link: LinkNumber, _ address: Int, passcode: String?) {
        let timeout = options.connectTimeout.wholeMilliseconds
        carrier.dial(address: address, timeoutMilliseconds: timeout) { result in
            switch result {
            case .success(let connection): self.opened(link, connection, passcode: passcode)
            case .failure(let error): self.failed(link, error)
            }
        } handler: {
            Link(link, of: self)
        }
    }

    private func opened(_ link: LinkNumber, _ connection: any CarriedConnection, passcode: String?) {
        let id = connection.id
        var isWanted = false
        enter(onLoop: true) { shared in
            isWanted = shared.conversation.opened(link, passcode: passcode, at: carrier.now)
            if isWanted { shared.socket = (link, id) }
        }
        if !isWanted { connection.abort(code: "not-wanted") }
    }

    // MARK: What a link reports

    /// Returns how many of the frames were taken; see `Conversation.received`.
    func received(_ frames: [Incoming], on link: LinkNumber) -> Int {
        var taken = 0
        enter(onLoop: true) { shared in
            let now = carrier.now
            shared.conversation.heard(link, at: now)
            loop: for frame in frames {
                switch frame {
                case .receipt(let request): shared.conversation.received(receipt: request, on: link, at: now)
                case .frame(let frame): shared.conversation.received(frame, on: link, at: now)
                case .message(let message):
                    guard shared.conversation.received(message, on: link, at: now) else { break loop }
                }
                taken += 1
            }
            shared.conversation.admitAfterReceipts(at: now)
        }
        return taken
    }

    /// A message found no room on this link, and there is none yet. Who makes some has the loop resume reading, so it does not
    /// happen between this answer and what the loop does on it.
    func isOverrun(_ link: LinkNumber) -> Bool {
        shared.withLock { $0.conversation.link == link && $0.conversation.overrun != nil }
    }

    func congestion(_ isCongested: Bool, link: LinkNumber) {
        enter(onLoop: true) { $0.conversation.setCongested(isCongested, on: link, at: carrier.now) }
    }

    func ended(_ link: LinkNumber, _ error: ClientError) {
        enter(onLoop: true) { $0.conversation.ended(link, error, at: carrier.now) }
    }
}
