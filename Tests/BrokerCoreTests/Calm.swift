import BrokerCore

extension Policies {
    /// What is refused comes back at once and for ever: for tests of everything else.
    static var calm: Policies {
        var policies = Policies()
        policies.defaults.redeliveryDelay = 0
        policies.defaults.deliveryLimit = 0
        return policies
    }
}
