import Base
import BrokerCore

/// Deliveries, judged.
extension ModelBroker {
    func consumers(of index: Int) -> [Int] {
        subscriptions.filter { $0.value.queue == index && !$0.value.isClosed }.keys.sorted()
    }

    private func receiver(_ delivery: Delivery) -> (index: Int, subscription: Subscription)? {
        guard let index = sessions[Int(delivery.connection)]?.slots[delivery.slot] else { return nil }
        return subscriptions[index].map { (index, $0) }
    }

    func hasCredit(_ subscription: Subscription) -> Bool {
        guard sessions[subscription.session, default: Session()].unflushed < limits.unflushedBytes else { return false }
        if subscription.mode == .auto { return true }
        let counted = subscription.held.filter { $0.transaction == 0 }
        let bytes = counted.reduce(0) { $0 + (queues[subscription.queue]?.held[$1.sequence]?.bytes.count ?? 0) }
        return counted.count < subscription.count && (bytes < subscription.bytes || counted.isEmpty)
    }

    /// Lets those deliveries of the stream take place that may do so now: what the core has delivered
    /// before it came to the next thing.
    mutating func takeAllowed() {
        while let delivery = stream.first, let (_, subscription) = receiver(delivery),
            queues[subscription.queue]?.lowest == delivery.sequence, hasCredit(subscription)
        {
            takeDelivery()
        }
    }

    /// The next delivery of the stream takes place.
    mutating func takeDelivery() {
        guard let delivery = stream.popFirst() else { return }
        guard let (index, found) = receiver(delivery), let queue = queues[found.queue] else {
            wrong.append("a delivery to connection \(delivery.connection), slot \(delivery.slot), which is not there")
            return
        }
        var subscription = found
        let place = "message \(delivery.sequence) of \(queue.name)"
        if !hasCredit(subscription) { wrong.append("\(place) was delivered without credit") }
        guard let message = queue.ready[delivery.sequence] else {
            wrong.append("\(place) was delivered and is not ready")
            return
        }
        let batch = queue.kind == .stored ? batches[QueueID(rawValue: queue.id)]?[delivery.sequence] ?? 0 : 0
        if message.isDurable, batch > durableThrough { wrong.append("\(place) was delivered before it was durable") }
        if queue.lowest != delivery.sequence { wrong.append("\(place) was delivered before \(queue.lowest ?? 0)") }
        if delivery.count != message.count + 1 {
            wrong.append("\(place) has count \(delivery.count) after \(message.count)")
        }
        // What is for a whole audience has no tag.
        let isShared = delivery.tag == 0 && subscription.mode == .auto && queue.kind == .subscription
        if delivery.tag != subscription.nextTag, !isShared {
            wrong.append("\(place) has tag \(delivery.tag), not \(subscription.nextTag)")
        }
        if delivery.queue != queue.id { wrong.append("\(place) is said to be of queue \(delivery.queue)") }
        if !delivery.content.bytes.elementsEqual(message.bytes) || delivery.headerBytes != 1 {
            wrong.append("\(place) has other bytes")
        }
        queues[subscription.queue]?.ready[delivery.sequence] = nil
        if subscription.mode != .auto {
            var held = message
            held.count += 1
            queues[subscription.queue]?.held[delivery.sequence] = held
            subscription.held.append(Held(tag: delivery.tag, sequence: delivery.sequence))
        }
        subscription.nextTag += 1
        subscriptions[index] = subscription
        sessions[subscription.session]?.unflushed += message.bytes.count + 128
    }

    /// Queues that have a message and somebody who may have it, and what stands first.
    var owed: [(queue: Queue, sequence: UInt64)] {
        queues.keys.sorted().compactMap { index in
            guard let queue = queues[index], let lowest = queue.lowest,
                consumers(of: index).contains(where: { subscriptions[$0].map(hasCredit) ?? false })
            else { return nil }
            return (queue, lowest)
        }
    }
}
