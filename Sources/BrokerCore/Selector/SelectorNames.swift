/// What JMS and Artemis call in their own words, and where STOMP has it.
enum SelectorNames {
    /// Where the value of a name comes from.
    enum Source: Equatable {
        /// The first of these headers that is there, or else this text.
        case headers([String], otherwise: String?)
        /// One text if `persistent` is `false`, else another.
        case persistence(isFalse: String, otherwise: String)
        /// Nowhere: the broker sets it when it delivers.
        case nowhere
    }

    /// Nil: the header of that name.
    static func source(of name: [UInt8]) -> Source? {
        switch String(decoding: name, as: UTF8.self) {
        case "JMSPriority", "AMQPriority": .headers(["priority"], otherwise: "4")
        case "JMSTimestamp", "AMQTimestamp": .headers(["timestamp"], otherwise: nil)
        case "JMSExpiration", "AMQExpiration": .headers(["expires"], otherwise: "0")
        case "JMSCorrelationID": .headers(["correlation-id"], otherwise: nil)
        case "JMSReplyTo": .headers(["reply-to"], otherwise: nil)
        case "JMSType": .headers(["type"], otherwise: nil)
        case "JMSDestination", "AMQAddress": .headers(["destination"], otherwise: nil)
        case "JMSXGroupID", "AMQGroupID":
            .headers(["JMSXGroupID", "message_group", "message-group", "_AMQ_GROUP_ID"], otherwise: nil)
        case "JMSDeliveryMode": .persistence(isFalse: "NON_PERSISTENT", otherwise: "PERSISTENT")
        case "AMQDurable": .persistence(isFalse: "NON_DURABLE", otherwise: "DURABLE")
        case "AMQSize": .headers(["content-length"], otherwise: nil)
        case "JMSMessageID", "AMQUserID", "JMSRedelivered", "JMSXDeliveryCount", "message-id", "redelivered",
            "delivery-count", "subscription", "ack", "receipt", "transaction":
            .nowhere
        default: nil
        }
    }
}
