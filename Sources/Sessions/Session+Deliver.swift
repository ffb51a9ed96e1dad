import Base
import BrokerCore
import STOMP

/// MESSAGE frames. Like every frame of ours they end in NUL and a line feed: clients in use (PHP's
/// extension) take the byte behind NUL for granted, as ActiveMQ and RabbitMQ send it.
extension Session {
    /// Writes `delivery` to `out`, or behind the answers that it must not overtake. False if the
    /// subscription is gone (the core has taken the message back already).
    public mutating func deliver(_ delivery: borrowing Delivery, into out: inout Buffer) -> Bool {
        if state != .connected { return false }
        if delivery.slot != recentSlot || recent == nil {
            guard let found = subscriptions[delivery.slot] else { return false }
            recent = found
            recentSlot = delivery.slot
        }
        if recent.unsafelyUnwrapped.queue != delivery.queue { prepareHead(queue: delivery.queue) }
        let subscription = recent.unsafelyUnwrapped
        if answers.holdsDeliveries {
            let version = version
            answers.addDelivery { Self.write(delivery, for: subscription, version: version, into: &$0) }
        } else {
            Self.write(delivery, for: subscription, version: version, into: &out)
        }
        return true
    }

    private mutating func prepareHead(queue: UInt32) {
        guard var subscription = recent else { return }
        var head = Buffer()
        head.append("MESSAGE\n")
        if subscription.isNamed {
            head.append("subscription:")
            subscription.id.withUnsafeBufferPointer { HeaderText.escape($0, version: version, into: &head) }
            head.append(UInt8(ascii: "\n"))
        }
        head.append("message-id:")
        head.append(utf8: queue == 0 ? settings.bootTag : settings.storeTag)
        head.append(UInt8(ascii: "-"))
        head.append(decimal: UInt64(queue))
        head.append(UInt8(ascii: "-"))
        subscription.head = Array(head.readable)
        subscription.queue = queue
        recent = subscription
        subscriptions[subscription.slot] = subscription
    }

    private static func write(
        _ delivery: borrowing Delivery, for subscription: SessionSubscription, version: Version, into out: inout Buffer
    ) {
        out.reserve(subscription.head.count + Int(delivery.content.count) + 128)
        out.append(subscription.head)
        out.append(decimal: delivery.sequence)
        if version == .v12, subscription.mode != .auto {
            out.append("\nack:")
            out.append(decimal: UInt64(delivery.slot))
            out.append(UInt8(ascii: "-"))
            out.append(decimal: delivery.tag)
        }
        if delivery.count > 1 {
            out.append("\nredelivered:true\ndelivery-count:")
            out.append(decimal: UInt64(delivery.count))
        }
        out.append(UInt8(ascii: "\n"))
        let content = delivery.content.bytes
        if version == .v12 {
            out.append(content)
            out.append(0x0A)
            return
        }
        // Stored as 1.2 text; the blank line is the last byte of the head.
        let head = UnsafeBufferPointer(rebasing: content[..<(Int(delivery.headerBytes) - 1)])
        HeaderText.rewrite(headerBlock: head, to: version, into: &out)
        out.append(UnsafeBufferPointer(rebasing: content[(Int(delivery.headerBytes) - 1)...]))
        out.append(0x0A)
    }
}
