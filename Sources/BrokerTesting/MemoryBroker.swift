import Base
import BrokerClient
import BrokerCore
import Sessions

/// The broker's core and sessions in one thread. What loops, threads and a disk do in the daemon is done here at once
/// and in order, and time is what it is told.
///
/// Everything is called in turns of `VirtualLoop`.
final class MemoryBroker {
    private(set) var now: Moment
    private(set) var connections: [UInt64: MemoryConnection] = [:]
    private var core = Core()
    private var storage = MemoryStorage()
    private var effects = Effects(loops: 1)
    private var batch = CommandBatch()
    private var pages = Deque<PageWanted>()
    private let settings: SessionSettings
    private let memoryBytes: Int
    private var isShort = false
    /// The next to write is heard, and cut off before it hears of it.
    var losesNextAnswer = false
    private var lastConnection: UInt64 = 0
    private(set) var lastTick: Instant

    init(memoryBytes: Int, now: Moment) {
        self.now = now
        self.memoryBytes = memoryBytes
        lastTick = now.monotonic
        var settings = SessionSettings()
        // A link in memory is never silent because it broke.
        settings.heartBeat = 0
        settings.storeTag = "test"
        settings.bootTag = "run"
        settings.server = "brokerd/testing"
        self.settings = settings
        core.storeTag = settings.storeTag
        core.dedupKey = (1, 1)
        core.restore(policies: [], note: [])
        tick()
    }

    // MARK: Connections

    func accept(_ handler: any CarriedHandler) -> MemoryConnection {
        lastConnection += 1
        let connection = MemoryConnection(id: lastConnection, to: handler, settings: settings, now: now.monotonic)
        connections[lastConnection] = connection
        return connection
    }

    private var inOrder: [MemoryConnection] { connections.keys.sorted().compactMap { connections[$0] } }

    /// Brings everything over that was written, both ways, until nothing moves.
    func carry() {
        var hasMoved = true
        while hasMoved {
            hasMoved = false
            for connection in inOrder {
                if connection.mayBeRead {
                    receive(connection)
                    hasMoved = true
                }
                if connection.handOver() { hasMoved = true }
                reportTaken(connection)
                if bury(connection) { hasMoved = true }
            }
        }
    }

    /// A connection that is over is forgotten. False if it lives.
    private func bury(_ connection: MemoryConnection) -> Bool {
        guard connection.isOver else { return false }
        let code: String
        switch connection.end {
        case nil: return false
        case .byClient: code = "finished"
        case .byBroker: code = "peer-closed"
        case .cut(let word): code = word
        }
        leave(connection)
        connections[connection.id] = nil
        connection.handler.ended(code: code)
        return true
    }

    // MARK: The core

    /// Enters the core; what it wants stored is stored before anything else happens.
    private func enter<R>(_ body: (inout Core, inout Effects) -> R) -> R {
        core.now = now
        let result = body(&core, &effects)
        while !effects.batches.isEmpty {
            let batches = effects.batches
            effects.batches.removeAll(keepingCapacity: true)
            for batch in batches { storage.apply(batch) }
            core.durable(through: storage.durable, into: &effects)
        }
        for page in effects.pages { pages.append(page) }
        effects.pages.removeAll()
        return result
    }

    /// For what no client asked for: an operator's work, and time.
    @discardableResult
    func operate<R>(_ body: (inout Core, inout Effects) -> R) -> R {
        let result = enter(body)
        carryOut()
        return result
    }

    private func carryOut() {
        repeat {
            let (deliveries, kicks, holds) = (effects.deliveries[0], effects.kicks, effects.holds)
            effects.clear()
            for delivery in deliveries.flatMap(\.single) { write(delivery) }
            for hold in holds { connections[hold.address.connection]?.heldUntil = hold.until }
            for kick in kicks { connections[kick.address.connection].map { end($0, SessionError(kick.refusal)) } }
            if let wanted = pages.popFirst() { answer(wanted) }
        } while effects.hasDeliveries || !effects.kicks.isEmpty || !effects.holds.isEmpty || !pages.isEmpty
        watchMemory()
    }

    private func answer(_ wanted: PageWanted) {
        let page = storage.page(wanted)
        enter { core, effects in
            core.page(wanted, messages: page.messages, resumeAt: page.resumeAt, failure: nil, into: &effects)
        }
    }

    private func write(_ delivery: Delivery) {
        guard let connection = connections[delivery.connection], connection.isOpen else { return }
        connection.unreported += Int(delivery.content.count) + 128
        if connection.session.deliver(delivery, into: &connection.toClient) { connection.hasNews = true }
    }

    /// There is no disk that could be short; what a run-away test sends must be bounded all the same.
    private func watchMemory() {
        let limit = isShort ? memoryBytes / 2 : memoryBytes
        guard (storage.bytes > limit) != isShort else { return }
        isShort = storage.bytes > limit
        let sentence = isShort ? "the messages of the test broker take more than \(memoryBytes) bytes" : nil
        core.now = now
        core.setDisk(short: sentence, into: &effects)
    }

    // MARK: A connection's input

    private func receive(_ connection: MemoryConnection) {
        connection.lastReceived = now.monotonic
        // Frames may be rewritten in place, and the client may write on meanwhile.
        var input = Buffer()
        swap(&input, &connection.toBroker)
        repeat {
            if connection.isDeaf { return }
            let used = takeBatch(connection, input.readable)
            input.consume(min(used, input.count))
        } while connection.session.hasMore
        // Part of a frame: it waits for its rest.
        connection.rest(input)
        if losesNextAnswer {
            losesNextAnswer = false
            connection.cut(code: "peer-reset")
        }
    }

    private func takeBatch(_ connection: MemoryConnection, _ bytes: UnsafeMutableBufferPointer<UInt8>) -> Int {
        let used = connection.session.receive(bytes, received: connection.received, now: now, batch: &batch)
        var (done, refusal, required): (Int, Refusal?, UInt64) = (0, nil, 0)
        let isNew = connection.coreID == nil && connection.session.isConnected
        if !batch.isEmpty || isNew || (connection.coreID != nil && connection.session.willEnd) {
            enter { core, effects in
                let id =
                    connection.coreID
                    ?? core.open(
                        SessionAddress(loop: 0, connection: connection.id), login: Array(connection.session.login.utf8))
                connection.coreID = id
                (done, refusal, required) = batch.commands.withUnsafeBufferPointer {
                    core.apply($0, extras: batch.extras, of: id, now: now, into: &effects)
                }
                if refusal != nil || connection.session.willEnd {
                    core.close(id, into: &effects)
                    connection.coreID = nil
                }
            }
        }
        connection.session.commit(
            done: done, refusal: refusal, batch: batch, required: required, durable: storage.durable,
            into: &connection.toClient)
        connection.hasNews = true
        batch.clear()
        carryOut()
        if connection.session.isOver { finish(connection) }
        return used
    }

    private func finish(_ connection: MemoryConnection) {
        leave(connection)
        connection.finishByBroker()
    }

    private func leave(_ connection: MemoryConnection) {
        guard let id = connection.coreID else { return }
        connection.coreID = nil
        operate { core, effects in core.close(id, into: &effects) }
    }

    private func end(_ connection: MemoryConnection, _ error: SessionError) {
        if connection.session.isEnding { return }
        leave(connection)
        connection.session.end(error, durable: storage.durable, into: &connection.toClient)
        connection.hasNews = true
        finish(connection)
    }

    /// What the client has taken makes room for more.
    private func reportTaken(_ connection: MemoryConnection) {
        guard connection.unreported > 0, connection.toClient.isEmpty, let id = connection.coreID else { return }
        let command = [Command.flushed(bytes: connection.unreported)]
        connection.unreported = 0
        connection.lastSent = now.monotonic
        operate { core, effects in
            _ = command.withUnsafeBufferPointer {
                core.apply($0, extras: CommandExtras(), of: id, now: now, into: &effects)
            }
        }
    }

    // MARK: Time

    /// When something here is due; nil: never. The core's own second (`tick`) not counted.
    var nextDue: Instant? {
        var next: Instant?
        func consider(_ time: Instant?) {
            guard let time else { return }
            next = next.map { min($0, time) } ?? time
        }
        if let wall = core.nextWake {
            consider(now.monotonic.adding(milliseconds: wall > now.wall ? wall - now.wall : 0))
        }
        for connection in connections.values {
            consider(connection.heldUntil)
            consider(
                connection.session.nextDeadline(
                    lastReceived: connection.lastReceived, lastSent: connection.lastSent))
        }
        return next
    }

    /// Time has passed.
    func pass(to now: Moment) {
        self.now = now
        if let due = core.nextWake, due <= now.wall { operate { core, effects in core.wake(into: &effects) } }
        for connection in inOrder where connection.isOpen {
            if let until = connection.heldUntil, until <= now.monotonic { connection.heldUntil = nil }
            let due = connection.session.due(
                now: now.monotonic, lastReceived: connection.lastReceived, lastSent: connection.lastSent,
                isReading: connection.heldUntil == nil, received: connection.received)
            if case .end(let error) = due { end(connection, error) }
        }
    }

    /// What the core looks at about once a second.
    func tick() {
        lastTick = now.monotonic
        operate { core, effects in core.tick(now: now, into: &effects) }
    }

    // MARK: What tests see

    func view(of queue: String) -> Core.QueueView? {
        core.now = now
        return core.queueView(named: Array(queue.utf8))
    }
}
