import Base
import BrokerCore

/// One random life of a core beside the model and a late storage. All comes from the seed.
struct RandomRun {
    let seed: UInt64
    private(set) var wrong: [String] = []
    private(set) var stepsDone = 0
    /// Stands for all effects so far, in order.
    private(set) var fingerprint: UInt64 = 0
    /// How often each kind of thing happened: a run that never evicts proves nothing about eviction.
    private(set) var happened: [String: Int] = [:]

    var random: SplitMix64
    var core: Core
    var storage = FakeStorage()
    var model: ModelBroker
    var effects = Effects(loops: 1)
    var ids: [Int: SessionID] = [:]
    var log: [String] = []
    private var time: UInt64 = 1_000_000_000
    /// The stored queues as they were when the batch with this number was the last.
    private var history: [UInt64: [Int: ModelBroker.Queue]] = [:]
    private var move: (queue: QueueID, from: UInt64, ledger: Ledger, source: Int, target: String)?

    static var limits: CoreLimits {
        var limits = CoreLimits()
        limits.queues = 5
        limits.topics = 3
        limits.windowBytes = 90
        limits.idleWindowBytes = 40
        limits.pageCount = 3
        limits.pageBytes = 60
        limits.backlogBytes = 80
        limits.unflushedBytes = 900
        limits.transactionBytes = 120
        limits.transactionOperations = 6
        limits.batchBytes = 400
        return limits
    }

    init(seed: UInt64) {
        self.seed = seed
        random = SplitMix64(seed: seed)
        core = Core(limits: Self.limits, defaults: .calm)
        model = ModelBroker(limits: Self.limits)
    }

    /// Runs `steps` steps and then lets everything come to rest. Ends early when something is wrong.
    mutating func run(steps: Int) {
        for _ in 0..<steps where wrong.isEmpty {
            step()
            stepsDone += 1
        }
        if wrong.isEmpty { comeToRest() }
    }

    mutating func note(_ what: String) { happened[what, default: 0] += 1 }

    private mutating func step() {
        model.committed = []
        switch random.below(100) {
        case 0..<6: open()
        case 6..<9: random.pick(model.sessions.keys.sorted()).map { close($0) }
        case 9..<66: command()
        case 66..<78: sync(random.below(4))
        case 78..<92: answer()
        case 92..<94: evict()
        case 94: purge()
        case 95: delete()
        case 96, 97: moveOn()
        case 98: model.isDiskShort = random.chance(20)
        default: restart()
        }
        core.diskShort = model.isDiskShort ? "short" : nil
        check()
    }

    // MARK: Effects

    /// Hands effects on; what the model has to say comes between, with the deliveries before it.
    private mutating func absorb<R>(_ body: (inout ModelBroker) -> R) -> R {
        for batch in effects.batches { storage.append(batch) }
        for wanted in effects.pages { storage.ask(wanted) }
        model.stream = effects.deliveries[0].flatMap(\.single)[...]
        (model.batches, model.durableThrough) = (storage.batchOfMessage, storage.durableThrough)
        let result = body(&model)
        while !model.stream.isEmpty { model.takeDelivery() }
        model.batches = [:]
        let kicked = Set(effects.kicks.map { Int($0.address.connection) })
        if kicked != model.kicked { wrong.append("kicked \(kicked), not \(model.kicked)") }
        for report in effects.reports {
            if case .queueUnreadable(_, let reason) = report { wrong.append("unreadable: \(reason)") }
        }
        checkAtomicity(of: effects.batches)
        fold(effects)
        effects.clear()
        history[storage.lastBatch] = model.queues
        model.kicked = []
        for session in kicked.sorted() where random.chance(70) { close(session) }
        return result
    }

    private mutating func fold(_ effects: Effects) {
        func add(_ number: UInt64) { fingerprint = (fingerprint ^ number) &* 0x100_0000_01B3 }
        for delivery in effects.deliveries[0].flatMap(\.single) {
            for number in [delivery.connection, UInt64(delivery.slot), delivery.tag, delivery.sequence] { add(number) }
            for byte in delivery.content.bytes { add(UInt64(byte)) }
        }
        for record in effects.batches.flatMap(\.records) {
            add(UInt64(record.kind.rawValue) << 40 | UInt64(record.queue.rawValue))
            for number in [record.sequence, UInt64(record.count), record.bytes, UInt64(record.offset)] { add(number) }
        }
        for wanted in effects.pages { add(wanted.from << 8 | UInt64(wanted.queue.rawValue)) }
        for kick in effects.kicks { add(kick.address.connection) }
    }

    /// All that a COMMIT did is in one batch.
    private mutating func checkAtomicity(of batches: [Batch]) {
        if model.committed.isEmpty || !isCommitting { return }
        isCommitting = false
        let homes = model.committed.map { change in
            batches.first { $0.records.contains { Self.covers($0, change) } }?.number
        }
        if Set(homes).count != 1 || homes.contains(nil) { wrong.append("a COMMIT lies in batches \(homes)") }
    }

    private static func covers(_ record: Record, _ change: ModelBroker.Change) -> Bool {
        guard record.kind == change.kind, record.queue.rawValue == change.queue else { return false }
        let count = record.kind == .settle ? UInt64(record.count) : 1
        return (record.sequence..<record.sequence + count).contains(change.sequence)
    }

    private var isCommitting = false

    // MARK: Sessions and commands

    private mutating func open() {
        if model.sessions.count >= 4 { return }
        let number = model.open()
        ids[number] = core.open(SessionAddress(loop: 0, connection: UInt64(number)))
    }

    private mutating func close(_ session: Int) {
        guard let id = ids.removeValue(forKey: session) else { return }
        core.close(id, into: &effects)
        absorb { $0.close(session) }
    }

    private mutating func command() {
        guard let session = random.pick(model.sessions.keys.sorted()), let id = ids[session] else { return }
        let requests = requests(of: session)
        log.append("\(session): \(requests)")
        if case .commit? = requests.first { isCommitting = true }
        defer { isCommitting = false }
        let before = storage.lastBatch
        let result = apply(requests, of: id)
        let expected: (done: Int, refusal: Refusal.Kind?) = absorb { model in
            for (index, request) in requests.enumerated() {
                if index > 0 { model.takeAllowed() }
                model.committed = []
                if let refusal = model.carryOut(request, of: session) { return (index, refusal) }
            }
            return (requests.count, nil)
        }
        if expected.done != result.done || expected.refusal != result.refusal?.kind {
            wrong.append("\(requests) gave \(result), the model says \(expected)")
        }
        let batch = storage.lastBatch > before ? result.batch : 0
        if result.batch != batch || result.batch > storage.lastBatch {
            wrong.append("to confirm after \(result.batch)")
        }
        if let refusal = result.refusal {
            note("refused \(refusal.kind)")
            close(session)
        }
    }

    private mutating func apply(
        _ requests: [Request], of id: SessionID
    ) -> (done: Int, refusal: Refusal?, batch: UInt64) {
        var kept: [UnsafeMutableBufferPointer<UInt8>] = []
        defer { for bytes in kept { bytes.deallocate() } }
        let commands = requests.map { request in
            request.command { bytes in
                let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
                _ = copy.initialize(from: bytes)
                kept.append(copy)
                return Bytes(copy)
            }
        }
        return commands.withUnsafeBufferPointer {
            core.apply(
                $0, extras: CommandExtras(), of: id, now: Moment(Instant(nanoseconds: time), wall: time / 1_000_000),
                into: &effects)
        }
    }

    // MARK: Storage

    private mutating func sync(_ count: Int) {
        let through = storage.sync(count)
        log.append("durable \(through)")
        core.durable(through: through, into: &effects)
        absorb { _ in }
    }

    private mutating func answer() {
        if storage.questions.isEmpty { return }
        let question = storage.questions.remove(at: random.below(storage.questions.count))
        let wanted = question.wanted
        let ledger = random.chance(50) ? question.asked : storage.durable
        var page = FakeStorage.read(
            ledger, queue: wanted.queue, from: wanted.from, maxCount: wanted.maxCount, maxBytes: wanted.maxBytes)
        if random.chance(50), let last = page.messages.last { page.resumeAt = last.sequence + 1 }
        if random.chance(50), let appended = storage.appended.queues[wanted.queue] {
            page.messages.removeAll { appended.live[$0.sequence] == nil }
        }
        note(question.isStale ? "stale page" : page.messages.isEmpty ? "empty page" : "page")
        log.append("page \(wanted) \(page.messages.map(\.sequence)) \(page.resumeAt)")
        core.page(wanted, messages: page.messages, resumeAt: page.resumeAt, failure: nil, into: &effects)
        absorb { _ in }
    }

    private mutating func evict() {
        time += 200_000_000
        core.relieveMemory(now: Instant(nanoseconds: time))
        note("eviction")
        log.append("evict")
    }

    // MARK: Operators

    private mutating func someQueue() -> (Int, ModelBroker.Queue)? {
        let stored = model.queues.filter { $0.value.kind == .stored }.keys.sorted()
        guard let index = random.pick(stored), let queue = model.queues[index] else { return nil }
        return (index, queue)
    }

    private mutating func purge() {
        guard let (index, queue) = someQueue() else { return }
        let count = core.purgeQueue(named: bytes(queue.name), into: &effects)
        storage.makeStale(QueueID(rawValue: queue.id))
        log.append("purge \(queue.name)")
        note("purge")
        let expected = absorb { $0.purge(index) }
        if count != UInt64(expected) { wrong.append("purged \(count ?? 0), not \(expected)") }
    }

    private mutating func delete() {
        guard random.chance(30), let (index, queue) = someQueue() else { return }
        do throws(Core.DeleteObstacle) {
            let count = try core.deleteQueue(named: bytes(queue.name), force: true, into: &effects)
            if count != UInt64(queue.live.count) { wrong.append("deleted \(count), not \(queue.live.count)") }
        } catch {
            wrong.append("delete: \(error)")
        }
        storage.makeStale(QueueID(rawValue: queue.id))
        log.append("delete \(queue.name)")
        note("delete")
        absorb { $0.delete(index) }
    }

    private mutating func moveOn() {
        guard let (queue, from, ledger, source, target) = move else { return beginMove() }
        move = nil
        let page = FakeStorage.read(
            random.chance(50) ? ledger : storage.durable, queue: queue, from: from, maxCount: 1 + random.below(5),
            maxBytes: 200)
        log.append("move \(page.messages.map(\.sequence)) of \(queue) to \(target)")
        var count = 0
        var refusal: Refusal?
        do throws(Refusal) {
            let read = Core.ErrandPage(
                lane: queue, messages: page.messages, from: from, resumeAt: page.resumeAt)
            count = Int(
                try core.run(.move(to: bytes(target)), on: read, where: nil, most: .max, into: &effects).done)
        } catch {
            refusal = error
        }
        if refusal == nil, model.queues[source]?.name != "/queue/" + target { storage.makeStale(queue) }
        let expected: (Int, Refusal.Kind?) = absorb { model in
            if model.isDiskShort { return (0, .diskShort) }
            if model.queues[source] == nil { return (0, nil) }
            let (index, refusal) = model.queue(target)
            guard let index, index != source else { return (0, refusal) }
            return (model.move(page.messages.map(\.sequence), from: source, to: index), nil)
        }
        if count > 0 { note("move") }
        if expected != (count, refusal?.kind) { wrong.append("moved \(count), not \(expected)") }
    }

    private mutating func beginMove() {
        guard let (source, queue) = someQueue(), let target = random.pick(["a", "b", "c"]) else { return }
        guard let lane = core.laneSummaries(of: bytes(queue.name))?.first else {
            wrong.append("no move from \(queue.name)")
            return
        }
        move = (lane.id, lane.from, storage.durable, source, target)
    }

    // MARK: A new life

    private mutating func restart() {
        guard random.chance(40) else { return }
        let isClean = random.chance(30)
        note(isClean ? "clean restart" : "crash")
        log.append(isClean ? "restart" : "crash")
        if isClean {
            for session in ids.keys.sorted() { close(session) }
            sync(.max)
        }
        checkSurvivors()
        let ledger = storage.durable
        core = Core(limits: Self.limits, nextQueueID: ledger.nextQueueID, defaults: .calm)
        storage = FakeStorage(recovered: ledger)
        model.restart(from: ledger)
        (history, move, ids) = ([:], nil, [:])
        for (id, queue) in ledger.queues.sorted(by: { $0.key < $1.key }) {
            core.restore(
                queue: id, name: queue.name, head: queue.head, next: queue.next, messages: UInt64(queue.live.count),
                bytes: queue.bytes, attempts: queue.attempts, dedup: queue.dedup)
        }
    }

    /// What is durable is what the model had when the last durable batch was made.
    private mutating func checkSurvivors() {
        guard let then = history[storage.durableThrough] else { return }
        compare(storage.durable, with: then, at: "batch \(storage.durableThrough)")
    }

    private mutating func comeToRest() {
        for _ in 0..<10_000 {
            if storage.isSynced, storage.questions.isEmpty { break }
            sync(.max)
            answer()
        }
        check()
        if let owed = model.owed.first { wrong.append("\(owed.queue.name) rests with \(owed.sequence) not delivered") }
        compare(storage.durable, with: model.queues, at: "the end")
    }

    // MARK: Checks

    private mutating func check() {
        wrong += model.wrong + storage.wrong
        checkCounts()
        checkProgress()
        if stepsDone % 16 == 0 { compare(storage.appended, with: model.queues, at: "step \(stepsDone)") }
        if !wrong.isEmpty { wrong.append("seed \(seed), step \(stepsDone)") }
        if history.count > 200 { history = history.filter { $0.key >= storage.durableThrough } }
        if log.count > 400 { log.removeFirst(200) }
    }

    private mutating func checkCounts() {
        let views = core.queueViews()
        let named = model.queues.filter { $0.value.kind != .subscription }
        if views.count != named.count { wrong.append("\(views.count) queues, not \(named.count)") }
        let byName = Dictionary(uniqueKeysWithValues: named.map { (bytes($0.value.name), $0) })
        for view in views {
            guard let (index, queue) = byName[view.name] else {
                wrong.append("queue \(view.name) is not there")
                continue
            }
            let seen = [view.ready, view.unacknowledged, view.bytes, UInt64(view.consumers), UInt64(view.id.rawValue)]
            let expected = [
                queue.ready.count, queue.held.count, queue.bytes, model.consumers(of: index).count, Int(queue.id),
            ]
            if seen != expected.map({ UInt64($0) }) { wrong.append("\(queue.name) is \(seen), not \(expected)") }
            if view.failure != nil { wrong.append("\(queue.name) failed") }
        }
        if core.totals.repliesDropped != model.drops {
            wrong.append("\(core.totals.repliesDropped) drops, not \(model.drops)")
        }
    }

    /// Nothing stands still that could go on: who has credit has the first message, or it is not durable,
    /// or its bytes have been asked for.
    private mutating func checkProgress() {
        for (queue, sequence) in model.owed {
            let id = QueueID(rawValue: queue.id)
            let isAsked = storage.questions.contains { $0.wanted.queue == id && !$0.isStale }
            let isDurable = storage.batch(of: sequence, in: id) <= storage.durableThrough
            if queue.kind == .stored, isAsked || !isDurable { continue }
            wrong.append("\(queue.name) stands still before \(sequence)")
        }
    }

    private mutating func compare(_ ledger: Ledger, with queues: [Int: ModelBroker.Queue], at place: String) {
        let stored = queues.values.filter { $0.kind == .stored }
        if Set(stored.map(\.id)) != Set(ledger.queues.keys.map(\.rawValue)) { wrong.append("other queues at \(place)") }
        for queue in stored {
            guard let kept = ledger.queues[QueueID(rawValue: queue.id)] else { continue }
            let live = queue.live
            if kept.live.mapValues(\.bytes) != live.mapValues(\.bytes) {
                wrong.append(
                    "\(queue.name) at \(place): storage has \(kept.live.keys.sorted()), the model \(live.keys.sorted())"
                )
            }
            if kept.next != queue.next || kept.name != bytes(queue.name) {
                wrong.append("\(queue.name) at \(place): next or name")
            }
            for (sequence, message) in queue.ready where kept.live[sequence]?.attempts != message.count {
                wrong.append("\(queue.name) at \(place): \(sequence) has other attempts than \(message.count)")
            }
        }
    }
}
