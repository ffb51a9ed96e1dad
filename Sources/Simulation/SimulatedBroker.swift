import Base
import BrokerCore
import LogStorage
import STOMP
import Sessions
import Storage

/// One life of a broker: the real sessions, core and storage in one thread. What loops and threads do in the
/// daemon (`Broker`, `ClientLoop`, `Client`, `LogEngine`) are calls here, which the world makes in any order.
final class SimulatedBroker {
    static let loops = 2

    let store: Store
    private(set) var core: Core
    private(set) var now: Moment
    private(set) var links: [SimulatedLink] = []
    /// Appended by the core, not committed yet.
    private(set) var appended: [Batch] = []
    private(set) var pages = Deque<PageWanted>()
    private(set) var durable: UInt64 = 0
    /// The storage has failed: this life is over.
    private(set) var failure: StorageFailure?
    /// Told of each MESSAGE as it is written, with the time at which the core decided so, and of all that the core
    /// reports.
    var onDelivery: (Delivery, SimulatedLink, UInt64) -> Void = { _, _, _ in }
    var onReport: (Report) -> Void = { _ in }
    /// Told of each batch that the core wants stored.
    var onBatch: (Batch) -> Void = { _ in }

    private let settings: SessionSettings
    private var effects = Effects(loops: SimulatedBroker.loops)
    private var mail = (0..<SimulatedBroker.loops).map { _ in Mail() }
    private var batch = CommandBatch()
    private var lastTick = Instant(nanoseconds: 0)

    /// What others have left for a loop.
    private struct Mail {
        var deliveries: [(delivery: Delivery, at: UInt64)] = []
        var kicks: [Kick] = []
        var holds: [Hold] = []
        var hasMoved = false

        var isEmpty: Bool { deliveries.isEmpty && kicks.isEmpty && holds.isEmpty && !hasMoved }
    }

    init(
        _ store: Store, _ recovery: Recovery, core limits: CoreLimits, defaults: QueueSettings, life: Int, now: Moment
    ) {
        self.store = store
        self.now = now
        var sessions = SessionSettings()
        sessions.storeTag = "s"
        sessions.bootTag = "b\(life)"
        settings = sessions
        core = Core(limits: limits, nextQueueID: recovery.nextQueueID, defaults: defaults)
        core.storeTag = "s"
        core.restore(policies: [], note: recovery.note)
        core.dedupKey = Core.dedupKey(storeID: recovery.storeID)
        for queue in recovery.queues {
            core.restore(
                queue: queue.id, name: queue.name, head: queue.head, next: queue.next, messages: queue.messages,
                bytes: queue.bytes, attempts: queue.attempts, note: queue.note, dedup: queue.dedup)
        }
        tick(now)
    }

    // MARK: Links

    func accept(id: UInt64) -> SimulatedLink {
        let link = SimulatedLink(id: id, loop: Int(id) % Self.loops, settings: settings, now: now.monotonic)
        links.append(link)
        return link
    }

    private func link(_ id: UInt64) -> SimulatedLink? { links.first { $0.id == id } }

    /// Links on which nothing can happen any more are forgotten.
    func sweep() { links.removeAll { $0.isOver && $0.coreID == nil } }

    // MARK: The core

    private func enter<R>(_ loop: Int?, _ body: (inout Core, inout Effects) -> R) -> R {
        core.now = now
        let result = body(&core, &effects)
        for batch in effects.batches { onBatch(batch) }
        appended += effects.batches
        effects.batches.removeAll()
        for index in 0..<Self.loops where index != loop {
            mail[index].deliveries += effects.deliveries[index].flatMap(\.single).map { ($0, now.wall) }
            effects.deliveries[index].removeAll()
            mail[index].kicks += effects.kicks.filter { $0.address.loop == index }
            mail[index].holds += effects.holds.filter { $0.address.loop == index }
        }
        effects.kicks.removeAll { $0.address.loop != loop }
        effects.holds.removeAll { $0.address.loop != loop }
        for page in effects.pages { pages.append(page) }
        effects.pages.removeAll()
        for report in effects.reports { onReport(report) }
        effects.reports.removeAll()
        return result
    }

    private func enter<R>(from link: SimulatedLink, _ body: (inout Core, inout Effects) -> R) -> R {
        enter(link.loop, body)
    }

    /// From no loop: the storage, a timer, an operator.
    @discardableResult
    func enterFromOutside<R>(_ body: (inout Core, inout Effects) -> R) -> R { enter(nil, body) }

    private func carryOut(_ loop: Int) {
        repeat {
            let letters = mail[loop]
            mail[loop] = Mail()
            write(letters.deliveries)
            hold(letters.holds)
            hold(effects.holds.filter { $0.address.loop == loop })
            write(effects.deliveries[loop].flatMap(\.single).map { ($0, now.wall) })
            let own = effects.kicks.filter { $0.address.loop == loop }
            effects.clear()
            if letters.hasMoved { diskMoved(loop) }
            for kick in letters.kicks + own {
                link(kick.address.connection).map { end($0, SessionError(kick.refusal)) }
            }
        } while !mail[loop].isEmpty
    }

    private func write(_ deliveries: [(delivery: Delivery, at: UInt64)]) {
        for (delivery, decided) in deliveries {
            guard let link = link(delivery.connection), !link.isCut else { continue }
            link.unreported += Int(delivery.content.count) + 128
            if link.session.deliver(delivery, into: &link.outbox) { onDelivery(delivery, link, decided) }
        }
    }

    private func hold(_ holds: [Hold]) {
        for hold in holds { link(hold.address.connection)?.heldUntil = hold.until }
    }

    private func diskMoved(_ loop: Int) {
        for link in links where link.loop == loop && link.waitsForDisk && !link.isCut {
            link.waitsForDisk = false
            link.session.release(durable: durable, into: &link.outbox)
            settle(link)
            if link.peerIsDone, !link.session.waitsForDisk { finish(link) }
        }
    }

    // MARK: A link's input

    /// The client's next `count` bytes arrive.
    func receive(_ count: Int, on link: SimulatedLink) {
        guard link.mayRead else { return link.toBroker.removeAll() }
        let count = min(count, link.toBroker.count)
        link.inbox += link.toBroker[..<count]
        link.toBroker.removeFirst(count)
        link.received += UInt64(count)
        if count > 0 { link.lastReceived = now.monotonic }
        repeat {
            if !link.mayRead {
                link.inbox.removeAll()
                break
            }
            takeBatch(link)
        } while link.session.hasMore
        if link.clientIsDone, link.toBroker.isEmpty, !link.peerIsDone { receivedEnd(link) }
    }

    /// Memory of just this size, spoilt at once afterwards: a pointer that is kept too long is seen.
    private func takeBatch(_ link: SimulatedLink) {
        let piece = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: link.inbox.count)
        defer { piece.deallocate() }
        _ = piece.initialize(fromContentsOf: link.inbox)
        let used = link.session.receive(piece, received: link.received, now: now, batch: &batch)
        var (done, refusal, required): (Int, Refusal?, UInt64) = (0, nil, 0)
        let isNew = link.coreID == nil && link.session.isConnected
        if !batch.isEmpty || isNew || (link.coreID != nil && link.session.willEnd) {
            enter(from: link) { core, effects in
                let id = link.coreID ?? core.open(SessionAddress(loop: link.loop, connection: link.id))
                link.coreID = id
                (done, refusal, required) = batch.commands.withUnsafeBufferPointer {
                    core.apply($0, extras: batch.extras, of: id, now: now, into: &effects)
                }
                if refusal != nil || link.session.willEnd {
                    core.close(id, into: &effects)
                    link.coreID = nil
                }
            }
            // What others delivered before leaves before our answer.
            let letters = mail[link.loop].deliveries
            mail[link.loop].deliveries = []
            write(letters)
        }
        link.session.commit(
            done: done, refusal: refusal, batch: batch, required: required, durable: durable, into: &link.outbox)
        piece.update(repeating: 0xEE)
        batch.clear()
        link.inbox.removeFirst(min(used, link.inbox.count))
        if link.session.waitsForDisk { link.waitsForDisk = true }
        carryOut(link.loop)
        settle(link)
    }

    private func settle(_ link: SimulatedLink) {
        if link.session.waitsForDisk { link.waitsForDisk = true }
        if link.session.isOver { finish(link) }
    }

    private func finish(_ link: SimulatedLink) {
        if link.isFinished { return }
        link.isFinished = true
        leave(link)
    }

    private func leave(_ link: SimulatedLink) {
        guard let id = link.coreID else { return }
        link.coreID = nil
        enter(from: link) { core, effects in core.close(id, into: &effects) }
        carryOut(link.loop)
    }

    private func receivedEnd(_ link: SimulatedLink) {
        link.peerIsDone = true
        if !link.session.waitsForDisk { finish(link) }
    }

    private func end(_ link: SimulatedLink, _ error: SessionError) {
        if link.session.isEnding || link.isCut { return }
        leave(link)
        link.session.end(error, durable: durable, into: &link.outbox)
        settle(link)
    }

    /// The connection is reset.
    func cut(_ link: SimulatedLink) {
        link.isCut = true
        leave(link)
    }

    /// The client has read all that was written: the core may send more.
    func drained(_ link: SimulatedLink) {
        link.lastSent = now.monotonic
        guard link.unreported > 0, let id = link.coreID else { return }
        let command = [Command.flushed(bytes: link.unreported)]
        link.unreported = 0
        _ = enter(from: link) { core, effects in
            command.withUnsafeBufferPointer {
                core.apply($0, extras: CommandExtras(), of: id, now: now, into: &effects)
            }
        }
        carryOut(link.loop)
    }

    // MARK: What threads do

    /// A loop opens its mailbox.
    func openMailbox(_ loop: Int) { carryOut(loop) }

    /// The journal thread takes what has gathered: all, or the first `count` batches, since the core hands over one
    /// after the other. False if it needs a segment first.
    func commit(_ count: Int = .max) -> Bool { commit(count, on: nil) }

    /// The same, done by a loop at the end of its turn.
    func commitHere(_ loop: Int) {
        if commit(.max, on: loop) { carryOut(loop) }
    }

    private func commit(_ count: Int, on loop: Int?) -> Bool {
        if appended.isEmpty || failure != nil { return true }
        do throws(StorageFailure) {
            let end = try store.commit(Array(appended.prefix(max(1, count))), from: 0)
            if end == 0 { return false }
            let number = appended[end - 1].number
            appended.removeFirst(end)
            durable = number
            for index in mail.indices { mail[index].hasMoved = true }
            enter(loop) { core, effects in core.durable(through: number, into: &effects) }
        } catch {
            failure = error
        }
        return true
    }

    /// The journal thread has nothing to do.
    func mark() {
        if !appended.isEmpty || failure != nil { return }
        do throws(StorageFailure) { try store.mark() } catch { failure = error }
    }

    /// A round of the keeper thread.
    func keep(isBusy: Bool = false) {
        if failure != nil { return }
        do throws(StorageFailure) {
            let round = try store.keep(isBusy: isBusy)
            switch round.room {
            case .enough: enterFromOutside { core, effects in core.setDisk(short: nil, into: &effects) }
            case .short(let sentence):
                enterFromOutside { core, effects in core.setDisk(short: sentence, into: &effects) }
            case nil: break
            }
        } catch {
            failure = error
        }
    }

    /// The reader thread answers the first request.
    func readPage() {
        guard let wanted = pages.popFirst() else { return }
        let page = store.page(
            PageRequest(queue: wanted.queue, from: wanted.from, maxCount: wanted.maxCount, maxBytes: wanted.maxBytes))
        enterFromOutside { core, effects in
            core.page(
                wanted, messages: page.messages, resumeAt: page.resumeAt, failure: page.failure, into: &effects)
        }
    }

    /// Message memory is short.
    func relieveMemory() {
        enterFromOutside { core, effects in
            if core.relieveMemory(now: now.monotonic) { core.relieveTransients(limit: 1 << 30, into: &effects) }
        }
    }

    /// Time has passed.
    func pass(to now: Moment) {
        self.now = now
        if now.monotonic >= lastTick.adding(milliseconds: 1000) { tick(now) }
        if let due = core.nextWake, due <= now.wall {
            enterFromOutside { core, effects in core.wake(into: &effects) }
        }
        for link in links where !link.isCut && !link.isFinished {
            if let until = link.heldUntil, until <= now.monotonic { link.heldUntil = nil }
            let due = link.session.due(
                now: now.monotonic, lastReceived: link.lastReceived, lastSent: link.lastSent,
                isReading: link.heldUntil == nil, received: link.received)
            if case .end(let error) = due { end(link, error) }
            if case .beat = due {
                if link.outbox.isEmpty { link.outbox.append(0x0A) }
                link.lastSent = now.monotonic
            }
        }
    }

    private func tick(_ now: Moment) {
        lastTick = now.monotonic
        while enterFromOutside({ core, effects in core.tick(now: now, most: 2, into: &effects) }) {}
    }

    /// SIGTERM: everyone gets what is owed and a word, all is made durable.
    func stop() {
        for link in links where !link.isCut {
            end(link, SessionError(.shuttingDown, "the broker is stopping; connect again in a while"))
        }
        var rounds = 0
        while !appended.isEmpty, failure == nil, rounds < 50 {
            if !commit() { keep() }
            rounds += 1
        }
        for loop in 0..<Self.loops { openMailbox(loop) }
        if !appended.isEmpty || failure != nil { return }
        do throws(StorageFailure) { try store.mark(syncing: true) } catch {
            failure = error
            return
        }
        store.finish()
    }
}
