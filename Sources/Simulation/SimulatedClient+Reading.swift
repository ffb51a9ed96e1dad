import Base
import STOMP

/// What a client makes of what the broker writes.
extension SimulatedClient {
    /// The next `count` bytes that the broker wrote arrive.
    func read(_ count: Int) {
        guard let link else { return }
        let count = min(count, link.outbox.count)
        inbox += UnsafeBufferPointer(link.outbox.readable)[..<count]
        link.outbox.consume(count)
        var start = 0
        let bytes = inbox
        bytes.withUnsafeBufferPointer { bytes in
            while start < bytes.count, self.link != nil {
                guard let (frame, end) = next(UnsafeBufferPointer(rebasing: bytes[start...])) else { break }
                start += end
                if let frame { take(frame) }
            }
        }
        inbox.removeFirst(min(start, inbox.count))
        if let link = self.link {
            if link.outbox.isEmpty, count > 0 { world.broker?.drained(link) }
            if link.isFinished, link.outbox.isEmpty { lose() }
        }
    }

    func next(_ bytes: UnsafeBufferPointer<UInt8>) -> (Frame?, Int)? {
        do throws(FrameError) {
            parser.version = isConnected ? version : nil
            let step = try parser.next(in: bytes)
            if step == .incomplete { return nil }
            if step == .heartBeat { return (nil, parser.consumed) }
            let frame = try Frame.decode(layout: parser.layout, bytes: bytes, version: version)
            return (frame, parser.consumed)
        } catch {
            world.promises.violated("what client \(number) reads is no frame: \(error)")
            return nil
        }
    }

    func take(_ frame: Frame) {
        switch frame.command {
        case .connected: isConnected = true
        case .receipt: confirmed(frame["receipt-id"] ?? "")
        case .message: message(frame)
        case .error: failed(frame)
        default: world.promises.violated("client \(number) gets a \(frame.command.text) frame")
        }
    }

    /// A RECEIPT speaks for its frame and all before it.
    func confirmed(_ id: String) {
        while let receipt = receipts.first {
            receipts.removeFirst()
            if receipt.id.isEmpty || receipt.id == id { learn(receipt) }
            if receipt.id == id { return }
            if !receipt.id.isEmpty { break }
        }
        world.promises.violated("client \(number) gets the RECEIPT \(id) out of order")
    }

    private func learn(_ receipt: Receipt) {
        world.note("client \(number) learns \(receipt.id): \(receipt.meaning)")
        switch receipt.meaning {
        case .nothing, .disconnected: break
        case .sent(let message, let copies):
            for copy in copies { world.promises.confirm(copy) }
            world.promises.arrived(message)
            unconfirmed.removeAll { $0.message == message }
        case .acknowledged(let copies): for copy in copies { world.promises.acknowledged(copy) }
        case .rejected(let copy, let count): world.promises.returned(copy, count: count)
        case .committed(let number): world.promises.committed(number)
        case .durable(let number): world.durables[number].made()
        case .durableGone(let number): world.durables[number].state = .gone
        }
    }

    func message(_ frame: Frame) {
        guard let id = frame["subscription"], let subscription = Subscription.parse(id) else { return }
        let number = frame.body.withUnsafeBufferPointer { Payload.message(in: $0) }
        guard let number, let known = world.promises.checked(number, frame.body, frame["x-check"]) else {
            return world.promises.violated(
                "I2: client \(self.number) reads a message that nobody sent, or that was changed")
        }
        guard let copy = known.copies[subscription.family] else {
            return world.promises.violated("I2: client \(self.number) reads message \(number) from the wrong queue")
        }
        if subscription.isAuto || subscriptions[id] == nil { return }
        arrivals += 1
        held.append(
            Held(
                arrival: arrivals, copy: copy, subscription: id, messageID: frame["message-id"] ?? "",
                ack: frame["ack"] ?? "", count: frame["delivery-count"].flatMap { UInt32($0) } ?? 1))
    }

    static let allowedErrors: Set<String> = [
        "disk is short", "queue deleted", "transaction timed out", "queue of the transaction was deleted",
        "server shutting down", "login timed out", "frame timed out", "durable subscription in use",
        "no such durable subscription", "transaction too large", "too many transactions", "slow consumer",
    ]

    func failed(_ frame: Frame) {
        let message = frame["message"] ?? ""
        world.note("client \(number) gets the ERROR \(message)")
        if !Self.allowedErrors.contains(message) {
            world.promises.violated("client \(number) gets the ERROR \(message): \(frame.text)")
        }
        // A COMMIT that was refused has done nothing.
        if let id = frame["receipt-id"], let receipt = receipts.first(where: { $0.id == id }),
            case .committed(let number) = receipt.meaning
        {
            world.promises.undone(number)
        }
        lose()
    }
}
