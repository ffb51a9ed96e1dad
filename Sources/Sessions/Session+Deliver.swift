import Base
import BrokerCore
import STOMP

/// MESSAGE frames. Like every frame of ours they end in NUL and a line feed: clients in use (PHP's
/// extension) take the byte behind NUL for granted, as ActiveMQ and RabbitMQ send it.
extension Session {
    /// Writes `delivery` to `out`, or behind the answers that it must not overtake. False if the
    /// subscription is gone (the core has taken the message back already).
    public mutating func deliver(_ delivery: borrowing Delivery, into out: inout Buffer) -> Bool {
        let slot = delivery.slot
        return withUnsafePointer(to: delivery) { deliver($0, for: slot, into: &out) }
    }

    /// The same for the subscription `slot`. By address, since a copy would count a reference to the message, and
    /// other threads do so too.
    public mutating func deliver(
        _ delivery: UnsafePointer<Delivery>, for slot: UInt32, into out: inout Buffer
    ) -> Bool {
        if state != .connected { return false }
        let queue = delivery.pointee.queue
        guard head.isOf(slot, queue: queue) || prepareHead(slot: slot, queue: queue) else { return false }
        if answers.holdsDeliveries {
            let (head, version) = (Array(head.text.readable), version)
            let hasAck = self.head.hasAck
            answers.addDelivery { out in
                head.withUnsafeBufferPointer { Self.write(delivery, behind: $0, hasAck: hasAck, version, into: &out) }
            }
        } else {
            Self.write(
                delivery, behind: UnsafeBufferPointer(head.text.readable), hasAck: head.hasAck, version, into: &out)
        }
        return true
    }

    /// False if there is no such subscription.
    mutating func prepareHead(slot: UInt32, queue: UInt32) -> Bool {
        guard let subscription = subscriptions[slot] else { return false }
        if subscription.queue != queue {
            let text = headText(of: subscription, queue: queue)
            subscriptions[slot]?.head = text
            subscriptions[slot]?.queue = queue
            head.text.clear()
            head.text.append(text)
        } else {
            head.text.clear()
            head.text.append(subscription.head)
        }
        head.slot = slot
        head.queue = queue
        head.hasAck = version == .v12 && subscription.mode != .auto
        return true
    }

    private func headText(of subscription: SessionSubscription, queue: UInt32) -> [UInt8] {
        var text = Buffer()
        text.append("MESSAGE\n")
        if subscription.isNamed {
            text.append("subscription:")
            subscription.id.withUnsafeBufferPointer { HeaderText.escape($0, version: version, into: &text) }
            text.append(UInt8(ascii: "\n"))
        }
        text.append("message-id:")
        text.append(utf8: queue == 0 ? settings.bootTag : settings.storeTag)
        text.append(UInt8(ascii: "-"))
        text.append(decimal: UInt64(queue))
        text.append(UInt8(ascii: "-"))
        return Array(text.readable)
    }

    private static func write(
        _ delivery: UnsafePointer<Delivery>, behind head: UnsafeBufferPointer<UInt8>, hasAck: Bool, _ version: Version,
        into out: inout Buffer
    ) {
        let content = delivery.pointee.bytes
        out.reserve(head.count + content.count + 128)
        out.append(head)
        out.append(decimal: delivery.pointee.sequence)
        if hasAck {
            out.append("\nack:")
            out.append(decimal: UInt64(delivery.pointee.slot))
            out.append(UInt8(ascii: "-"))
            out.append(decimal: delivery.pointee.tag)
        }
        if delivery.pointee.count > 1 {
            out.append("\nredelivered:true\ndelivery-count:")
            out.append(decimal: UInt64(delivery.pointee.count))
        }
        out.append(UInt8(ascii: "\n"))
        if version == .v12 {
            out.append(content)
            out.append(0x0A)
            return
        }
        // Stored as 1.2 text; the blank line is the last byte of the head.
        let block = UnsafeBufferPointer(rebasing: content[..<(Int(delivery.pointee.headerBytes) - 1)])
        HeaderText.rewrite(headerBlock: block, to: version, into: &out)
        out.append(UnsafeBufferPointer(rebasing: content[(Int(delivery.pointee.headerBytes) - 1)...]))
        out.append(0x0A)
    }
}

/// The start of the MESSAGE that was written last, up to the sequence of its id: the next most often has it too.
struct MessageHead: ~Copyable {
    /// 0: of none.
    var slot: UInt32 = 0
    var queue: UInt32 = 0
    var hasAck = false
    var text = Buffer()

    @inline(__always) func isOf(_ slot: UInt32, queue: UInt32) -> Bool { slot == self.slot && queue == self.queue }
}
