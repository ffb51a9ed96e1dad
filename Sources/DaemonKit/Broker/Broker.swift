import Base
import BrokerCore
import Net
import Storage
import Synchronization

/// The one place where loops, storage and core meet. Whoever has input enters the core with a whole
/// batch; what it wants done for other loops leaves through their mailboxes, after the lock is released.
///
///     loop: frames -> enter -> core -> batches to storage (under the lock: their order is its order), commit
///                                 `--> own deliveries at once, others' by mailbox
///     storage: durable(through) -> core -> mailboxes: RECEIPTs that waited, deliveries that may be seen
final class Broker: Sendable {
    let loops: [IOLoop]
    let mailboxes: [Mailbox]
    let storage: any StorageEngine
    let log: Log
    let ids: BrokerIdentity
    let clock = BrokerClock()
    let accounts = Accounts()
    private let core: SpinningLock<Core>
    private let durablePosition = Atomic<UInt64>(0)
    /// Bytes of message memory above which the core lets go of what can be read again.
    private let memoryLimit: Int
    /// Bytes on their way to the disk above which producers are not read.
    let backlogLimit: Int
    private let failure = Mutex<(@Sendable (StorageFailure) -> Void)?>(nil)
    let room = Mutex<StorageRoom>(.enough)
    /// Operators who wait for what they did to be on disk.
    private let awaited = Mutex<[(batch: UInt64, continuation: CheckedContinuation<Void, Never>)]>([])
    private let droppedReplies = Atomic<UInt64>(0)
    private let alarm = Alarm()
    /// Loops that make something durable themselves just now.
    let loopsAtTheDisk = Atomic<Int>(0)

    init(
        core: consuming Core, storage: any StorageEngine, loops: [IOLoop], ids: BrokerIdentity, memoryLimit: Int,
        log: Log
    ) {
        self.core = SpinningLock(core)
        self.storage = storage
        self.loops = loops
        self.ids = ids
        self.log = log
        self.memoryLimit = memoryLimit
        backlogLimit = max(8 << 20, memoryLimit / 2)
        mailboxes = loops.map { _ in Mailbox() }
        alarm.start { [unowned self] in enterFromOutside { core, effects in core.wake(into: &effects) } }
    }

    /// All batches up to this one are on disk.
    var durable: UInt64 { durablePosition.load(ordering: .acquiring) }

    /// Enters the core and sends what follows on its way: batches to storage and deliveries to mailboxes
    /// before the lock is released, so that the order in which the core did things is the order in which
    /// everyone learns of them; the rest after. What is for `ownLoop` stays in `effects`, and what others
    /// had left for it before is put into `mail`, to be carried out first. `durable`: other loops are to be told that it
    /// has risen. Who says that it commits later must do so.
    func enter<R>(
        _ effects: inout Effects, ownLoop: Int, mail: inout Mailbox.Contents, durable: UInt64? = nil,
        commitsLater: Bool = false, _ body: (inout Core, inout Effects) -> R
    ) -> R {
        let isShort = Chunk.liveBytes > memoryLimit
        var wakes = Wakes()
        let result = core.withLock { core in
            core.now = clock.now
            if isShort, core.relieveMemory(now: .now), Chunk.liveBytes > memoryLimit {
                core.relieveTransients(limit: memoryLimit, into: &effects)
            }
            let result = body(&core, &effects)
            for batch in effects.batches { storage.append(batch) }
            alarm.set(core.nextWake, now: core.now.wall)
            wakes = post(&effects, ownLoop: ownLoop, durable: durable)
            mailboxes[ownLoop].take(into: &mail)
            return result
        }
        if !commitsLater { commit(effects) }
        carryOut(effects, wakes)
        return result
    }

    private func commit(_ effects: borrowing Effects) {
        if effects.batches.isEmpty { return }
        if effects.batches.contains(where: \.isAwaited) { storage.commit() } else { storage.commitSoon() }
    }

    /// Has storage make durable what was appended, by this thread if that is best: only for a loop that has nothing
    /// else to do. True if it was done so; then what follows is in `effects` and `mail`, which must have been empty.
    func commitHere(_ effects: inout Effects, ownLoop: Int, mail: inout Mailbox.Contents) -> Bool {
        loopsAtTheDisk.add(1, ordering: .relaxed)
        defer { loopsAtTheDisk.subtract(1, ordering: .relaxed) }
        return storage.commitHere { position in
            durablePosition.store(position, ordering: .releasing)
            enter(&effects, ownLoop: ownLoop, mail: &mail, durable: position) { core, effects in
                core.durable(through: position, into: &effects)
            }
            mail.durable = position
            tellAwaiting(position)
        }
    }

    /// Enters from a thread that is not a loop. `durable`: the loops are to be told that it has risen.
    @discardableResult
    func enterFromOutside<R>(durable: UInt64? = nil, _ body: (inout Core, inout Effects) -> R) -> R {
        var effects = Effects(loops: loops.count)
        var wakes = Wakes()
        let result = core.withLock { core in
            core.now = clock.now
            let result = body(&core, &effects)
            for batch in effects.batches { storage.append(batch) }
            alarm.set(core.nextWake, now: core.now.wall)
            wakes = post(&effects, ownLoop: nil, durable: durable)
            return result
        }
        commit(effects)
        carryOut(effects, wakes)
        return result
    }

    /// Looks without changing anything.
    func look<R: Sendable>(_ body: (borrowing Core) -> R) -> R {
        core.withLock { core in
            // How old things are is seen too.
            core.now = clock.now
            return body(core)
        }
    }

    /// Loops for which there is mail; see `IOLoop.submit` for what is little.
    private typealias Wakes = [(loop: Int, isLittle: Bool)]

    /// Fewer deliveries than this are written sooner than another thread is woken for them.
    private static let littleMail = 8

    private func post(_ effects: inout Effects, ownLoop: Int?, durable: UInt64?) -> Wakes {
        var wakes = Wakes()
        guard effects.hasDeliveries || !effects.kicks.isEmpty || !effects.holds.isEmpty || durable != nil else {
            return wakes
        }
        for index in loops.indices where index != ownLoop {
            let kicks = effects.kicks.isEmpty ? [] : effects.kicks.filter { $0.address.loop == index }
            let holds = effects.holds.isEmpty ? [] : effects.holds.filter { $0.address.loop == index }
            if effects.deliveries[index].isEmpty, kicks.isEmpty, holds.isEmpty, durable == nil { continue }
            // Whoever tells of the disk has better to do while more waits for it.
            let isLittle =
                Self.isLittle(effects.deliveries[index]) && (durable == nil || storage.backlogBytes == 0)
            let mustWake = mailboxes[index].post(
                &effects.deliveries[index], kicks: kicks, holds: holds, durable: durable)
            if mustWake { wakes.append((index, isLittle)) }
        }
        return wakes
    }

    private static func isLittle(_ deliveries: [Delivery]) -> Bool {
        if deliveries.count >= littleMail { return false }
        return deliveries.reduce(0) { $0 + ($1.audience?.members.count ?? 1) } < littleMail
    }

    private func carryOut(_ effects: borrowing Effects, _ wakes: Wakes) {
        for (index, isLittle) in wakes { wake(index, isLittle) }
        for wanted in effects.pages { request(wanted) }
        for report in effects.reports { write(report) }
    }

    private func wake(_ index: Int, _ isLittle: Bool) {
        loops[index].submit(isLittle: isLittle) { loop in (loop.context as? ClientLoop)?.openMailbox() }
    }

    private func request(_ wanted: PageWanted) {
        let request = PageRequest(
            queue: wanted.queue, from: wanted.from, maxCount: wanted.maxCount, maxBytes: wanted.maxBytes)
        storage.read(request) { [unowned self] page in
            enterFromOutside { core, effects in
                core.page(
                    wanted, messages: page.messages, resumeAt: page.resumeAt, failure: page.failure, into: &effects)
            }
        }
    }

    private func write(_ report: Report) {
        switch report {
        case .queueCreated(let name, let id):
            log.info(
                "queue created", ["queue": .text(String(decoding: name, as: UTF8.self)), "id": .number(id.rawValue)])
        case .queueDeleted(let name, let id, let messages):
            log.info(
                "queue deleted",
                [
                    "queue": .text(String(decoding: name, as: UTF8.self)), "id": .number(id.rawValue),
                    "messages": .number(messages),
                ])
        case .queueUnreadable(let name, let reason):
            log.error(
                "queue cannot be read and stands still",
                ["queue": .text(String(decoding: name, as: UTF8.self)), "reason": .text(reason)])
        case .deadLettersStuck(let name, let reason):
            log.error(
                "dead messages cannot be moved and stay",
                ["queue": .text(String(decoding: name, as: UTF8.self)), "reason": .text(reason)])
        case .subscriptionExpired(let name, let unusedSeconds, let messages):
            log.warning(
                "durable subscription expired: nobody used it for longer than subscription_expiry_seconds",
                [
                    "subscription": .text(String(decoding: name, as: UTF8.self)),
                    "unused_seconds": .number(unusedSeconds), "messages": .number(messages),
                ])
        case .repliesDropped(let name):
            // Once for each power of two, so that a flood of them is not a flood of lines.
            let count = droppedReplies.add(1, ordering: .relaxed).newValue
            if count & (count - 1) == 0 {
                log.warning(
                    "replies dropped: the requester is gone or does not read",
                    ["channel": .text(String(decoding: name, as: UTF8.self)), "total": .number(count)])
            }
        }
    }

    /// Returns when `batch` is on disk.
    func reached(_ batch: UInt64) async {
        if batch <= durable { return }
        await withCheckedContinuation { continuation in
            let isLate = awaited.withLock { awaited in
                if batch <= durable { return true }
                awaited.append((batch, continuation))
                return false
            }
            if isLate { continuation.resume() }
        }
    }

    private func tellAwaiting(_ position: UInt64) {
        let reached = awaited.withLock { awaited in
            let reached = awaited.filter { $0.batch <= position }
            if !reached.isEmpty { awaited.removeAll { $0.batch <= position } }
            return reached
        }
        for waiter in reached { waiter.continuation.resume() }
    }

    /// What to do when storage can promise nothing more.
    func onFailure(_ action: @escaping @Sendable (StorageFailure) -> Void) {
        failure.withLock { $0 = action }
    }
}

/// Names that go into ids.
struct BrokerIdentity: Sendable {
    /// Of the data directory; starts the ids of stored messages.
    var storeTag: String
    /// Of this run; starts the ids of messages that are not stored.
    var bootTag: String
}

extension Broker: StorageEvents {
    func durable(through position: UInt64) {
        durablePosition.store(position, ordering: .releasing)
        enterFromOutside(durable: position) { core, effects in core.durable(through: position, into: &effects) }
        tellAwaiting(position)
    }

    func roomChanged(_ room: StorageRoom) {
        self.room.withLock { $0 = room }
        switch room {
        case .enough:
            enterFromOutside { core, effects in core.setDisk(short: nil, into: &effects) }
            log.info("disk has room again: messages are accepted")
        case .short(let sentence):
            enterFromOutside { core, effects in core.setDisk(short: sentence, into: &effects) }
            log.warning(
                "disk is short: senders are held and then refused, consuming goes on", ["reason": .text(sentence)])
        }
    }

    func found(_ finding: StorageFinding) {
        log.error(
            "damage was found on the disk",
            [
                "file": .text(finding.file), "offset": .number(finding.offset),
                "queues": .text(finding.queues.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")),
                "problem": .text(finding.problem), "loss": .text(finding.loss), "remedy": .text(finding.remedy),
            ])
    }

    func failed(_ failure: StorageFailure) {
        log.error("storage failed: nothing more is confirmed", ["reason": .text(failure.description)])
        self.failure.withLock { $0 }?(failure)
    }
}
