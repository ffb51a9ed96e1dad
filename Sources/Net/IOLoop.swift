import Base
import Dispatch
import Glibc
import Synchronization

/// One serial Dispatch queue that owns its connections for life.
///
/// Everything happens in turns: a socket became readable or writable, a timer is due, or work was
/// submitted. At the end of a turn `beforeFlush` is called and then the outboxes marked dirty are sent,
/// so the owner enters shared state once for all that came in, and the kernel once for all that goes out.
///
///     event -> handlers -> beforeFlush -> flush -> outboxDrained, ended -> (again if these made work)
///
/// All state is touched on `queue` only.
public final class IOLoop: @unchecked Sendable {  // Sendable: mutable state is confined to `queue`
    public let index: Int
    public let queue: DispatchQueue
    public let settings: LoopSettings

    /// Whatever the owner wants to keep for each loop. Set it on the loop, or before the loop has work.
    public var context: AnyObject?
    /// Called on the loop after the work of each turn, before outboxes are flushed; again in the same
    /// turn when `outboxDrained` or `ended` was called. Set it on the loop, or before the loop has work.
    public var beforeFlush: (() -> Void)?
    /// When the present turn began. Cheaper than asking the clock.
    public private(set) var now = Instant.now

    private let mailbox = Mutex<[@Sendable (IOLoop) -> Void]>([])
    private var connections: [UInt64: Connection] = [:]
    private var isInTurn = false
    private var isTurnPosted = false

    /// Attempts whose name is being looked up on another thread, by a number that can travel there.
    private var resolving: [UInt64: ConnectAttempt] = [:]
    private var lastResolving: UInt64 = 0
    /// Work for the next turn that comes.
    private var later: [() -> Void] = []

    private var dirty: [Connection] = []
    private var resumed: [Connection] = []
    private var drained: [Connection] = []
    private var endings: [Connection] = []

    private var timers = TimerHeap()
    private var timerSource: (any DispatchSourceTimer)?
    private var timerArmedFor: Instant?

    let pages = PagePool()
    /// Connections read into this one after the other; none keeps it. Made at the first read.
    private var scratch: UnsafeMutableBufferPointer<UInt8>?
    static let scratchBytes = 256 << 10

    public init(index: Int, settings: LoopSettings = LoopSettings()) {
        self.index = index
        self.settings = settings
        queue = DispatchQueue(label: "net.loop.\(index)", qos: .userInitiated)
        DispatchTimers.prepare()
    }

    deinit {
        timerSource?.cancel()
        scratch?.deallocate()
    }

    public func preconditionOnLoop() {
        dispatchPrecondition(condition: .onQueue(queue))
    }

    /// Does `work` in a turn of the loop. From any thread; in the order of submission. Wakes the loop
    /// only if nothing else was waiting.
    public func submit(_ work: @escaping @Sendable (IOLoop) -> Void) {
        let isFirst = mailbox.withLock { box in
            box.append(work)
            return box.count == 1
        }
        if isFirst { queue.async { self.turn { self.emptyMailbox() } } }
    }

    private func emptyMailbox() {
        let work = mailbox.withLock { box in
            let taken = box
            box = []
            return taken
        }
        for piece in work { piece(self) }
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
        needTurn()
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
            postTurn()
            return attempt
        }
        lastResolving += 1
        let ticket = lastResolving
        resolving[ticket] = attempt
        DispatchQueue.global().async {
            let found = address.resolved()
            self.submit { $0.resolving.removeValue(forKey: ticket)?.begin(with: found) }
        }
        return attempt
    }

    // MARK: Turns

    /// A turn: `work`, and then everything that follows from it.
    func turn(_ work: () -> Void) {
        isInTurn = true
        now = Instant.now
        work()
        if !later.isEmpty {
            let due = later
            later = []
            for piece in due { piece() }
        }
        var rounds = 0
        while carryOut(), rounds < Self.mostRounds { rounds += 1 }
        isInTurn = false
        if rounds == Self.mostRounds { postTurn() }
        armTimer()
    }

    /// Handlers that answer every drained outbox with more could keep a turn going for ever; after so
    /// many rounds the other events of the loop come first.
    private static let mostRounds = 4

    /// True if handlers were called that may have made more work.
    private func carryOut() -> Bool {
        if !resumed.isEmpty {
            for connection in take(&resumed) { connection.offerKept() }
        }
        beforeFlush?()
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

    /// Makes sure that a turn ends after this point.
    private func needTurn() {
        if !isInTurn { postTurn() }
    }

    private func postTurn() {
        if isTurnPosted { return }
        isTurnPosted = true
        queue.async {
            self.isTurnPosted = false
            self.turn {}
        }
    }

    func enqueueDirty(_ connection: Connection) {
        preconditionOnLoop()
        dirty.append(connection)
        needTurn()
    }

    func enqueueResumed(_ connection: Connection) {
        resumed.append(connection)
        needTurn()
    }

    func enqueueDrained(_ connection: Connection) {
        drained.append(connection)
        needTurn()
    }

    func enqueueEnding(_ connection: Connection) {
        endings.append(connection)
        needTurn()
    }

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

    func schedule(_ target: any Timed) {
        timers.schedule(target)
        needTurn()
    }

    /// One source serves all deadlines. It is set again only when something earlier came.
    private func armTimer() {
        guard let next = timers.next else { return }
        if let timerArmedFor, timerArmedFor <= next { return }
        timerArmedFor = next
        let current = Instant.now
        let wait = next > current ? next.nanoseconds - current.nanoseconds : 0
        let source = timerSource ?? makeTimerSource()
        source.schedule(
            deadline: .now() + .nanoseconds(Int(min(wait, Self.longestWait))), leeway: .milliseconds(1))
    }

    /// One hour; a timer that fires early is set again.
    private static let longestWait: UInt64 = 3_600_000_000_000

    private func makeTimerSource() -> any DispatchSourceTimer {
        let source = DispatchSource.makeTimerSource(queue: queue)
        source.setEventHandler { [weak self] in
            guard let self else { return }
            self.timerArmedFor = nil
            self.turn { self.callDue() }
        }
        source.activate()
        timerSource = source
        return source
    }

    /// Each target at most once a turn, so that deadlines set in the past cannot hold the loop.
    private func callDue() {
        var most = timers.count
        while most > 0, let target = timers.popDue(now: now) {
            most -= 1
            target.due(now: now)
        }
    }
}
