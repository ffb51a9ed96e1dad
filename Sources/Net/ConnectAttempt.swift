import Base
import Glibc

/// A connection being made by `IOLoop.connect`. Loop-confined; the loop keeps it as long as needed.
public final class ConnectAttempt {
    public let address: SocketAddress

    private let loop: IOLoop
    private let milliseconds: UInt64
    private let deadline: Instant
    private var makeHandler: ((Connection) -> any ConnectionHandler)?
    private var then: ((Result<Connection, NetError>) -> Void)?

    private var candidates: [RawAddress] = []
    private var tried = 0
    private var lastError: NetError
    private var timer: LoopTimer?
    /// A socket whose connection is on its way.
    private var pending: (descriptor: Int32, candidate: RawAddress)?

    init(
        _ address: SocketAddress, milliseconds: UInt64, loop: IOLoop,
        then: @escaping (Result<Connection, NetError>) -> Void,
        handler: @escaping (Connection) -> any ConnectionHandler
    ) {
        self.address = address
        self.loop = loop
        self.milliseconds = milliseconds
        self.then = then
        makeHandler = handler
        deadline = Instant.now.adding(milliseconds: milliseconds)
        lastError = .timedOut(address.description, milliseconds: milliseconds)
    }

    /// The attempt is given up; `then` hears `.cancelled`. Harmless when it is over.
    public func cancel() {
        loop.preconditionOnLoop()
        conclude(.failure(.cancelled(address.description)))
    }

    var isOver: Bool { then == nil }

    func begin(with resolved: Result<[RawAddress], NetError>) {
        if isOver { return }
        switch resolved {
        case .failure(let error): conclude(.failure(error))
        case .success(let found):
            candidates = found
            tryNext()
        }
    }

    /// The time runs while the name is being looked up, too.
    func startClock() {
        timer = loop.after(milliseconds: milliseconds) { [weak self] in self?.timeIsUp() }
    }

    private func timeIsUp() {
        conclude(.failure(.timedOut(address.description, milliseconds: milliseconds)))
    }

    /// Each address gets an equal part of the time that is left.
    private func tryNext() {
        timer?.cancel()
        let left = deadline.milliseconds(since: Instant.now)
        guard tried < candidates.count else { return conclude(.failure(lastError)) }
        guard left > 0 else { return timeIsUp() }
        let candidate = candidates[tried]
        let share = max(1, left / UInt64(candidates.count - tried))
        tried += 1
        switch makeSocket(candidate.family) {
        case .failure(let error): failed("socket", error.number)
        case .success(let descriptor): connect(descriptor, candidate, Instant.now.adding(milliseconds: share))
        }
    }

    private func failed(_ call: String, _ error: Int32) {
        lastError =
            switch error {
            case ECONNREFUSED: .refused(address.description)
            case ETIMEDOUT: .timedOut(address.description, milliseconds: milliseconds)
            default: .system(call: call, address: address.description, errno: error)
            }
        tryNext()
    }

    private func connect(_ descriptor: Int32, _ candidate: RawAddress, _ until: Instant) {
        if candidate.family != AF_UNIX { setConnectionOptions(descriptor) }
        let result = candidate.withPointer { Glibc.connect(descriptor, $0, $1) }
        if result == 0 { return connected(descriptor, candidate) }
        let error = errno
        switch error {
        case EINPROGRESS, EINTR: wait(descriptor, candidate, until)
        case EAGAIN where candidate.family == AF_UNIX:
            close(descriptor)
            tryAgainSoon()
        default:
            close(descriptor)
            failed("connect", error)
        }
    }

    /// The backlog of a Unix socket is full. There is no event for that, so it is asked again.
    private func tryAgainSoon() {
        tried -= 1
        timer = loop.after(milliseconds: 10) { [self] in tryNext() }
    }

    private func wait(_ descriptor: Int32, _ candidate: RawAddress, _ until: Instant) {
        pending = (descriptor, candidate)
        if let error = loop.watch(descriptor, had: [], wants: .output, self) {
            pending = nil
            close(descriptor)
            return failed("epoll_ctl", error)
        }
        let left = until.milliseconds(since: Instant.now)
        timer = loop.after(milliseconds: max(1, left)) { [weak self] in self?.waited(ETIMEDOUT) }
    }

    private func waited(_ outcome: Int32) {
        guard let (descriptor, candidate) = takePending() else { return }
        if outcome == 0 {
            connected(descriptor, candidate)
        } else {
            close(descriptor)
            failed("connect", outcome)
        }
    }

    private func takePending() -> (descriptor: Int32, candidate: RawAddress)? {
        guard let pending else { return nil }
        self.pending = nil
        _ = loop.watch(pending.descriptor, had: .output, wants: [], self)
        return pending
    }

    private func connected(_ descriptor: Int32, _ candidate: RawAddress) {
        // TCP may connect a free port of this machine to itself; nobody listens there.
        if candidate.family != AF_UNIX, let local = RawAddress.local(of: descriptor),
            let remote = RawAddress.remote(of: descriptor), PeerAddress(local) == PeerAddress(remote)
        {
            close(descriptor)
            return failed("connect", ECONNREFUSED)
        }
        guard let makeHandler else {
            close(descriptor)
            return
        }
        let connection = loop.adopt(
            descriptor: descriptor, peer: PeerAddress(candidate), gate: nil, handler: makeHandler)
        conclude(.success(connection))
    }

    private func conclude(_ result: Result<Connection, NetError>) {
        guard let then else { return }
        self.then = nil
        makeHandler = nil
        timer?.cancel()
        timer = nil
        if let left = takePending() { close(left.descriptor) }
        then(result)
    }
}

extension ConnectAttempt: Watcher {
    func ready(_ ready: Interest) {
        guard let pending else { return }
        waited(pendingError(pending.descriptor))
    }
}
