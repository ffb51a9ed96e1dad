import Base
import BrokerCore

/// What clients ask for: mostly sense, sometimes not.
extension RandomRun {
    mutating func requests(of session: Int) -> [Request] {
        if random.chance(15) {
            return (0..<2 + random.below(4)).map { _ in random.chance(70) ? send(0) : accept(session) }
        }
        let open = model.sessions[session]?.transactions.keys.sorted() ?? []
        let transaction = random.chance(40) ? random.pick(open) ?? 0 : 0
        switch random.below(20) {
        case 0..<6: return [send(transaction)]
        case 6..<8: return [subscribe(session)]
        case 8: return [unsubscribe(session)]
        case 9..<15: return [settle(session, transaction)]
        case 15: return [temporary(session)]
        case 16: return [begin(session)]
        case 17: return [open.isEmpty ? begin(session) : .commit(open[0])]
        case 18: return [open.isEmpty || random.chance(50) ? send(transaction) : .abort(open[0])]
        default: return [random.chance(90) ? .flushed(random.below(1200)) : .disconnect]
        }
    }

    private mutating func send(_ transaction: UInt32) -> Request {
        let names = [
            "a", "/queue/a", "b", "c", "d", "e", "f", "/topic/x.y", "/topic/x", "/topic/z", "/topic/w.w",
            "/reply-queue/1",
            "/reply-queue/2",
        ]
        let at = random.below(random.chance(60) ? 4 : names.count)
        let body = String(repeating: "x", count: random.below(30)) + "\(random.below(1000))"
        if random.chance(1) { return .send(random.chance(50) ? "/topic/x.*" : "/what/x", body) }
        return .send(
            names[at], body, durable: random.chance(70), memo: random.chance(70) ? Int32(at) : -1,
            transaction: transaction)
    }

    private mutating func subscribe(_ session: Int) -> Request {
        let names = [
            "a", "a", "b", "b", "c", "d", "e", "/topic/x.y", "/topic/x.*", "/topic/>", "/topic/x.**", "/topic/z",
            "/reply-queue/1",
            "/reply-queue/2",
        ]
        let mode = random.pick([AcknowledgeMode.auto, .cumulative, .individual, .individual]) ?? .auto
        let count = UInt32(1 + random.below(5))
        return .subscribe(
            (model.sessions[session]?.highestSlot ?? 0) + 1, random.pick(names) ?? "a", mode, count: count,
            bytes: UInt64(random.below(80)))
    }

    private mutating func unsubscribe(_ session: Int) -> Request {
        .unsubscribe(random.pick(model.sessions[session]?.slots.keys.sorted() ?? []) ?? 1)
    }

    private mutating func temporary(_ session: Int) -> Request {
        let name = "/reply-queue/\(1 + random.below(2))"
        return model.names[name] == nil ? .temporary(name) : send(0)
    }

    private mutating func begin(_ session: Int) -> Request {
        let number = UInt32(1 + random.below(3))
        return model.sessions[session]?.transactions[number] == nil ? .begin(number) : send(number)
    }

    /// A subscription that takes acknowledgements and one of the messages it holds.
    private mutating func someHeld(_ session: Int) -> (ModelBroker.Subscription, ModelBroker.Held)? {
        let slots = model.sessions[session]?.slots.values.sorted() ?? []
        let candidates = slots.filter { model.subscriptions[$0]?.held.contains { $0.transaction == 0 } ?? false }
        guard let index = random.pick(candidates), let subscription = model.subscriptions[index] else { return nil }
        guard let held = random.pick(subscription.held.filter { $0.transaction == 0 }) else { return nil }
        return (subscription, held)
    }

    private mutating func accept(_ session: Int) -> Request {
        guard let (subscription, held) = someHeld(session) else { return send(0) }
        return .accept(subscription.slot, held.tag)
    }

    private mutating func settle(_ session: Int, _ transaction: UInt32) -> Request {
        if random.chance(1) {
            return .accept(UInt32(random.below(4)), UInt64(random.below(6)), transaction: transaction)
        }
        guard let (subscription, held) = someHeld(session) else { return send(transaction) }
        let accepts = random.chance(60)
        if random.chance(30), let id = model.queues[subscription.queue]?.id {
            return .settle(
                slot: random.chance(50) ? subscription.slot : 0, queue: id, sequence: held.sequence, accept: accepts,
                transaction: transaction)
        }
        return accepts
            ? .accept(subscription.slot, held.tag, transaction: transaction)
            : .reject(subscription.slot, held.tag, transaction: transaction)
    }
}

extension ModelBroker {
    /// All clients are gone, and all that was not durable.
    mutating func restart(from ledger: Ledger) {
        self = ModelBroker(limits: limits, serial: serial)
        nextQueueID = ledger.nextQueueID
        for (id, kept) in ledger.queues.sorted(by: { $0.key < $1.key }) {
            serial += 1
            let name = String(decoding: kept.name, as: UTF8.self)
            names[name] = serial
            queues[serial] = Queue(
                kind: .stored, name: name, id: id.rawValue, next: kept.next,
                ready: kept.live.mapValues {
                    Message(bytes: $0.bytes, isDurable: $0.flags & MessageFlags.durable != 0, count: $0.attempts)
                })
        }
    }

    private init(limits: CoreLimits, serial: Int) {
        self.init(limits: limits)
        self.serial = serial
    }
}
