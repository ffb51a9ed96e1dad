import BrokerCore

extension Rig {
    /// UNSUBSCRIBE that may delete a durable subscription.
    mutating func unsubscribe(_ slot: UInt32, deletes: Bool, of session: SessionID) -> Refusal.Kind? {
        apply(.unsubscribe(slot: slot, deletes: deletes), of: session)
    }

    mutating func deleteSubscription(_ name: String, client: String, of session: SessionID) -> Refusal.Kind? {
        var more = SubscribeExtras()
        more.durableName = bytes(name)
        more.clientID = bytes(client)
        extras.subscribes = [more]
        return apply(.deleteSubscription(extras: 0), of: session)
    }

    private mutating func apply(_ command: Command, of session: SessionID) -> Refusal.Kind? {
        let refusal = withUnsafePointer(to: command) {
            core.apply(
                UnsafeBufferPointer(start: $0, count: 1), extras: extras, of: session, now: core.now, into: &effects
            ).refusal
        }
        carryOut()
        return refusal?.kind
    }
}
