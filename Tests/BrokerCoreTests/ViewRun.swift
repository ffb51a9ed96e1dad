import Base

@testable import BrokerCore

/// One random life of a queue with lanes, plain consumers and consumers with selectors, beside what must be
/// true of it. All comes from the seed.
struct ViewRun {
    private struct Message {
        var key: Int
        var group: String
        var count: UInt32 = 0
        /// Who holds it.
        var holder: Int?
    }

    private struct Consumer {
        var session: Int
        var slot: UInt32
        var credit: Int
        /// What `k` must be, or must not be; nil: everything is taken.
        var key: Int?
        var isNegated: Bool
        var held: [(tag: UInt64, id: String)] = []

        func takes(_ k: Int) -> Bool { key.map { isNegated ? $0 != k : $0 == k } ?? true }
    }

    private var random: SplitMix64
    private var rig: Rig
    private let limits: CoreLimits
    private var messages: [String: Message] = [:]
    private var consumers: [Int: Consumer] = [:]
    private var sessions: [Int: SessionID] = [:]
    private var connections = 0
    private var serial = 0
    private var slots: UInt32 = 0
    private(set) var wrong: [String] = []
    private(set) var log: [String] = []
    private(set) var happened: [String: Int] = [:]

    init(seed: UInt64) {
        random = SplitMix64(seed: seed)
        var limits = CoreLimits()
        limits.windowBytes = random.pick([1, 60, 1000, 4 << 20]) ?? 1
        limits.idleWindowBytes = min(limits.windowBytes, random.pick([1, 100, 64 << 10]) ?? 1)
        limits.pageCount = random.pick([1, 2, 3, 7, 2048]) ?? 1
        self.limits = limits
        rig = Rig(limits: limits)
    }

    mutating func run(steps: Int) {
        for number in 0..<steps where wrong.isEmpty {
            step()
            judge()
            if number % 25 == 24 { settle() }
        }
        settle()
    }

    private mutating func note(_ what: String) {
        log.append(what)
        happened[what.prefix { $0 != " " }.description, default: 0] += 1
    }

    private mutating func step() {
        switch random.below(100) {
        case 0..<35: send()
        case 35..<42: subscribe()
        case 42..<45: if let number = random.pick(consumers.keys.sorted()) { unsubscribe(number) }
        case 45..<47: if let number = random.pick(sessions.keys.sorted()) { close(number) }
        case 47..<70: decide(accepts: true)
        case 70..<80: decide(accepts: false)
        case 80..<87: sync()
        case 87..<95: answer()
        case 95: evict()
        case 96 where random.chance(40): purge()
        case 97 where random.chance(40): restart()
        default: fail()
        }
    }

    private mutating func send() {
        guard let session = session() else { return }
        serial += 1
        var extras = SendExtras()
        if random.chance(20) { extras.priority = UInt8(random.below(10)) }
        let group = random.chance(20) ? "g\(random.below(3))" : ""
        extras.group = bytes(group)
        let key = random.below(4)
        rig.extras.sends = [extras]
        messages["\(serial)"] = Message(key: key, group: group)
        note("send \(serial) k \(key) priority \(extras.priority) group \(group)")
        rig.send(head: "k:\(key)\n", "/queue/q", "\(serial)", of: session)
    }

    private mutating func session() -> SessionID? {
        if sessions.isEmpty || sessions.count < 4 && random.chance(5) {
            connections += 1
            sessions[connections] = rig.open()
        }
        return random.pick(sessions.keys.sorted()).flatMap { sessions[$0] }
    }

    private mutating func subscribe() {
        guard session() != nil, let number = random.pick(sessions.keys.sorted()), let session = sessions[number],
            consumers.count < 6
        else { return }
        slots += 1
        serial += 1
        let key = random.chance(70) ? random.below(4) : nil
        let consumer = Consumer(
            session: number, slot: slots, credit: 1 + random.below(4), key: key, isNegated: random.chance(30))
        let selector = key.map { "k \(consumer.isNegated ? "<>" : "=") \($0)" } ?? ""
        consumers[serial] = consumer
        note("subscribe \(serial) '\(selector)' credit \(consumer.credit)")
        rig.subscribe(slots, "/queue/q", .individual, of: session, count: UInt32(consumer.credit)) {
            $0.selector = bytes(selector)
        }
    }

    private mutating func release(_ number: Int) {
        for held in consumers[number]?.held ?? [] { messages[held.id]?.holder = nil }
        consumers[number] = nil
    }

    private mutating func unsubscribe(_ number: Int) {
        guard let consumer = consumers[number], let session = sessions[consumer.session] else { return }
        note("unsubscribe \(number)")
        release(number)
        rig.apply(.unsubscribe(consumer.slot), of: session)
    }

    private mutating func close(_ number: Int) {
        guard let session = sessions.removeValue(forKey: number) else { return }
        note("close \(number)")
        for (index, consumer) in consumers where consumer.session == number { release(index) }
        rig.close(session)
    }

    private mutating func decide(accepts: Bool) {
        let candidates = consumers.keys.sorted().filter { consumers[$0]?.held.isEmpty == false }
        guard let number = random.pick(candidates), let consumer = consumers[number],
            let at = random.pick(Array(consumer.held.indices)), let session = sessions[consumer.session]
        else { return }
        let held = consumer.held[at]
        consumers[number]?.held.remove(at: at)
        note("\(accepts ? "accept" : "reject") \(held.id) of \(number)")
        if accepts { messages[held.id] = nil } else { messages[held.id]?.holder = nil }
        rig.apply(accepts ? .accept(consumer.slot, held.tag) : .reject(consumer.slot, held.tag), of: session)
    }

    private mutating func sync() {
        note("sync")
        rig.sync(1 + random.below(3))
    }

    private mutating func answer() {
        guard !rig.storage.questions.isEmpty else { return }
        let question = rig.storage.questions.remove(at: random.below(rig.storage.questions.count))
        note("page \(question.wanted.purpose) of \(question.wanted.queue.rawValue) from \(question.wanted.from)")
        let isOld = random.chance(50) && !question.isStale
        rig.answer(question.wanted, from: isOld ? question.asked : rig.storage.durable)
    }

    private mutating func evict() {
        note("evict")
        rig.wall += 1000
        rig.core.relieveMemory(now: Instant(nanoseconds: rig.wall * 1_000_000))
    }

    private mutating func purge() {
        note("purge")
        for queue in rig.storage.appended.queues.keys { rig.storage.makeStale(queue) }
        _ = rig.core.purgeQueue(named: bytes("/queue/q"), into: &rig.effects)
        rig.carryOut()
        messages = messages.filter { $0.value.holder != nil }
    }

    private mutating func fail() {
        guard !rig.storage.questions.isEmpty, random.chance(20) else { return }
        note("failure")
        rig.answer(failure: "no")
        rig.tick()
    }

    private mutating func restart() {
        note("restart")
        let ledger = rig.storage.durable
        rig = Rig(limits: limits, recovered: ledger, wall: rig.wall)
        consumers = [:]
        sessions = [:]
        connections = 0
        let before = messages
        messages = [:]
        for queue in ledger.queues.values {
            for message in queue.live.values {
                let id = String(decoding: message.bytes.dropFirst(Int(message.headerBytes)).dropLast(), as: UTF8.self)
                let key = Int(message.bytes[2]) - 48
                let group = before[id]?.group ?? (queue.name.last.map { $0 >= 48 && $0 < 58 } ?? false ? "?" : "")
                messages[id] = Message(key: key, group: group, count: message.attempts)
            }
        }
    }

    // MARK: What must be true

    private mutating func judge() {
        for delivery in rig.take() {
            let id = delivery.text
            guard let number = consumers.keys.first(where: { consumers[$0]?.slot == delivery.slot }),
                let consumer = consumers[number], consumer.session == Int(delivery.connection)
            else {
                wrong.append("\(id) was delivered to nobody")
                continue
            }
            guard let message = messages[id] else {
                wrong.append("\(id) was delivered and is gone")
                continue
            }
            if let holder = message.holder { wrong.append("\(id) was delivered to \(number) while \(holder) has it") }
            if !consumer.takes(message.key) { wrong.append("\(id) was delivered to \(number), which does not want it") }
            if consumer.held.count >= consumer.credit { wrong.append("\(id) was delivered to \(number) without credit") }
            if delivery.count != message.count + 1 {
                wrong.append("\(id) has count \(delivery.count) after \(message.count)")
            }
            log.append("  \(id) to \(number)")
            messages[id]?.holder = number
            messages[id]?.count += 1
            consumers[number]?.held.append((delivery.tag, id))
        }
        wrong += rig.storage.wrong
        for session in sessions.keys.sorted() {
            if let id = sessions[session] { rig.apply(.flushed(1 << 30), of: id) }
        }
        if !rig.delivered.isEmpty { judge() }
    }

    /// Everything is on disk and answered: who may have something has it.
    private mutating func settle() {
        rig.settleDown()
        rig.tick()
        judge()
        rig.settleDown()
        judge()
        let heldLanes = Set(messages.values.filter { $0.holder != nil && !$0.group.isEmpty }.map(\.group))
        for (number, consumer) in consumers where consumer.held.count < consumer.credit {
            for (id, message) in messages where message.holder == nil && consumer.takes(message.key) {
                // A group is with one consumer; after a restart it is not known which group it was.
                if !message.group.isEmpty, !heldLanes.isEmpty { continue }
                wrong.append("\(id) is owed to \(number)")
            }
        }
        let view = rig.core.queueView(named: bytes("/queue/q"))
        if view?.messages ?? 0 != UInt64(messages.count) {
            wrong.append("\(view?.messages ?? 0) messages, not \(messages.count)")
        }
        let ready = messages.values.count { $0.holder == nil }
        if view?.ready ?? 0 != UInt64(ready) { wrong.append("\(view?.ready ?? 0) ready, not \(ready)") }
        if !rig.storage.questions.isEmpty { wrong.append("it never stops to ask") }
    }
}
