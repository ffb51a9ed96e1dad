/// By what a consumer knows a message again, however often it is delivered, and however often it was sent.
///
///     if let key = MessageKey(of: order, for: "billing") { print("known as", key.id) }
public struct MessageKey: Hashable, Sendable {
    /// Who does something about the message. Each consumer remembers for itself.
    public var consumer: String
    /// Where the message was sent to; for a dead letter, where it died.
    public var destination: String
    /// The sender's `dedup-id`, or else the broker's id of the message.
    public var id: String

    /// For tests, and for what is not a message of the broker.
    public init(consumer: String, destination: String, id: String) {
        self.consumer = consumer
        self.destination = destination
        self.id = id
    }

    /// Of a message as `consumer` sees it. nil if the message says nothing to know it by: brokers must give a
    /// `message-id`, so none that keeps to the protocol sends such a one.
    public init?(of message: Message, for consumer: String) {
        let headers = message.headers
        let senders = Self.senders.lazy.compactMap { headers[$0] }.first { !$0.isEmpty }
        let brokers = headers["original-message-id"] ?? message.messageID
        guard let id = senders.map({ "sender " + $0 }) ?? (brokers.isEmpty ? nil : "broker " + brokers) else {
            return nil
        }
        // Of the broker's dead letters, and of those of `Subscription.deadLetter`.
        let origin = headers["original-destination"] ?? headers["rejected-destination"]
        self.init(consumer: consumer, destination: origin ?? message.destination, id: id)
    }

    /// Headers by which senders make a message known again, as brokerd knows them.
    private static let senders = ["dedup-id", "_AMQ_DUPL_ID", "Nats-Msg-Id"]
}
