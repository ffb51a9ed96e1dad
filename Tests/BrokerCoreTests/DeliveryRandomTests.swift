import Base
import Testing

@testable import BrokerCore

/// Random lives of queues with everything at once: priorities, groups, delays, ends, refusals, dead letters,
/// transactions, consumers that come and go, crashes. What must hold whatever happens is looked at after each step.
struct DeliveryRandomTests {
    @Test(arguments: 0..<60)
    func nothingIsLostInventedOrGivenToTwo(seed: Int) {
        var life = Life(seed: UInt64(seed))
        for step in 0..<400 where life.wrong.isEmpty {
            life.step()
            if !life.wrong.isEmpty { life.wrong.append("seed \(seed), step \(step)") }
        }
        if life.wrong.isEmpty { life.end() }
        #expect(life.wrong == [])
    }

    /// A broker, its clients, and what they know.
    private struct Life {
        struct Message {
            var batch: UInt64
            var group: String?
            var hasEnd: Bool
            var isDelayed: Bool
            /// Accepted in this batch.
            var accepted: UInt64?
            var isSurelyAccepted = false
            var isSure = false
        }

        struct Held {
            var id: Int
            var tag: UInt64
        }

        struct Consumer {
            var session: SessionID
            var connection: UInt64
            var held: [Held] = []
        }

        var rig: Rig
        var random: SplitMix64
        var messages: [Int: Message] = [:]
        var consumers: [Consumer] = []
        var sender: SessionID
        var nextID = 0
        /// The highest of each group that was delivered in this life.
        var lastOfGroup: [String: Int] = [:]
        var wrong: [String] = []
        private var connections: UInt64 = 1

        init(seed: UInt64) {
            random = SplitMix64(seed: seed)
            var limits = CoreLimits()
            limits.windowBytes = random.chance(50) ? 64 : 1 << 20
            limits.idleWindowBytes = random.chance(50) ? 32 : 1 << 10
            limits.pageCount = 1 + random.below(10)
            var settings = QueueSettings()
            settings.redeliveryDelay = random.chance(50) ? 0 : 300
            settings.deliveryLimit = random.chance(50) ? 3 : 0
            settings.expired = random.chance(50) ? .drop : .deadLetter
            settings.exclusiveConsumer = random.chance(20)
            rig = Rig(limits: limits, defaults: settings)
            sender = rig.open()
        }

        mutating func step() {
            switch random.below(20) {
            case 0...6: send()
            case 7...9: settle()
            case 10: arrive()
            case 11: leave()
            case 12...13: rig.pass(UInt64(random.below(700)))
            case 14: rig.tick()
            case 15...17: rig.sync(1 + random.below(3))
            case 18: if !rig.storage.questions.isEmpty { rig.answer() }
            default: if random.chance(15) { crash() } else { rig.settleDown() }
            }
            take()
            check()
        }

        mutating func send() {
            let id = nextID
            nextID += 1
            var more = SendExtras()
            var message = Message(batch: 0, group: nil, hasEnd: false, isDelayed: false)
            if random.chance(30) { more.priority = UInt8(random.below(10)) }
            if random.chance(40) {
                let group = "g\(random.below(4))"
                more.group = bytes(group)
                message.group = group
            }
            if random.chance(20) {
                more.delay = UInt64(1 + random.below(3000))
                message.isDelayed = true
            }
            if random.chance(15) {
                more.timeToLive = UInt64(1 + random.below(2000))
                message.hasEnd = true
            }
            var head = "id:\(id)\npriority:\(more.priority)\n"
            if let group = message.group { head += "message-group:\(group)\n" }
            rig.extras.sends = [more]
            rig.send(head: head, "q", "\(id)", of: sender)
            message.batch = rig.storage.lastBatch
            messages[id] = message
        }

        mutating func arrive() {
            guard consumers.count < 3 else { return }
            let session = rig.open()
            connections += 1
            consumers.append(Consumer(session: session, connection: connections))
            rig.apply(.subscribe(1, "q", .individual, count: UInt32(1 + random.below(4))), of: session)
        }

        mutating func leave() {
            guard !consumers.isEmpty else { return }
            rig.close(consumers.remove(at: random.below(consumers.count)).session)
        }

        mutating func settle() {
            let busy = consumers.indices.filter { !consumers[$0].held.isEmpty }
            guard !busy.isEmpty else { return }
            let at = busy[random.below(busy.count)]
            let held = consumers[at].held.remove(at: random.below(consumers[at].held.count))
            switch random.below(6) {
            case 0...2:
                rig.apply(.accept(1, held.tag), of: consumers[at].session)
                messages[held.id]?.accepted = rig.storage.lastBatch
            case 3: rig.apply(.reject(1, held.tag), of: consumers[at].session)
            case 4: rig.apply(.reject(1, held.tag, .requeueAfter(milliseconds: 200)), of: consumers[at].session)
            default:
                if random.chance(50) {
                    rig.apply(.reject(1, held.tag, .deadLetter), of: consumers[at].session)
                } else {
                    rig.apply(
                        [.begin(1), .accept(1, held.tag, transaction: 1), .commit(1)], of: consumers[at].session)
                    messages[held.id]?.accepted = rig.storage.lastBatch
                }
            }
        }

        mutating func take() {
            for delivery in rig.take() {
                guard let at = consumers.firstIndex(where: { $0.connection == delivery.connection }) else { continue }
                guard let id = Int(delivery.body), let message = messages[id] else {
                    wrong.append("invented: \(delivery.body)")
                    continue
                }
                if rig.storage.durableThrough < message.batch { wrong.append("\(id) was seen before it was on disk") }
                if message.isSurelyAccepted { wrong.append("\(id) comes again after its ACK was on disk") }
                for other in consumers.indices {
                    if consumers[other].held.contains(where: { $0.id == id }) { wrong.append("\(id) is with two") }
                    if other != at, let group = message.group,
                        consumers[other].held.contains(where: { messages[$0.id]?.group == group })
                    {
                        wrong.append("\(group) is with two")
                    }
                }
                if let group = message.group, !message.isDelayed, delivery.count == 1 {
                    if let last = lastOfGroup[group], last > id { wrong.append("\(group): \(id) after \(last)") }
                    lastOfGroup[group] = id
                }
                consumers[at].held.append(Held(id: id, tag: delivery.tag))
            }
        }

        /// What is in the core is what the records say (I7).
        mutating func check() {
            wrong += rig.storage.wrong
            for id in messages.keys where messages[id]?.isSure == false {
                if let batch = messages[id]?.batch, batch <= rig.storage.durableThrough { messages[id]?.isSure = true }
            }
            for id in messages.keys {
                if let batch = messages[id]?.accepted, batch <= rig.storage.durableThrough {
                    messages[id]?.isSurelyAccepted = true
                }
            }
            for name in ["/queue/q", "/queue/q.dlq"] {
                guard let view = rig.core.queueView(named: bytes(name)) else { continue }
                let queues = rig.storage.appended.queues.values.filter { Lane.split($0.name)?.queue == bytes(name) }
                let live = queues.reduce(0) { $0 + $1.live.count }
                let size = queues.reduce(0) { $0 + $1.bytes }
                if view.messages != UInt64(live) || view.bytes != size {
                    wrong.append(
                        "\(name): \(view.messages) messages of \(view.bytes) bytes, on disk \(live) of \(size)")
                }
                if view.messages != view.ready + view.unacknowledged + view.delayed + view.waiting {
                    wrong.append("\(name): the parts do not make the whole")
                }
            }
        }

        mutating func crash() {
            rig.restart()
            rig.extras = CommandExtras()
            consumers = []
            lastOfGroup = [:]
            connections = 1
            for id in messages.keys {
                if messages[id]?.isSure == false { messages[id] = nil }
                // Batches are counted anew.
                messages[id]?.batch = 0
                messages[id]?.accepted = nil
            }
            sender = rig.open()
        }

        /// All time passes, everything is taken: each message that must be there is there, once.
        mutating func end() {
            for consumer in consumers { rig.close(consumer.session) }
            consumers = []
            rig.settleDown()
            _ = rig.take()
            check()
            if random.chance(50) { crash() }
            check()
            let last = rig.open()
            rig.apply([.subscribe(1, "q", .auto), .subscribe(2, "q.dlq", .auto)], of: last)
            for _ in 0..<80 { rig.pass(1000) }
            var seen: [Int: Int] = [:]
            for delivery in rig.take() {
                seen[Int(delivery.body) ?? -1, default: 0] += 1
            }
            for (id, message) in messages {
                let count = seen[id] ?? 0
                if count > 1 { wrong.append("\(id) came \(count) times in the end") }
                if message.isSurelyAccepted {
                    if count > 0 { wrong.append("\(id) came though it was acknowledged") }
                } else if count == 0, !message.hasEnd {
                    wrong.append("\(id) is lost")
                }
            }
            if rig.core.queueView(named: bytes("q"))?.messages != 0 { wrong.append("something stays in the queue") }
        }
    }
}
