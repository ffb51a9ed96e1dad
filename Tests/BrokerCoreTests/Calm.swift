import BrokerCore

extension QueueSettings {
    /// What is refused comes back at once and for ever: for tests of everything else.
    static var calm: QueueSettings {
        var settings = QueueSettings()
        settings.redeliveryDelay = 0
        settings.deliveryLimit = 0
        return settings
    }
}
