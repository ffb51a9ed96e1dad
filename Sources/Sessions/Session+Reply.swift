import Base
import BrokerCore
import STOMP

/// Reply channels: `/temp-queue/NAME`.
extension Session {
    static var temporaryPrefix: String { "/temp-queue/" }

    /// What a destination is called inside the broker: `/temp-queue/X` is a name of this connection
    /// only and stands for a channel with a name that nobody can guess. Makes it on SUBSCRIBE.
    mutating func reach(_ destination: [UInt8], batch: inout CommandBatch) throws(SessionError) -> [UInt8] {
        guard destination.starts(with: Self.temporaryPrefix.utf8) else { return destination }
        return try temporary(destination, batch: &batch)
    }

    /// An explicit SUBSCRIBE takes over from the one that a `reply-to` made, be it under the same id.
    mutating func takeOver(_ destination: [UInt8], batch: inout CommandBatch) {
        guard let slot = replySlots.removeValue(forKey: destination) else { return }
        slots[destination] = nil
        ended.append(slot)
        batch.commands.append(.unsubscribe(slot: slot))
    }

    /// The global name of a reply channel of this connection; made if it is not there.
    mutating func temporary(_ name: [UInt8], batch: inout CommandBatch) throws(SessionError) -> [UInt8] {
        if let known = temporaries[name] { return known }
        if name.count == Self.temporaryPrefix.utf8.count {
            throw SessionError(.badHeader, "/temp-queue/ needs a name behind it")
        }
        if temporaries.count >= settings.temporaries {
            throw SessionError(.tooManyTemporaries, "a connection may have \(settings.temporaries) temporary queues")
        }
        let global = Array("/reply-queue/\(token).\(nextTemporary)".utf8)
        nextTemporary += 1
        temporaries[name] = global
        batch.commands.append(.createTemporary(name: hold(global, batch: &batch)))
        return global
    }

    /// RabbitMQ's way: a `reply-to:/temp-queue/X` makes the channel and subscribes to it, with the name
    /// as subscription id, unless the client has subscribed to it itself (ActiveMQ's way).
    mutating func expectReplies(_ name: [UInt8], batch: inout CommandBatch) throws(SessionError) -> [UInt8] {
        if let known = temporaries[name] { return known }
        try checkLength(of: name, .replyTo)
        try checkSubscriptions()
        let global = try temporary(name, batch: &batch)
        if slots[name] != nil { return global }
        let slot = try addSlot(name, mode: .auto, isNamed: true)
        replySlots[name] = slot
        batch.commands.append(
            .subscribe(
                Subscribe(
                    slot: slot, destination: hold(global, batch: &batch), mode: .auto,
                    prefetchCount: settings.prefetchCount,
                    prefetchBytes: settings.prefetchBytes)))
        return global
    }
}
