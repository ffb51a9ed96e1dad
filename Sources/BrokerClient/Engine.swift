import Base
import Net
import STOMP
import Synchronization

/// Carries out what the conversation wants: sockets, time, and the tasks that wait.
///
/// Calls come in on any thread and connections live on a loop; both meet in one `Mutex` around the
/// conversation. What belongs to the loop is left there as a chore, and the loop woken once for all of them.
/// Continuations are resumed, and user code can run, only outside of the lock.
final class Engine: Sendable {
    typealias Outcome = Result<Reply, ClientError>

    /// For the loop to do.
    enum Chore: Sendable {
        case dial(LinkNumber, address: Int)
        case hangUp(LinkNumber, politely: Bool)
        case resumeReading(LinkNumber)
        case announce(ConnectionState, number: UInt64)
        case wake(at: Instant)
    }

    struct Shared: ~Copyable {
        var conversation: Conversation
        var waiters: [RequestID: CheckedContinuation<Outcome, Never>] = [:]
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

    let options: ClientOptions
    let circuits: CircuitBoard
    private let watchers = Watchers()
    private let addresses: [SocketAddress]
    private let loop: IOLoop
    private let shared: Mutex<Shared>
    private let lastNumber = Atomic<UInt64>(0)

    init(_ addresses: [String], _ options: ClientOptions) throws(ClientError) {
        var parsed: [SocketAddress] = []
        for address in addresses {
            do throws(NetError) {
                parsed.append(try SocketAddress(parsing: address))
            } catch {
                throw ClientError(error, address: address)
            }
        }
        guard !parsed.isEmpty else { throw .invalidAddress("", reason: "no address is given") }
        if let login = options.login { try Headers.checkLiteral("login", login) }
        if let host = options.host { try Headers.checkLiteral("host", host) }
        self.addresses = parsed
        self.options = options
        circuits = CircuitBoard(options.circuitBreaker)
        do throws(NetError) { loop = try ClientLoops.next() } catch { throw ClientError(error, address: addresses[0]) }
        shared = Mutex(Shared(Conversation(ConversationSettings(addresses, options))))
    }

    /// Unique in the life of this client.
    func nextNumber() -> UInt64 { lastNumber.add(1, ordering: .relaxed).newValue }

    /// For a SEND that is tried several times.
    func newDedupID() -> String {
        let number = nextNumber()
        return shared.withLock { "\($0.conversation.settings.identity)-\(number)" }
    }

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
        Instant.now.adding(milliseconds: (timeout ?? options.timeout).wholeMilliseconds)
    }

    // MARK: Calls

    /// Starts a request and waits for its outcome. When the task is cancelled, so is the request.
    nonisolated(nonsending) func call(
        _ start: (inout Conversation, RequestID, Instant) -> Void
    ) async throws(ClientError) -> Reply {
        let id = RequestID(number: nextNumber())
        let outcome: Outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { return continuation.resume(returning: .failure(.cancelled)) }
                // A task cancelled before the lock is taken: the handler found nothing, so this looks itself.
                // Cancelled later: the handler waits for the lock and finds the request.
                enter { shared in
                    shared.waiters[id] = continuation
                    start(&shared.conversation, id, Instant.now)
                    if Task.isCancelled { shared.conversation.cancel(id, at: Instant.now) }
                }
            }
        } onCancel: {
            apply { $0.cancel(id, at: $1) }
        }
        return try outcome.get()
    }

    /// SEND, as `Client.send` says.
    nonisolated(nonsending) func send(
        _ frame: Frame, _ confirmation: Confirmation, deadline: Instant
    ) async throws(ClientError) {
        _ = try await call { $0.send(frame, confirmation, as: $1, deadline: deadline, at: $2) }
    }

    /// An event that nobody waits for.
    func apply(_ event: (inout Conversation, Instant) -> Void) {
        enter { event(&$0.conversation, Instant.now) }
    }

    /// An event with an answer.
    func ask<R: Sendable>(_ event: (inout Conversation, Instant) throws(ClientError) -> R) throws(ClientError) -> R {
        var answer: Result<R, ClientError>?
        enter { shared in
            do throws(ClientError) {
                answer = .success(try event(&shared.conversation, Instant.now))
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
        var resumptions: [(waiter: CheckedContinuation<Outcome, Never>, outcome: Outcome)] = []
        var cancelled: Task<Void, Never>?
        var mustWake = false
    }

    /// The only door to the conversation. On the loop, chores are done before anybody is resumed.
    private func enter(on loop: IOLoop? = nil, _ body: (inout Shared) -> Void) {
        var aftermath = Aftermath()
        shared.withLock { shared in
            body(&shared)
            absorb(&shared, &aftermath)
            guard !shared.chores.isEmpty || !shared.output.isEmpty, !shared.isLoopWoken else { return }
            shared.isLoopWoken = true
            aftermath.mustWake = true
        }
        aftermath.cancelled?.cancel()
        if aftermath.mustWake {
            if let loop { doChores(on: loop) } else { self.loop.submit { self.doChores(on: $0) } }
        }
        for (waiter, outcome) in aftermath.resumptions { waiter.resume(returning: outcome) }
    }

    /// Effects become bytes, chores and resumptions.
    private func absorb(_ shared: inout Shared, _ aftermath: inout Aftermath) {
        for effect in shared.conversation.takeEffects() {
            switch effect {
            case .dial(let link, let address):
                shared.chores.append(.dial(link, address: address))
            case .transmit(let frame):
                frame.encode(version: shared.conversation.version, into: &shared.output)
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
                shared.chores.append(.announce(state, number: shared.stateNumber))
            }
        }
        if shared.output.count > Self.outputBytes, !shared.conversation.isCongested {
            shared.conversation.setCongested(true, on: shared.conversation.link, at: Instant.now)
        }
        if let wake = shared.conversation.wake, shared.timer.map({ wake < $0 }) ?? true {
            shared.timer = wake
            shared.chores.append(.wake(at: wake))
        }
    }

    // MARK: On the loop

    /// Output first: it was said before the chores were set, and belongs to the socket they may close.
    private func doChores(on loop: IOLoop) {
        var output = Buffer()
        var chores: [Chore] = []
        var socket: (link: LinkNumber, connection: UInt64)?
        shared.withLock { shared in
            swap(&output, &shared.output)
            swap(&chores, &shared.chores)
            socket = shared.socket
            shared.isLoopWoken = false
        }
        let connection = socket.flatMap { loop.connection($0.connection) }
        if let connection {
            connection.outbox.append(UnsafeBufferPointer(output.readable))
            connection.markDirty()
        }
        for chore in chores { carryOut(chore, on: loop) }
        reuse(output, isCongested: connection?.outbox.isOverHighMark ?? false, link: socket?.link, on: loop)
    }

    /// Gives the empty memory back for the next frames, and says whether the socket takes more.
    private func reuse(_ output: consuming Buffer, isCongested: Bool, link: LinkNumber?, on loop: IOLoop) {
        let mustTell = shared.withLock { shared in
            if shared.output.allocated == 0, output.allocated <= Self.outputBytes {
                output.clear()
                swap(&output, &shared.output)
            }
            return shared.conversation.isCongested != isCongested && shared.output.count <= Self.outputBytes
        }
        if mustTell, let link { congestion(isCongested, link: link, on: loop) }
    }

    private func carryOut(_ chore: Chore, on loop: IOLoop) {
        switch chore {
        case .dial(let link, let address): dial(link, addresses[address])
        case .hangUp(let link, let politely): hangUp(link, politely, on: loop)
        case .resumeReading(let link): connection(of: link, on: loop)?.resumeReading()
        case .announce(let state, let number): watchers.announce(state, number)
        case .wake(let time): setTimer(for: time, on: loop)
        }
    }

    private func connection(of link: LinkNumber, on loop: IOLoop) -> Connection? {
        let id = shared.withLock { $0.socket?.link == link ? $0.socket?.connection : nil }
        return id.flatMap { loop.connection($0) }
    }

    private func hangUp(_ link: LinkNumber, _ politely: Bool, on loop: IOLoop) {
        let connection = connection(of: link, on: loop)
        shared.withLock { if $0.socket?.link == link { $0.socket = nil } }
        if politely { connection?.finish(.finished("closed")) } else { connection?.abort(.aborted("given-up")) }
    }

    // MARK: Time

    private func setTimer(for time: Instant, on loop: IOLoop) {
        // Rounded up, so that it never comes too early and has to be set again.
        let milliseconds = time.milliseconds(since: loop.now).addingSaturated(1)
        loop.after(milliseconds: milliseconds) { [weak self] in self?.timerFired(for: time, on: loop) }
    }

    /// A timer that was overtaken by an earlier one does nothing.
    private func timerFired(for time: Instant, on loop: IOLoop) {
        var socket: UInt64?
        let isCurrent = shared.withLock { shared in
            guard shared.timer == time else { return false }
            shared.timer = nil
            socket = shared.socket?.connection
            return true
        }
        guard isCurrent else { return }
        // By way of the connection's deadline, which reads first what the socket holds: after this process was
        // stopped for a while, silence must not be judged before the bytes that refute it.
        if let connection = socket.flatMap({ loop.connection($0) }), connection.isOpen {
            connection.deadline = loop.now
        } else {
            tick(on: loop)
        }
    }

    func tick(on loop: IOLoop) {
        enter(on: loop) { $0.conversation.tick(at: Instant.now) }
    }

    // MARK: Connecting

    private func dial(_ link: LinkNumber, _ address: SocketAddress) {
        guard let passcode = options.passcode else { return open(link, address, passcode: nil) }
        let asking = Task { [weak self] in
            do {
                let text = try await passcode()
                try Headers.checkLiteral("passcode", text)
                self?.open(link, address, passcode: text)
            } catch {
                self?.failed(link, (error as? ClientError) ?? .credentialsFailed(reason: "\(error)"))
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

    private func open(_ link: LinkNumber, _ address: SocketAddress, passcode: String?) {
        loop.submit { loop in
            let timeout = self.options.connectTimeout.wholeMilliseconds
            _ = loop.connect(to: address, timeoutMilliseconds: timeout) { result in
                switch result {
                case .success(let connection): self.opened(link, connection, passcode: passcode, on: loop)
                case .failure(let error): self.failed(link, ClientError(error, address: address.description))
                }
            } handler: { _ in
                Link(link, of: self)
            }
        }
    }

    private func opened(_ link: LinkNumber, _ connection: Connection, passcode: String?, on loop: IOLoop) {
        let id = connection.id
        var isWanted = false
        enter(on: loop) { shared in
            isWanted = shared.conversation.opened(link, passcode: passcode, at: Instant.now)
            if isWanted { shared.socket = (link, id) }
        }
        if !isWanted { connection.abort(.aborted("not-wanted")) }
    }

    // MARK: What a link reports

    /// Returns how many of the frames were taken; see `Conversation.received`.
    func received(_ frames: [Frame], on link: LinkNumber, _ loop: IOLoop) -> Int {
        var taken = 0
        enter(on: loop) { shared in
            let now = Instant.now
            shared.conversation.heard(link, at: now)
            for frame in frames {
                guard shared.conversation.received(frame, on: link, at: now) else { break }
                taken += 1
            }
        }
        return taken
    }

    func congestion(_ isCongested: Bool, link: LinkNumber, on loop: IOLoop) {
        enter(on: loop) { $0.conversation.setCongested(isCongested, on: link, at: Instant.now) }
    }

    func ended(_ link: LinkNumber, _ error: ClientError, on loop: IOLoop) {
        enter(on: loop) { $0.conversation.ended(link, error, at: Instant.now) }
    }
}

extension ClientError {
    init(_ error: NetError, address: String) {
        switch error {
        case .invalidAddress(let text, let why): self = .invalidAddress(text, reason: why)
        case .timedOut: self = .connectTimedOut(address: address)
        default: self = .connectFailed(address: address, reason: "\(error)")
        }
    }
}

extension ConversationSettings {
    init(_ addresses: [String], _ options: ClientOptions) {
        let random = (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max))
        self.init(
            addresses: addresses,
            identity: String(random.0, radix: 36) + String(random.1, radix: 36),
            seed: .random(in: .min ... .max),
            login: options.login,
            host: options.host,
            heartBeat: HeartBeat(
                sends: options.heartBeat.sends.wholeMilliseconds,
                wants: options.heartBeat.wants.wholeMilliseconds),
            connectTimeoutMilliseconds: options.connectTimeout.wholeMilliseconds,
            reconnect: options.reconnect,
            unconfirmedMessages: max(1, options.unconfirmedMessages),
            unconfirmedBytes: max(1, options.unconfirmedBytes),
            requestsInFlight: max(1, options.requestsInFlight),
            failsWhenBusy: options.whenRequestsAreMany == .fail)
    }
}

/// The loops that all clients of this process share. Two: more would only help a program that moves millions of
/// messages a second.
enum ClientLoops {
    private static let all = Mutex<[IOLoop]>([])
    private static let turn = Atomic<Int>(0)

    /// Throws if the system has no descriptors or threads for them now.
    static func next() throws(NetError) -> IOLoop {
        try all.withLock { (all) throws(NetError) in
            while all.count < 2 { all.append(try IOLoop(index: all.count)) }
            return all[turn.add(1, ordering: .relaxed).oldValue & 1]
        }
    }
}
