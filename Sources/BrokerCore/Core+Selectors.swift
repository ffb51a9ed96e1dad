import Base

/// Subscriptions that want only some of the messages.
extension Core {
    /// The selector that a SUBSCRIBE asks for. `kind`: of its destination.
    static func selector(_ extras: SubscribeExtras?, for kind: DestinationKind) throws(Refusal) -> Selector? {
        guard let extras, let selector = try selector(extras.selector) else { return nil }
        if kind == .reply {
            throw Refusal(.badSelector, "a reply channel has one reader, and what it leaves would stay for ever")
        }
        return selector
    }

    /// Of its text; nil for an empty one.
    static func selector(_ text: [UInt8]) throws(Refusal) -> Selector? {
        if text.isEmpty { return nil }
        do throws(SelectorError) { return try Selector(text) } catch { throw Refusal(error) }
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
