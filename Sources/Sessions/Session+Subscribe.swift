import Base
import BrokerCore
import STOMP

/// SUBSCRIBE and UNSUBSCRIBE.
extension Session {
    mutating func subscribe(_ frame: Frame, batch: inout CommandBatch) throws(SessionError) {
        let destination = try required(.destination, frame)
        if Self.parts(of: destination).count > 1 {
            throw SessionError(
                Refusal(.unsupportedDestination, "several destinations are for SEND only; subscribe to each of them"))
        }
        var id = try decoded(.id, frame)
        let isNamed = id != nil
        if id == nil {
            guard version == .v10 else { throw SessionError(.headerMissing, "SUBSCRIBE needs the header id") }
            id = destination
        }
        var mode = try acknowledgeMode(frame)
        let count = try prefetchCount(frame)
        let bytes = try prefetchBytes(frame)
        let name = id ?? destination
        try checkLength(of: name, .id)
        let extras = try subscribeExtras(frame, destination: destination, id: name)
        // A browser takes nothing, so there is nothing to acknowledge.
        if extras?.isBrowser == true { mode = .auto }
        takeOver(destination, batch: &batch)
        if slots[name] != nil {
            throw SessionError(
                .subscriptionExists, "the subscription id \"\(Self.printable(name))\" is in use on this connection")
        }
        try checkSubscriptions()
        let global = try reach(destination, batch: &batch)
        let slot = try addSlot(name, mode: mode, isNamed: isNamed)
        if let extras {
            batch.extras.subscribes.append(extras)
            if !extras.clientID.isEmpty { subscriptions[slot]?.durableName = extras.durableName }
        }
        batch.commands.append(
            .subscribe(
                Subscribe(
                    slot: slot, destination: hold(global, batch: &batch), mode: mode,
                    prefetchCount: min(UInt32(clamping: max(1, count)), settings.prefetchCountMost),
                    prefetchBytes: min(max(1, bytes), settings.prefetchBytesMost),
                    extras: extras == nil ? -1 : Int32(batch.extras.subscribes.count - 1))))
    }

    mutating func addSlot(_ id: [UInt8], mode: AcknowledgeMode, isNamed: Bool) throws(SessionError) -> UInt32 {
        // A number is never given twice, or an old ACK could hit a new delivery.
        guard nextSlot < .max else {
            throw SessionError(
                .tooManySubscriptions, "this connection has made \(nextSlot - 1) subscriptions; connect again")
        }
        let slot = nextSlot
        nextSlot += 1
        slots[id] = slot
        subscriptions[slot] = SessionSubscription(id: id, mode: mode, slot: slot, isNamed: isNamed)
        return slot
    }

    func hold(_ bytes: [UInt8], batch: inout CommandBatch) -> Bytes {
        bytes.withUnsafeBufferPointer { batch.hold($0) }
    }

    /// A count of 0 means no wish in RabbitMQ, and one at a time elsewhere.
    private func prefetchCount(_ frame: Frame) throws(SessionError) -> UInt64 {
        let standard = UInt64(settings.prefetchCount)
        if let count = try number(.prefetchCount, frame) { return count == 0 ? standard : count }
        if let count = try number(.activemqPrefetchSize, frame) { return count }
        return try creditCount(frame) ?? standard
    }

    /// In Artemis a window of 0 means one at a time, and -1 no wish.
    private func prefetchBytes(_ frame: Frame) throws(SessionError) -> UInt64 {
        if let bytes = try number(.prefetchSize, frame) { return bytes == 0 ? settings.prefetchBytes : bytes }
        if let window = header(.consumerWindowSize, frame), window.elementsEqual("-1".utf8) {
            return settings.prefetchBytes
        }
        return try number(.consumerWindowSize, frame) ?? settings.prefetchBytes
    }

    /// Apollo's `credit:count[,bytes]`; only the count is looked at.
    private func creditCount(_ frame: Frame) throws(SessionError) -> UInt64? {
        guard let value = header(.credit, frame) else { return nil }
        let count = value.firstIndex(of: UInt8(ascii: ",")).map { UnsafeBufferPointer(rebasing: value[..<$0]) } ?? value
        guard let number = Self.decimal(count) else {
            throw SessionError(
                .badHeader, "credit must be a whole number of messages, not \"\(Self.printable(value))\"")
        }
        return number
    }

    private func acknowledgeMode(_ frame: Frame) throws(SessionError) -> AcknowledgeMode {
        guard let value = header(.ack, frame) else { return .auto }
        if value.elementsEqual("auto".utf8) { return .auto }
        if value.elementsEqual("client".utf8) { return .cumulative }
        if value.elementsEqual("client-individual".utf8) { return .individual }
        throw SessionError(
            .badHeader, "ack must be auto, client or client-individual, not \"\(Self.printable(value))\"")
    }

    mutating func unsubscribe(_ frame: Frame, batch: inout CommandBatch) throws(SessionError) {
        var id = try decoded(.id, frame)
        if id == nil, version == .v10 { id = try decoded(.destination, frame) }
        guard let id else {
            throw SessionError(.headerMissing, "UNSUBSCRIBE needs the header id")
        }
        guard let slot = slots.removeValue(forKey: id) else {
            // JMS deletes a durable subscription while nobody consumes from it.
            if let durable = try durableName(frame, id: id, isTopic: true) {
                var extras = SubscribeExtras()
                (extras.durableName, extras.clientID) = (durable.name, durable.owner)
                batch.extras.subscribes.append(extras)
                return batch.commands.append(.deleteSubscription(extras: Int32(batch.extras.subscribes.count - 1)))
            }
            throw SessionError(.noSuchSubscription, "this connection has no subscription \"\(Self.printable(id))\"")
        }
        let deletes = try endsDurable(frame, subscriptions[slot])
        ended.append(slot)
        retire(id, slot)
        for (name, replySlot) in replySlots where replySlot == slot { replySlots[name] = nil }
        batch.commands.append(.unsubscribe(slot: slot, deletes: deletes))
    }

    private mutating func retire(_ id: [UInt8], _ slot: UInt32) {
        if version == .v12 { return }
        if retired.count >= settings.subscriptions { retired.removeAll() }
        retired[id] = slot
    }

    /// Nothing more is given to a client that would not take it.
    mutating func disconnect(batch: inout CommandBatch) {
        stagedEnd = "disconnected"
        batch.commands.append(.disconnect)
    }
}
