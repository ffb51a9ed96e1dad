import CSystem
import Glibc

/// Accepts connections and spreads them over loops, one after the other.
///
/// Bound and listening once made: what comes then waits in the kernel until `start`. Lives until
/// `stop`; connections it handed over live on.
public final class Listener: @unchecked Sendable {  // Sendable: mutable state is confined to `home`
    /// Where it listens, with the real port if 0 was asked for. Several for "*" and for names with
    /// several addresses; all have the same port.
    public let boundAddresses: [SocketAddress]
    public var boundAddress: SocketAddress { boundAddresses[0] }

    private let sockets: [ListeningSocket]
    private let loops: [IOLoop]
    private let limits: ListenerLimits
    private let gate: Gate
    private let makeHandler: @Sendable (Connection) -> any ConnectionHandler
    private let onPause: (@Sendable (NetError) -> Void)?
    private let lastWord: (@Sendable (PeerAddress, Admission.Refusal) -> [UInt8])?

    /// The loop that accepts.
    private let home: IOLoop
    /// One for each socket, once it has started.
    private var doors: [Door] = []
    private var isAccepting = false
    private var isStopped = false
    private var isPaused = false
    private var nextLoop = 0

    /// `home` is the loop that accepts, the first of `loops` if it is not given; `makeHandler` is called on the loop
    /// that got the connection. `onPause` is called on `home` each time that accepting has to pause after it had
    /// worked: the system is out of descriptors or memory, and will be asked again after `pauseMilliseconds`.
    ///
    /// `admission`: counts the connections of several listeners together; its limits stand in for those of
    /// `limits`. `lastWord` makes what a peer is told before it is turned away; called on `home`.
    /// What the peer's kernel does not take at once is lost.
    public init(
        address: SocketAddress, loops: [IOLoop], home: IOLoop? = nil, limits: ListenerLimits = ListenerLimits(),
        admission: Admission? = nil, onPause: (@Sendable (NetError) -> Void)? = nil,
        lastWord: (@Sendable (PeerAddress, Admission.Refusal) -> [UInt8])? = nil,
        makeHandler: @escaping @Sendable (Connection) -> any ConnectionHandler
    ) throws(NetError) {
        precondition(!loops.isEmpty)
        sockets = try Self.open(address, limits)
        boundAddresses = sockets.map(\.bound)
        self.loops = loops
        self.limits = limits
        self.onPause = onPause
        self.lastWord = lastWord
        self.makeHandler = makeHandler
        gate = Gate(
            admission
                ?? Admission(maxConnections: limits.maxConnections, maxPerAddress: limits.maxPerAddress))
        self.home = home ?? loops[0]
    }

    deinit {
        // Never started: its loop knows nothing of it.
        if !isStopped { closeSockets() }
    }

    public func counters() -> ListenerCounters { gate.counters }

    /// Begins to accept.
    public func start() {
        home.submit { _ in
            if self.isStopped || !self.doors.isEmpty { return }
            self.doors = self.sockets.map { Door($0.descriptor, of: self) }
            self.setAccepting(true)
        }
    }

    /// Accepts nothing more; `completed` is called when the sockets are closed and a Unix socket's file
    /// is gone. Any number of times.
    public func stop(completed: (@Sendable () -> Void)? = nil) {
        home.submit { _ in
            if !self.isStopped {
                self.isStopped = true
                self.setAccepting(false)
                self.doors = []
                self.closeSockets()
            }
            completed?()
        }
    }

    // MARK: Sockets

    /// Binds every address that `address` stands for. Those that this machine cannot have (no IPv6, for
    /// example) are passed over as long as one remains.
    private static func open(_ address: SocketAddress, _ limits: ListenerLimits) throws(NetError) -> [ListeningSocket] {
        var opened: [ListeningSocket] = []
        var missing: NetError?
        var port: UInt16?
        for var raw in try address.resolve() {
            if let port { raw.port = port }
            do throws(NetError) {
                let socket = try ListeningSocket(raw, of: address, backlog: limits.backlog)
                if address.port == 0 { port = socket.bound.port }
                opened.append(socket)
            } catch .system(let call, let name, let error) where error == EAFNOSUPPORT || error == EADDRNOTAVAIL {
                missing = .system(call: call, address: name, errno: error)
            } catch {
                for socket in opened { close(socket.descriptor) }
                throw error
            }
        }
        if opened.isEmpty { throw missing ?? .unresolvable(address.description, why: "no address") }
        return opened
    }

    private func closeSockets() {
        for socket in sockets {
            socket.removeFile()
            close(socket.descriptor)
        }
    }

    // MARK: Accepting

    /// A listening socket, as its loop sees it. Keeps the listener until it is stopped.
    private final class Door: Watcher {
        let descriptor: Int32
        private let listener: Listener

        init(_ descriptor: Int32, of listener: Listener) {
            self.descriptor = descriptor
            self.listener = listener
        }

        func ready(_ ready: Interest) { listener.acceptWaiting(descriptor) }
    }

    private func setAccepting(_ on: Bool) {
        if on == isAccepting { return }
        isAccepting = on
        for door in doors {
            let had: Interest = on ? [] : .input
            if let error = home.watch(door.descriptor, had: had, wants: on ? .input : [], door) {
                // Without memory for a watch it is as without descriptors: a little later there may be some.
                return pause(error)
            }
        }
    }

    /// Accepted in one wake-up at most, so that a pause or a stop is not kept waiting.
    private static let mostAccepts = 64

    private func acceptWaiting(_ descriptor: Int32) {
        if isStopped { return }
        for _ in 0..<Self.mostAccepts {
            var raw = RawAddress()
            let accepted = raw.withMutablePointer { csystem_accept(descriptor, $0, &$1) }
            if accepted >= 0 {
                isPaused = false
                hand(accepted, PeerAddress(raw))
                continue
            }
            switch errno {
            case EAGAIN: return
            // The connection died while it waited, or the network did: the next one may be well.
            case EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH,
                EOPNOTSUPP, ENETUNREACH:
                continue
            default:
                pause(errno)
                return
            }
        }
    }

    private func hand(_ descriptor: Int32, _ peer: PeerAddress) {
        do throws(Admission.Refusal) {
            try gate.enter(peer)
        } catch {
            turnAway(descriptor, peer, error)
            return
        }
        let loop = loops[nextLoop]
        nextLoop = (nextLoop + 1) % loops.count
        loop.submit { [gate, makeHandler] loop in
            _ = loop.adopt(descriptor: descriptor, peer: peer, gate: gate, handler: makeHandler)
        }
    }

    private func turnAway(_ descriptor: Int32, _ peer: PeerAddress, _ reason: Admission.Refusal) {
        if let word = lastWord?(peer, reason), !word.isEmpty {
            let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
            _ = send(descriptor, word, word.count, flags)
            shutdown(descriptor, Int32(SHUT_WR))
            // Closing over bytes that nobody has read would reset the connection, and with it the last word.
            withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { room in
                _ = recv(descriptor, room.baseAddress, room.count, Int32(MSG_DONTWAIT))
            }
        }
        close(descriptor)
    }

    /// Out of descriptors or memory: the socket stays readable, so without a pause this would spin.
    private func pause(_ error: Int32) {
        setAccepting(false)
        if !isPaused {
            isPaused = true
            gate.paused()
            onPause?(.system(call: "accept", address: boundAddress.description, errno: error))
        }
        home.after(milliseconds: UInt64(max(1, limits.pauseMilliseconds))) {
            if !self.isStopped { self.setAccepting(true) }
        }
    }
}
