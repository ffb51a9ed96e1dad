import Base

/// Subscriptions that want only some of the messages.
extension Core {
    /// The selector that a SUBSCRIBE asks for. `kind`: of its destination.
    static func selector(_ extras: SubscribeExtras?, for kind: DestinationKind) throws(Refusal) -> Selector? {
        guard let text = extras?.selector, !text.isEmpty else { return nil }
        let selector: Selector
        do throws(SelectorError) {
            selector = try Selector(text)
        } catch {
            throw Refusal(error)
        }
        switch kind {
        case .topic, .queue, .durable: return selector
        case .reply:
            throw Refusal(.badSelector, "a reply channel has one reader, and what it leaves would stay for ever")
        }
    }

    /// Whether a subscription's selector, if it has one, takes this message.
    @inline(__always)
    func selects(_ subscription: Int, _ content: Slice, headerBytes: UInt32) -> Bool {
        Self.selects(subscriptions[subscription].selector, content.bytes, headerBytes: headerBytes)
    }

    @inline(__always)
    static func selects(_ selector: Selector?, _ content: Bytes, headerBytes: UInt32) -> Bool {
        guard let selector else { return true }
        return selector.matches(UnsafeBufferPointer(rebasing: content.prefix(Int(headerBytes))))
    }
}
