import Base
import Glibc
import Synchronization

/// One connected socket and what is on its way in and out. Belongs to its loop and is touched there only.
///
///     open --finish--> finishing: send what is owed, SHUT_WR, read and discard --.
///       |                                                                        |
///       |  abort, peer gone, error                  peer's end, or time is up    v
///       `--------------------------------------------------------------------> ended
///
/// An idle connection owns neither a read buffer nor an outbox page.
public final class Connection {
    /// Unique in the process.
    public let id: UInt64
    public let loop: IOLoop
    public let peer: PeerAddress
    /// What is to be sent. After appending, call `markDirty()`.
    public let outbox: Outbox

    /// When bytes last came, and when bytes last really went to the socket; when the connection began,
    /// before that.
    public internal(set) var lastReceived: Instant
    public internal(set) var lastSent: Instant
    public internal(set) var bytesReceived: UInt64 = 0
    public internal(set) var bytesSent: UInt64 = 0

    enum Phase {
        case open
        /// The last word is said. `shutDown`: and sent.
        case finishing(EndReason, shutDown: Bool)
        /// `ended` will be, or was, called.
        case ended(EndReason)
    }

    var phase = Phase.open
    let descriptor: Int32
    var handler: (any ConnectionHandler)?
    private let gate: Gate?

    /// Input while we read, output while the socket is full.
    private var interest: Interest = []

    /// Bytes read and not yet done with. Small leftovers are copied in front of the next read; a large
    /// one stays here and is read into directly.
    var inbox = Buffer()
    var isPaused = false
    /// The peer sent its end.
    var sawEnd = false
    /// Writing failed because the peer is gone, but what it sent before may still be read.
    var isWriteBroken = false
    private var isDirty = false
    private var isResumeQueued = false

    var dueAt: Instant?
    var heapIndex = -1

    private static let lastID = Atomic<UInt64>(0)

    init(descriptor: Int32, peer: PeerAddress, loop: IOLoop, gate: Gate?) {
        id = Self.lastID.add(1, ordering: .relaxed).newValue
        self.descriptor = descriptor
        self.peer = peer
        self.loop = loop
        self.gate = gate
        outbox = Outbox(pool: loop.pages, settings: loop.settings)
        lastReceived = loop.now
        lastSent = loop.now
    }

    /// Starts reading.
    func open(_ handler: any ConnectionHandler) {
        self.handler = handler
        if isOpen, !isPaused { want(.input, true) }
    }

    /// A system that cannot watch the socket any more has no use for it.
    func want(_ part: Interest, _ isWanted: Bool) {
        let wanted = isWanted ? interest.union(part) : interest.subtracting(part)
        if wanted == interest { return }
        let error = loop.watch(descriptor, had: interest, wants: wanted, self)
        interest = wanted
        if let error, !wanted.isEmpty { end(.readError(error)) }
    }

    var isWaitingForRoom: Bool { interest.contains(.output) }

    public var isOpen: Bool {
        if case .open = phase { return true }
        return false
    }

    // MARK: Sending

    /// The outbox is flushed at the end of this turn. Cheap; any number of times.
    public func markDirty() {
        if isDirty { return }
        isDirty = true
        loop.enqueueDirty(self)
    }

    func flushDirty() {
        isDirty = false
        flush()
    }

    // MARK: Back-pressure

    public var isReadingPaused: Bool { isPaused }

    /// Stops reading: the peer is held back by its own kernel. A peer that disappears is noticed only
    /// when something is sent, or after `resumeReading`.
    public func pauseReading() {
        loop.preconditionOnLoop()
        guard isOpen else { return }
        isPaused = true
        want(.input, false)
    }

    /// Bytes kept from before are offered again in this turn, without waiting for more.
    public func resumeReading() {
        loop.preconditionOnLoop()
        guard isOpen, isPaused else { return }
        isPaused = false
        if !sawEnd { want(.input, true) }
        if !inbox.isEmpty, !isResumeQueued {
            isResumeQueued = true
            loop.enqueueResumed(self)
        }
    }

    func offerKept() {
        isResumeQueued = false
        offerInbox()
    }

    // MARK: Time

    /// When `deadlineReached` is called, once; it is nil then. Moving it is cheap.
    public var deadline: Instant? {
        get { isOpen ? dueAt : nil }
        set {
            loop.preconditionOnLoop()
            guard isOpen else { return }
            dueAt = newValue
            if newValue != nil { loop.schedule(self) }
        }
    }

    // MARK: The end

    /// Sends what is in the outbox, shuts down the write side, goes on reading (and discarding) for at
    /// most `drainMilliseconds` until the peer ends too, and closes: the last bytes really arrive, even
    /// at a peer that is sending at this moment. The handler hears nothing more but `ended`.
    public func finish(_ reason: EndReason) {
        loop.preconditionOnLoop()
        guard isOpen else { return }
        phase = .finishing(reason, shutDown: false)
        outbox.isClosed = true
        inbox.release()
        isPaused = false
        if !sawEnd { want(.input, true) }
        dueAt = Instant.now.adding(milliseconds: loop.settings.finishMilliseconds)
        loop.schedule(self)
        markDirty()
    }

    /// Ends at once. What was not sent is thrown away, and then the peer is told by RST, so that it
    /// does not take half a stream for a whole one.
    public func abort(_ reason: EndReason) {
        loop.preconditionOnLoop()
        if case .ended = phase { return }
        if !outbox.isEmpty { resetOnClose(descriptor) }
        end(reason)
    }

    /// The socket is of no more use. A reason given to `finish` before stays the reason.
    func end(_ reason: EndReason) {
        switch phase {
        case .ended: return
        case .finishing(let given, _): phase = .ended(given)
        case .open: phase = .ended(reason)
        }
        dueAt = nil
        outbox.isClosed = true
        outbox.clear()
        inbox.release()
        loop.forget(self)
        closeDescriptor()
        loop.enqueueEnding(self)
    }

    func tellEnded() {
        guard case .ended(let reason) = phase, let handler else { return }
        self.handler = nil
        handler.ended(on: self, reason: reason)
    }

    func tellDrained() {
        guard isOpen else { return }
        handler?.outboxDrained(on: self)
    }

    private func closeDescriptor() {
        want([.input, .output], false)
        close(descriptor)
        gate?.leave(peer)
    }
}

@available(*, unavailable)
extension Connection: Sendable {}

extension Connection: Watcher {
    func ready(_ ready: Interest) {
        let wanted = ready.intersection(interest)
        if wanted.contains(.output) { writable() }
        if wanted.contains(.input), interest.contains(.input) { readable() }
    }
}

extension Connection: Timed {
    func due(now: Instant) {
        switch phase {
        case .ended: return
        case .finishing: end(.timedOut("finish"))
        case .open:
            // After a stop (SIGSTOP, a busy machine) the timer may come before the bytes that refute it.
            if !isPaused, !sawEnd { readable() }
            guard isOpen, let due = dueAt, due <= now else { return }
            dueAt = nil
            handler?.deadlineReached(on: self, now: now)
        }
    }
}
