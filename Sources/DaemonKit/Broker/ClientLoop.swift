import Base
import BrokerCore
import Net
import Sessions
import Storage

/// The clients of one I/O loop and what they share. Loop-confined.
final class ClientLoop {
    let broker: Broker
    let loop: IOLoop
    private(set) var settings: SessionSettings
    private(set) var limits: ClientLimits
    let unflushedLimit: Int
    var batch = CommandBatch()
    var effects: Effects
    private var mail = Mailbox.Contents()
    private var sharedFrames = SharedFrames()

    private var clients: [Client?] = []
    private var freePlaces: [UInt32] = []
    private var generation: UInt32 = 0

    /// RECEIPTs of these wait for the disk.
    private var waiting: [Client] = []
    /// Not read from until the disk has caught up.
    private var held: [Client] = []
    /// Were delivered enough to that the core should hear when it has left.
    private var owing: [Client] = []
    private var owesCommit = false
    private var isCommitAwaited = false
    private(set) var isStopping = false

    init(broker: Broker, loop: IOLoop, settings: SessionSettings, limits: ClientLimits, unflushedLimit: Int) {
        self.broker = broker
        self.loop = loop
        self.settings = settings
        self.limits = limits
        self.unflushedLimit = unflushedLimit
        effects = Effects(loops: broker.loops.count)
    }

    /// `settings` are for sessions that begin from now on, `limits` for all.
    func take(_ settings: SessionSettings, _ limits: ClientLimits) {
        self.settings = settings
        if self.limits == limits { return }
        self.limits = limits
        for client in all { client.forgiveRate() }
    }

    var all: [Client] { clients.compactMap { $0 } }

    // MARK: Coming and going

    func welcome(_ connection: Connection, token: String) -> Client {
        generation &+= 1
        let place = freePlaces.popLast() ?? UInt32(clients.count)
        let id = UInt64(generation) << 32 | UInt64(place)
        let client = Client(home: self, connection: connection, id: id, token: token)
        if Int(place) == clients.count { clients.append(client) } else { clients[Int(place)] = client }
        return client
    }

    func forget(_ client: Client) {
        let place = Int(truncatingIfNeeded: client.id & 0xFFFF_FFFF)
        clients[place] = nil
        freePlaces.append(UInt32(place))
    }

    @inline(__always)
    func client(_ id: UInt64) -> Client? {
        let place = Int(truncatingIfNeeded: id & 0xFFFF_FFFF)
        guard place < clients.count, let client = clients[place], client.id == id else { return nil }
        return client
    }

    // MARK: The core

    /// Enters the core for one of our clients. `carryOut` must follow, and `commit` when it `commitsLater`.
    func enter<R>(commitsLater: Bool = false, _ body: (inout Core, inout Effects) -> R) -> R {
        let result = broker.enter(&effects, ownLoop: loop.index, mail: &mail, commitsLater: commitsLater, body)
        if commitsLater {
            owesCommit = owesCommit || !effects.batches.isEmpty
            isCommitAwaited = isCommitAwaited || effects.batches.contains(where: \.isAwaited)
        }
        return result
    }

    /// What was left to be committed; a client may wait for an answer. Then a loop with nothing else to do does so too:
    /// it would sleep now, until the journal thread had been woken, had done this, and had woken it again.
    func commit(hasWaiting: Bool) {
        guard owesCommit else {
            // What was to be durable soon now has to be at once.
            if hasWaiting { broker.storage.commit() }
            return
        }
        let isAwaited = isCommitAwaited
        owesCommit = false
        isCommitAwaited = false
        if !hasWaiting { return isAwaited ? broker.storage.commit() : broker.storage.commitSoon() }
        if broker.commitHere(&effects, ownLoop: loop.index, mail: &mail) { carryOut() }
    }

    /// A disk that dies just then holds the loop: so only where hardly anybody else is served, and nobody is owed a
    /// heart-beat.
    var mayWaitForDisk: Bool {
        clients.count - freePlaces.count <= Self.fewClients && clients.count <= Self.mostPlaces
            && !clients.contains { $0?.session.owesHeartBeats == true }
    }

    private static let fewClients = 2
    /// Places to look through each time, with those of clients that are gone.
    private static let mostPlaces = 64

    /// Carries out what others left for us, then what `enter` brought, until nothing more follows.
    func carryOut() {
        repeat {
            let (others, hasMoved) = takeMail()
            if !effects.holds.isEmpty { hold(effects.holds) }
            write(effects.deliveries[loop.index])
            let own = effects.kicks.filter { $0.address.loop == loop.index }
            effects.clear()
            // Only now, with mail and effects empty, may anything enter the core again.
            if hasMoved { diskMoved() }
            kick(others)
            kick(own)
        } while reportFlushed()
    }

    /// Woken: somebody has left something for us.
    func openMailbox() {
        broker.mailboxes[loop.index].take(into: &mail)
        carryOut()
    }

    /// What other loops delivered before we entered the core leaves before what we answer: it may be for a
    /// subscription that ends with this answer.
    func writeMail() {
        write(mail.deliveries)
        mail.deliveries.removeAll(keepingCapacity: true)
    }

    /// Writes the deliveries in the mail and empties it.
    private func takeMail() -> (kicks: [Kick], hasMoved: Bool) {
        write(mail.deliveries)
        if !mail.holds.isEmpty { hold(mail.holds) }
        let rest = (mail.kicks, mail.durable != nil)
        mail.clear()
        return rest
    }

    private func kick(_ kicks: [Kick]) {
        for kick in kicks { client(kick.address.connection)?.end(SessionError(kick.refusal)) }
    }

    /// Ours among them wait, or go on.
    private func hold(_ holds: [Hold]) {
        for hold in holds where hold.address.loop == loop.index {
            client(hold.address.connection)?.hold(until: hold.until)
        }
    }

    /// In runs for one client each, or for the same clients: whatever is looked up, checked or noted is so once for
    /// a run.
    private func write(_ deliveries: [Delivery]) {
        deliveries.withUnsafeBufferPointer { all in
            guard let first = all.baseAddress else { return }
            var start = 0
            while start < all.count {
                var end = start + 1
                while end < all.count, Delivery.haveSameReader(first + start, first + end) { end += 1 }
                let run = UnsafeBufferPointer(rebasing: all[start..<end])
                if let audience = (first + start).pointee.audience {
                    write(run, to: audience)
                } else if let client = client((first + start).pointee.connection) {
                    client.deliver(run)
                    noteOwing(client)
                }
                start = end
            }
        }
    }

    /// Some messages at a time, to one client after the other, so that what is copied is at hand.
    private func write(_ run: UnsafeBufferPointer<Delivery>, to audience: Audience) {
        guard let first = run.baseAddress else { return }
        var start = 0
        while start < run.count {
            var bytes = 0
            var end = start
            repeat {
                bytes += (first + end).pointee.bytes.count + 128
                end += 1
            } while end < run.count && bytes < Client.deliveryBytes
            sharedFrames.clear()
            for member in audience.members {
                guard let client = client(member.connection) else { continue }
                client.deliver(
                    UnsafeBufferPointer(rebasing: run[start..<end]), for: member.slot, bytes: bytes,
                    sharing: &sharedFrames)
                noteOwing(client)
            }
            start = end
        }
        sharedFrames.clear()
    }

    /// Has the client reported to the core, once what it was delivered has left.
    func noteOwing(_ client: Client) {
        if client.unreported < unflushedLimit / 4 || client.isOwing { return }
        client.isOwing = true
        owing.append(client)
    }

    /// Tells the core which clients have taken what they were sent. True if that made effects.
    private func reportFlushed() -> Bool {
        if owing.isEmpty { return false }
        let candidates = owing
        owing.removeAll(keepingCapacity: true)
        var ready: [Client] = []
        for client in candidates {
            client.isOwing = false
            if client.hasFlushed() { ready.append(client) }
        }
        if ready.isEmpty { return false }
        enter { core, effects in
            for client in ready { client.report(to: &core, &effects) }
        }
        return true
    }

    // MARK: The disk

    func waitForDisk(_ client: Client) {
        if client.isWaiting { return }
        client.isWaiting = true
        waiting.append(client)
    }

    /// Stops reading from a client while too much is on its way to the disk.
    func holdIfBehind(_ client: Client) {
        if client.holds.isBehindDisk || broker.storage.backlogBytes <= broker.backlogLimit { return }
        client.holds.isBehindDisk = true
        held.append(client)
        client.connection.pauseReading()
    }

    /// More is durable: what waited for it leaves, and who was held may go on.
    private func diskMoved() {
        let durable = broker.durable
        let before = waiting
        waiting.removeAll(keepingCapacity: true)
        for client in before {
            client.isWaiting = false
            client.release(durable: durable)
        }
        if held.isEmpty || broker.storage.backlogBytes > broker.backlogLimit / 2 { return }
        let resumed = held
        held.removeAll(keepingCapacity: true)
        for client in resumed {
            client.holds.isBehindDisk = false
            client.resumeIfFree()
        }
    }

    /// The daemon is going down: everyone gets what is owed, a word, and is closed.
    func stop() {
        isStopping = true
        for client in all { client.end(Self.goodbye) }
    }

    static let goodbye = SessionError(.shuttingDown, "the broker is stopping; connect again in a while")
}
