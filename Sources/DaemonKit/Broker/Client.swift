import Base
import BrokerCore
import Net
import Sessions

/// One client: its connection on one side, its session on the other. Loop-confined.
final class Client: ConnectionHandler {
    let home: ClientLoop
    /// Its hold on us ends when it does.
    let connection: Connection
    let id: UInt64
    var session: Session
    private(set) var coreID: SessionID?
    let since: UInt64
    /// Bytes delivered that the core does not know to have left.
    private(set) var unreported = 0
    private(set) var delivered: UInt64 = 0
    var isOwing = false
    var isWaiting = false
    var holds = ClientHolds()
    var rate = SendRate()
    /// What was paid for of what came in.
    var paid = (messages: UInt64(0), bytes: UInt64(0))
    var isAdmitted = false
    /// Whose limits it shares.
    var user: Account?
    var address: Account?
    var counted = Account.Open()
    private var hasEnded = false
    /// When a heart-beat was last due: it may still wait behind what the client does not read.
    private var lastBeat = Instant(nanoseconds: 0)
    /// The peer has shut down its write side.
    private var peerIsDone = false

    init(home: ClientLoop, connection: Connection, id: UInt64, token: String) {
        self.home = home
        self.connection = connection
        self.id = id
        since = wallClockMilliseconds()
        session = Session(settings: home.settings, token: token, now: .now)
        connection.deadline = session.nextDeadline(lastReceived: .now, lastSent: .now)
        address = connection.peer.limitKey.flatMap {
            home.broker.accounts.enter(.address($0), now: home.loop.now)
        }
    }

    // MARK: In

    func received(_ bytes: UnsafeMutableBufferPointer<UInt8>, on connection: Connection) -> Int {
        if home.isStopping { end(ClientLoop.goodbye) }
        var used = 0
        repeat {
            // Writing what came before may have ended the connection, and its buffer with it.
            if session.isEnding || !connection.isOpen { return bytes.count }
            used += takeBatch(UnsafeMutableBufferPointer(rebasing: bytes[used...]))
        } while session.hasMore
        return used
    }

    private func takeBatch(_ bytes: UnsafeMutableBufferPointer<UInt8>) -> Int {
        let now = home.broker.clock.moment(at: home.loop.now)
        if user != nil { allowForUser() }
        let used = session.receive(bytes, received: connection.bytesReceived, now: now, batch: &home.batch)
        var done = 0
        var refusal: Refusal?
        var required: UInt64 = 0
        if !admit() {
            session.refuse(Self.tooMany(home.limits.connectionsOfUser))
            home.batch.clear()
        } else if !home.batch.isEmpty || (coreID == nil && session.isConnected) || (coreID != nil && session.willEnd) {
            home.enter(commitsLater: home.mayWaitForDisk) { core, effects in
                let id = openIfNeeded(&core)
                (done, refusal, required) = home.batch.commands.withUnsafeBufferPointer {
                    core.apply($0, extras: home.batch.extras, of: id, now: now, into: &effects)
                }
                if refusal != nil || session.willEnd {
                    // From here on nobody takes what the core would still deliver to this session.
                    core.close(id, into: &effects)
                    coreID = nil
                }
            }
            home.writeMail()
        }
        commit(done: done, refusal: refusal, required: required)
        home.batch.clear()
        // Before any mail is read: what has become durable meanwhile must find us waiting.
        if session.waitsForDisk { home.waitForDisk(self) }
        home.carryOut()
        home.commit(hasWaiting: session.waitsForDisk)
        settle()
        if required > 0 { home.holdIfBehind(self) }
        pay(now: now.monotonic)
        countForUser()
        setDeadline()
        return used
    }

    private func openIfNeeded(_ core: inout Core) -> SessionID {
        if let coreID { return coreID }
        let opened = core.open(
            SessionAddress(loop: home.loop.index, connection: id), login: Array(session.login.utf8))
        coreID = opened
        return opened
    }

    private func commit(done: Int, refusal: Refusal?, required: UInt64) {
        let durable = home.broker.durable
        connection.outbox.withTail { out in
            session.commit(
                done: done, refusal: refusal, batch: home.batch, required: required, durable: durable, into: &out)
        }
        connection.markDirty()
    }

    /// After anything that may have changed what is owed.
    private func settle() {
        if session.waitsForDisk { home.waitForDisk(self) }
        if session.isOver {
            finish()
        } else if connection.outbox.isOverHighMark || session.owedBytes > connection.outbox.highBytes {
            connection.pauseReading()
        }
    }

    private func finish() {
        if hasEnded { return }
        hasEnded = true
        leaveCore()
        connection.finish(.finished(session.endCode ?? "finished"))
    }

    /// The core forgets the session and gives what it held to others.
    private func leaveCore() {
        guard let coreID else { return }
        self.coreID = nil
        home.enter { core, effects in core.close(coreID, into: &effects) }
        home.carryOut()
    }

    func receivedEnd(on connection: Connection) {
        // A half-closed client may still be owed RECEIPTs; only then do we keep its connection.
        peerIsDone = true
        if !session.waitsForDisk { finish() }
    }

    // MARK: Out

    /// All are for this client.
    func deliver(_ run: UnsafeBufferPointer<Delivery>) {
        guard let first = run.baseAddress else { return }
        var bytes = 0
        var start = 0
        while start < run.count {
            var room = 0
            var end = start
            repeat {
                let count = (first + end).pointee.bytes.count
                room += count + 512
                bytes += count + 128
                end += 1
            } while end < run.count && room < Self.deliveryBytes
            connection.outbox.withTail(room: room) { out in
                for index in start..<end {
                    _ = session.deliver(first + index, for: (first + index).pointee.slot, into: &out)
                }
            }
            start = end
        }
        unreported += bytes
        delivered &+= UInt64(run.count)
        connection.markDirty()
    }

    /// The same messages as others of their audience get; `bytes` is what they count for.
    func deliver(
        _ run: UnsafeBufferPointer<Delivery>, for slot: UInt32, bytes: Int, sharing frames: inout SharedFrames
    ) {
        guard let first = run.baseAddress else { return }
        if let room = session.size(of: run, for: slot, in: &frames) {
            connection.outbox.withTail(room: room) { session.write(frames, into: &$0) }
        } else {
            connection.outbox.withTail(room: bytes) { out in
                for index in run.indices { _ = session.deliver(first + index, for: slot, into: &out) }
            }
        }
        unreported += bytes
        delivered &+= UInt64(run.count)
        connection.markDirty()
    }

    /// Written in one go, about: a fraction of a page of the outbox.
    static let deliveryBytes = 8 << 10

    func release(durable: UInt64) {
        connection.outbox.withTail { session.release(durable: durable, into: &$0) }
        connection.markDirty()
        home.noteOwing(self)
        settle()
        if peerIsDone, !session.waitsForDisk { finish() }
        resumeIfFree()
    }

    func outboxDrained(on connection: Connection) {
        if unreported > 0, session.owedBytes <= connection.outbox.lowBytes {
            home.enter { core, effects in report(to: &core, &effects) }
            home.carryOut()
        }
        resumeIfFree()
    }

    /// Reads on if nothing speaks against it any more.
    func resumeIfFree() {
        if !holds.isEmpty || session.isEnding || connection.outbox.isOverHighMark
            || session.owedBytes > connection.outbox.highBytes
        {
            return
        }
        if connection.isReadingPaused { connection.resumeReading() }
    }

    /// True if what was delivered has left, or nearly all of it.
    func hasFlushed() -> Bool {
        connection.flush()
        // Deliveries behind a RECEIPT that waits for the disk have not left either.
        let unsent = connection.outbox.unsentBytes + session.owedBytes
        return unreported > 0 && connection.isOpen && unsent <= connection.outbox.lowBytes
    }

    func report(to core: inout Core, _ effects: inout Effects) {
        guard let coreID else { return }
        let command = [Command.flushed(bytes: unreported)]
        unreported = 0
        _ = command.withUnsafeBufferPointer {
            core.apply(
                $0, extras: CommandExtras(), of: coreID, now: home.broker.clock.moment(at: home.loop.now),
                into: &effects)
        }
    }

    // MARK: Time and end

    func setDeadline() {
        if hasEnded { return }
        let ofSession = session.nextDeadline(
            lastReceived: connection.lastReceived, lastSent: max(connection.lastSent, lastBeat))
        guard let next = earlier(ofSession, holds.until) else { return }
        if let set = connection.deadline, set <= next { return }
        connection.deadline = next
    }

    func deadlineReached(on connection: Connection, now: Instant) {
        holds.drop(dueAt: now)
        resumeIfFree()
        // A client that does not read what it was sent gets no excuse from our not reading either.
        let isStuck = connection.isReadingPaused && holds.isEmpty && connection.outbox.unsentBytes > 0
        let due = session.due(
            now: now, lastReceived: connection.lastReceived, lastSent: max(connection.lastSent, lastBeat),
            isReading: !connection.isReadingPaused, isStuckSince: isStuck ? connection.lastSent : nil,
            received: connection.bytesReceived)
        switch due {
        case .nothing: break
        case .beat:
            lastBeat = now
            // Bytes that wait already are as good a sign, once the client reads them.
            if connection.outbox.isEmpty {
                connection.outbox.withTail { $0.append(0x0A) }
                connection.flush()
            }
        case .end(let error): end(error)
        }
        setDeadline()
    }

    /// Ends the conversation from our side, with an ERROR behind what is owed.
    func end(_ error: SessionError) {
        if session.isEnding { return }
        leaveCore()
        let durable = home.broker.durable
        connection.outbox.withTail { session.end(error, durable: durable, into: &$0) }
        connection.markDirty()
        settle()
    }

    func ended(on connection: Connection, reason: EndReason) {
        hasEnded = true
        home.forget(self)
        leaveCore()
        leaveAccounts()
        logEnd(connection, reason)
    }

    private func logEnd(_ connection: Connection, _ reason: EndReason) {
        let failure = session.failure.map { "\($0.message): \($0.detail)" } ?? ""
        home.broker.log.info(
            "connection ended",
            [
                "peer": .describing(connection.peer), "reason": .text(session.failure?.code ?? reason.code),
                "login": .text(session.login), "bytes_in": .number(connection.bytesReceived),
                "bytes_out": .number(connection.bytesSent), "error": .text(failure),
            ])
    }
}
