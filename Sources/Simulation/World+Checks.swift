import Base
import BrokerCore
import LogStorage
import Sessions
import Storage

/// What is held against the promises.
extension World {
    /// All messages in the store; nil, and a violation, if they cannot be read or contradict the counters (I7).
    func scan(_ store: Store) -> [Promises.Found]? {
        let scan = Scan(store, promises)
        if let problem = scan.changed ?? scan.miscounted { promises.violated(problem) }
        if let (family, failure) = scan.unreadable.min(by: { $0.key < $1.key }) {
            promises.violated("I1: \(Names.family(family)) cannot be read: \(failure)")
        }
        return promises.violation == nil ? scan.found : nil
    }

    /// I7, and the promises, while nothing is under way to the disk.
    func audit() {
        guard let broker, broker.appended.isEmpty, broker.failure == nil else { return }
        let isReliable = faults.errorAt == nil && faults.crashAt == nil
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

    func delivered(_ delivery: Delivery, _ link: SimulatedLink, decidedAt decided: UInt64) {
        guard delivery.queue > 0, let id = link.session.subscriptionID(slot: delivery.slot),
            let subscription = SimulatedClient.Subscription.parse(id)
        else { return }
        counts.deliveries += 1
        let content = delivery.content.bytes
        if let end = Payload.expiry(in: content[..<Int(delivery.headerBytes)]), end < decided, !subscription.isDead {
            promises.violated("a message is delivered \(decided - end) ms after the end of its life")
        }
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
