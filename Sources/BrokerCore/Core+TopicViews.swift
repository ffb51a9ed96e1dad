import Base

/// Topics and durable subscriptions, as operators see them.
extension Core {
    public struct DurableView: Sendable {
        /// The name of its queue: `/dsub/NAME` or `/dsub/CLIENT.NAME`.
        public var destination: [UInt8]
        public var name: [UInt8]
        /// The client it belongs to; empty: it is shared.
        public var clientID: [UInt8]
        /// Topic name or pattern.
        public var topic: [UInt8]
        public var selector: [UInt8]
        public var consumers: Int
        public var messages: UInt64
        public var bytes: UInt64
        /// Seconds since 1970 when its last consumer left; 0: it has consumers, or had some when the broker ended.
        public var lastUsed: UInt64
        /// Nobody consumes from it.
        public var isOrphan: Bool
    }

    /// In order of destination. `now` is set by the last input.
    public func durableViews() -> [DurableView] {
        boundQueues.keys.compactMap { view(ofDurable: Int($0)) }.sorted {
            $0.destination.lexicographicallyPrecedes($1.destination)
        }
    }

    /// `destination` is `/dsub/...`.
    public func durableView(named destination: [UInt8]) -> DurableView? {
        queueByName[destination].flatMap { view(ofDurable: Int($0)) }
    }

    private func view(ofDurable index: Int) -> DurableView? {
        let queue = queues[index]
        guard let binding = queue.rare.note.binding else { return nil }
        let size = size(of: index)
        return DurableView(
            destination: queue.name, name: binding.name, clientID: binding.clientID, topic: binding.topic,
            selector: binding.selector, consumers: queue.consumers.count, messages: size.messages, bytes: size.bytes,
            lastUsed: queue.rare.note.lastUsed, isOrphan: queue.consumers.isEmpty)
    }

    /// Deletes a durable subscription with all that waits in it; returns how many messages. With `force` its
    /// consumers are disconnected.
    public mutating func deleteDurable(
        named destination: [UInt8], force: Bool, into effects: inout Effects
    ) throws(DeleteObstacle) -> UInt64 {
        guard let view = durableView(named: destination) else { throw .missing }
        if !force, view.consumers > 0 { throw .consumers(view.consumers) }
        return try deleteQueue(named: destination, force: true, into: &effects)
    }

    public func topicViews() -> [TopicView] {
        var views: [[UInt8]: TopicView] = [:]
        func change(_ topic: [UInt8], _ change: (inout TopicView) -> Void) {
            change(&views[topic, default: TopicView(name: topic)])
        }
        for topic in topics {
            change(topic.name) {
                ($0.inTotal, $0.outTotal, $0.droppedTotal) = (topic.inTotal, topic.outTotal, topic.droppedTotal)
            }
        }
        for subscription in subscriptions where !subscription.isFree && !subscription.isClosed {
            if let topic = subscription.topic { change(topic) { $0.subscribers += 1 } }
        }
        for bound in boundQueues.keys {
            if let binding = queues[Int(bound)].rare.note.binding {
                change(binding.topic) { $0.durableSubscribers += 1 }
            }
        }
        for topic in retained.byTopic.keys { change(topic) { $0.isRetaining = true } }
        return Array(views.values)
    }

    /// What all topics retain, with what it takes to keep it, in bytes.
    public var retainedBytes: Int { retained.bytes }

    /// Called by the clock.
    mutating func sweepTopics(into effects: inout Effects) {
        let isThorough = now.wall / Self.sweepMilliseconds != lastSweep
        lastSweep = now.wall / Self.sweepMilliseconds
        sweepRetained(isThorough: isThorough, into: &effects)
        if isThorough { expireSubscriptions(into: &effects) }
        sweepDelayed(into: &effects)
        seal(into: &effects)
    }

    private static let sweepMilliseconds: UInt64 = 10_000
}
