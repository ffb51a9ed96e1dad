import Base
import CSystem
import Glibc
import Synchronization

/// Connections, and a thread that serves them for life.
///
/// Everything happens in turns: sockets became readable or writable, a timer is due, or work was submitted. The
/// outboxes marked dirty are sent at the end of a turn, and before that when much was read, so that the kernel is
/// entered once for all that goes out.
///
///     wait -> submitted work -> sockets -> timers -> flush -> outboxDrained, ended -> (again if these made work)
///
/// Turns come one after the other, and all state is touched within a turn only. They are the thread's, but who has
/// a little work for a loop that sleeps does the turn at once, and saves the loop's being woken. The thread ends when
/// nobody needs the loop any more: while it has connections, listeners, attempts to connect or submitted work, these
/// do.
public final class IOLoop: @unchecked Sendable {  // Sendable: mutable state is only touched in a turn, under `turns`
    public let index: Int
    public let settings: LoopSettings

    /// Whatever the owner wants to keep for each loop. Set it on the loop, or before the loop has work.
    public var context: AnyObject?
    /// When the present turn began. Cheaper than asking the clock.
    public private(set) var now = Instant.now

    private struct Mail {
        var work: [@Sendable (IOLoop) -> Void] = []
        /// The loop, while there is work for it.
        var owner: IOLoop?
    }

    private let poller: Poller
    /// Held for a turn.
    private let turns = Mutex(())
    /// The thread whose turn it is; 0 for none.
    private let owner = Atomic<UInt>(0)
    /// When the thread goes on by itself.
    private var sleepsUntil = Instant(nanoseconds: 0)
    private let mailbox = Mutex(Mail())
    private var connections: [UInt64: Connection] = [:]
    /// By descriptor.
    private var watchers: [(any Watcher)?] = []

    /// Attempts whose name is being looked up on another thread, by a number that can travel there.
    private var resolving: [UInt64: ConnectAttempt] = [:]
    private var lastResolving: UInt64 = 0
    /// Work for the next turn.
    private var later: [() -> Void] = []

    private var dirty: [Connection] = []
    private var resumed: [Connection] = []
    private var drained: [Connection] = []
    private var endings: [Connection] = []
    /// Bytes read since outboxes were last flushed.
    private var unansweredBytes = 0

    private var timers = TimerHeap()

    let pages = PagePool()
    /// Connections read into this one after the other; none keeps it. Made at the first read.
    private var scratch: UnsafeMutableBufferPointer<UInt8>?
    static let scratchBytes = 256 << 10

    /// Throws when the system has no descriptors or no thread for it.
    public init(index: Int, settings: LoopSettings = LoopSettings()) throws(NetError) {
        self.index = index
        self.settings = settings
        poller = try Poller()
        let hasThread = OwnThread.run("loop \(index)") { [poller, weak self] in
            Self.serve(poller) { self }
        }
        if !hasThread { throw .system(call: "pthread_create", address: "of a loop", errno: EAGAIN) }
    }

    deinit {
        scratch?.deallocate()
        // The thread finds nobody any more.
        poller.ring()
    }

    public func preconditionOnLoop() {
        precondition(
            owner.load(ordering: .relaxed) == pthread_self(), "this belongs to a loop and is used outside of its turns")
    }

    /// Does `work` in a turn of the loop. From any thread; in the order of submission. Costs a system call only
    /// if the loop is asleep. `isLittle`: work of microseconds, which may be done before this returns; the caller
    /// holds no lock that the work could ask for.
    public func submit(isLittle: Bool = false, _ work: @escaping @Sendable (IOLoop) -> Void) {
        let isFirst = mailbox.withLock { mail in
            mail.work.append(work)
            if mail.work.count > 1 { return false }
            mail.owner = self
            return true
        }
        if !isFirst || isLittle && poller.isAsleep && visit() { return }
        poller.ring()
    }

    /// A turn on a thread that is not the loop's. False if the loop has one just now.
    private func visit() -> Bool {
        // On a visit already.
        if owner.load(ordering: .relaxed) == pthread_self() { return false }
        let planned = turns.withLockIfAvailable { _ in
            let planned = sleepsUntil
            return takeTurn(UnsafeBufferPointer(start: nil, count: 0)) < planned
        }
        // The thread sleeps by the plan of its own last turn.
        if planned == true { poller.ring() }
        return planned != nil
    }

    private func emptyMailbox() {
        let mail = mailbox.withLock { mail in
            if mail.work.isEmpty { return Mail() }
            let taken = mail
            mail = Mail()
            return taken
        }
        for piece in mail.work { piece(self) }
    }

    // MARK: The thread

    private static let mostEvents = 128

    private static func serve(_ poller: Poller, _ loop: () -> IOLoop?) {
        let events = UnsafeMutableBufferPointer<csystem_event>.allocate(capacity: mostEvents)
        defer { events.deallocate() }
        var until = Instant(nanoseconds: 0)
        while true {
            let count = poller.wait(events, milliseconds: milliseconds(until: until))
            // Held for a turn only: asleep, the thread keeps nobody alive.
            guard let loop = loop() else { return }
            until = loop.turns.withLock { _ in loop.takeTurn(UnsafeBufferPointer(rebasing: events[..<count])) }
        }
    }

    /// Rounded up: a deadline is never met early. -1 stands for ever.
    private static func milliseconds(until: Instant) -> Int32 {
        if until.nanoseconds == .max { return -1 }
        let current = until.nanoseconds == 0 ? until : Instant.now
        if until <= current { return 0 }
        return Int32(clamping: (until.nanoseconds - current.nanoseconds - 1) / 1_000_000 + 1)
    }

    /// `watcher` is told, turn by turn, as long as `descriptor` is ready for what it wants; with an empty
    /// interest not any more. Nil, or the error number. Closing a descriptor that is watched is an error.
    func watch(_ descriptor: Int32, had: Interest, wants: Interest, _ watcher: any Watcher) -> Int32? {
        let place = Int(descriptor)
        while watchers.count <= place { watchers.append(nil) }
        watchers[place] = wants.isEmpty ? nil : watcher
        return poller.set(descriptor, had: had, wants: wants)
    }

    // MARK: Connections

    public var connectionCount: Int {
        preconditionOnLoop()
        return connections.count
    }

    /// Nil once the connection has ended.
    public func connection(_ id: UInt64) -> Connection? {
        preconditionOnLoop()
        return connections[id]
    }

    /// In no particular order. `body` may end connections.
    public func forEachConnection(_ body: (Connection) -> Void) {
        preconditionOnLoop()
        for connection in Array(connections.values) where connection.isOpen { body(connection) }
    }

    /// Takes over a connected socket: from here on the loop reads it, and closes it. On the loop.
    public func adopt(descriptor: Int32, peer: PeerAddress, handler: (Connection) -> any ConnectionHandler) {
        _ = adopt(descriptor: descriptor, peer: peer, gate: nil, handler: handler)
    }

    func adopt(
        descriptor: Int32, peer: PeerAddress, gate: Gate?, handler: (Connection) -> any ConnectionHandler
    ) -> Connection {
        preconditionOnLoop()
        let connection = Connection(descriptor: descriptor, peer: peer, loop: self, gate: gate)
        connections[connection.id] = connection
        connection.open(handler(connection))
        return connection
    }

    func forget(_ connection: Connection) {
        connections[connection.id] = nil
        timers.remove(connection)
    }

    /// Connects without waiting: tries each address that `address` stands for, in the time given
    /// altogether. On the loop; `then` is called on the loop, exactly once, after this has returned.
    @discardableResult
    public func connect(
        to address: SocketAddress, timeoutMilliseconds: UInt64,
        then: @escaping (Result<Connection, NetError>) -> Void,
        handler: @escaping (Connection) -> any ConnectionHandler
    ) -> ConnectAttempt {
        preconditionOnLoop()
        let attempt = ConnectAttempt(
            address, milliseconds: timeoutMilliseconds, loop: self, then: then, handler: handler)
        attempt.startClock()
        if address.isNumeric {
            later.append { attempt.begin(with: address.resolved()) }
            return attempt
        }
        lastResolving += 1
        let ticket = lastResolving
        resolving[ticket] = attempt
        // The system's resolver blocks.
        let hasThread = OwnThread.run("resolver") {
            let found = address.resolved()
            self.submit { $0.resolving.removeValue(forKey: ticket)?.begin(with: found) }
        }
        if !hasThread {
            later.append { [self] in
                let failure = NetError.system(call: "pthread_create", address: address.description, errno: EAGAIN)
                resolving.removeValue(forKey: ticket)?.begin(with: .failure(failure))
            }
        }
        return attempt
    }

    // MARK: Turns

    /// All that is due, by who holds `turns`. Returns until when there is nothing to do.
    private func takeTurn(_ events: UnsafeBufferPointer<csystem_event>) -> Instant {
        owner.store(pthread_self(), ordering: .relaxed)
        defer { owner.store(0, ordering: .relaxed) }
        now = Instant.now
        emptyMailbox()
        for event in events {
            let place = Int(event.descriptor)
            // The bell is nobody's; and what comes before it in this turn may have ended a connection.
            guard place < watchers.count, let watcher = watchers[place] else { continue }
            watcher.ready(Interest(rawValue: event.ready))
            // Who was read from first does not wait for the answers to all.
            if unansweredBytes >= Self.mostUnanswered { _ = carryOut() }
        }
        callDue()
        if !later.isEmpty {
            let due = later
            later = []
            for piece in due { piece() }
        }
        var rounds = 0
        while carryOut(), rounds < Self.mostRounds { rounds += 1 }
        let isDone = rounds < Self.mostRounds && later.isEmpty
        sleepsUntil = isDone ? timers.next ?? Instant(nanoseconds: .max) : Instant(nanoseconds: 0)
        return sleepsUntil
    }

    private static let mostUnanswered = 128 << 10

    /// A connection has read so much.
    func noteRead(_ count: Int) { unansweredBytes += count }

    /// Handlers that answer every drained outbox with more could keep a turn going for ever; after so
    /// many rounds the other events of the loop come first.
    private static let mostRounds = 4

    /// True if handlers were called that may have made more work.
    private func carryOut() -> Bool {
        if !resumed.isEmpty {
            for connection in take(&resumed) { connection.offerKept() }
        }
        unansweredBytes = 0
        if !dirty.isEmpty {
            for connection in take(&dirty) { connection.flushDirty() }
        }
        let more = !drained.isEmpty || !endings.isEmpty
        if !drained.isEmpty {
            for connection in take(&drained) { connection.tellDrained() }
        }
        if !endings.isEmpty {
            for connection in take(&endings) { connection.tellEnded() }
        }
        return more || !dirty.isEmpty || !resumed.isEmpty
    }

    private func take(_ list: inout [Connection]) -> [Connection] {
        let taken = list
        list = []
        return taken
    }

    func enqueueDirty(_ connection: Connection) {
        preconditionOnLoop()
        dirty.append(connection)
    }

    func enqueueResumed(_ connection: Connection) { resumed.append(connection) }
    func enqueueDrained(_ connection: Connection) { drained.append(connection) }
    func enqueueEnding(_ connection: Connection) { endings.append(connection) }

    /// The scratch buffer, for the time of one read.
    func borrowScratch() -> UnsafeMutableBufferPointer<UInt8> {
        if let scratch { return scratch }
        let fresh = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: Self.scratchBytes)
        scratch = fresh
        return fresh
    }

    // MARK: Timers

    /// Does `work` on the loop after so many milliseconds, never before. On the loop.
    @discardableResult
    public func after(milliseconds: UInt64, _ work: @escaping () -> Void) -> LoopTimer {
        preconditionOnLoop()
        let timer = LoopTimer(at: Instant.now.adding(milliseconds: milliseconds), work: work)
        schedule(timer)
        return timer
    }

    func schedule(_ target: any Timed) { timers.schedule(target) }

    /// Each target at most once a turn, so that deadlines set in the past cannot hold the loop.
    private func callDue() {
        var most = timers.count
        while most > 0, let target = timers.popDue(now: now) {
            most -= 1
            target.due(now: now)
        }
    }
}
