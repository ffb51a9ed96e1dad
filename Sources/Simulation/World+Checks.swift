import Base
import BrokerCore
import LogStorage
import Sessions
import Storage
import Synchronization

/// What is held against the promises.
extension World {
    /// All messages in the store; nil, and a violation, if they cannot be read or contradict the counters (I7).
    func scan(_ store: Store) -> [Promises.Found]? {
        var found: [Promises.Found] = []
        for queue in store.queues {
            guard let (family, isDead) = Names.parse(queue.name) else { continue }
            var (from, messages, bytes) = (UInt64(1), UInt64(0), UInt64(0))
            while true {
                let page = store.page(PageRequest(queue: queue.id, from: from, maxCount: 100, maxBytes: 20_000))
                if let failure = page.failure {
                    promises.violated("I1: \(Names.family(family)) cannot be read: \(failure)")
                    return nil
                }
                for message in page.messages {
                    messages += 1
                    bytes += UInt64(message.content.count)
                    guard let number = check(message) else {
                        promises.violated(
                            "I2: \(Names.family(family)) holds a message that nobody sent, or that was changed")
                        return nil
                    }
                    found.append(Promises.Found(family: family, message: number, isDead: isDead))
                }
                if page.resumeAt == from { break }
                from = page.resumeAt
            }
            if messages != queue.messages || bytes != queue.bytes {
                promises.violated(
                    "I7: \(Names.family(family)) says \(queue.messages) messages of \(queue.bytes) bytes, but holds \(messages) of \(bytes)"
                )
                return nil
            }
        }
        return found
    }

    func check(_ message: StoredMessage) -> Int? {
        let content = message.content.bytes
        let start = Int(message.headerBytes)
        guard start < content.count else { return nil }
        let body = UnsafeBufferPointer(rebasing: content[start..<content.count - 1])
        guard let number = Payload.message(in: body) else { return nil }
        return promises.checked(number, Array(body), nil) == nil ? nil : number
    }

    /// I7, and the promises, while nothing is under way to the disk.
    func audit() {
        guard let broker, broker.appended.isEmpty, broker.failure == nil else { return }
        let isReliable = faults.withLock { $0.errorAt == nil && $0.crashAt == nil }
        guard isReliable, let found = scan(broker.store) else { return }
        promises.compare(found, isAfterCrash: false, at: now.wall)
        let totals = broker.core.queueTotals
        let stored = broker.store.queues
        let messages = stored.reduce(0) { $0 + $1.messages }
        let bytes = stored.reduce(0) { $0 + $1.bytes }
        if totals.messages != messages || totals.bytes != bytes {
            promises.violated(
                "I7: the core counts \(totals.messages) messages of \(totals.bytes) bytes, the store \(messages) of \(bytes)"
            )
        }
    }

    func delivered(_ delivery: Delivery, _ link: SimulatedLink) {
        guard delivery.queue > 0, let id = link.session.subscriptionID(slot: delivery.slot),
            let subscription = SimulatedClient.Subscription.parse(id)
        else { return }
        counts.deliveries += 1
        let content = delivery.content.bytes
        let body = UnsafeBufferPointer(rebasing: content[Int(delivery.headerBytes)..<content.count - 1])
        guard let number = Payload.message(in: body), promises.messages.indices.contains(number),
            let copy = promises.messages[number].copies[subscription.family]
        else {
            return promises.violated(
                "I2: message \(Payload.message(in: body) ?? -1), which nobody sent there, is delivered from \(Names.family(subscription.family))"
            )
        }
        note(
            "message \(number) leaves \(Names.family(subscription.family)) on link \(link.id), delivery \(delivery.count)"
        )
        promises.delivered(
            copy, on: link.id, slot: delivery.slot, count: delivery.count, isDead: subscription.isDead,
            isAuto: subscription.isAuto, at: now.wall)
    }

    func reported(_ report: Report) {
        if case .queueUnreadable(let name, let reason) = report {
            note("\(String(decoding: name, as: UTF8.self)) cannot be read: \(reason)")
        }
    }
}
