/// The header names that mean something to a broker or its clients, so that nobody has to compare strings.
/// Spellings of other brokers are cases of their own: what they mean, and which may stand together, is for
/// the session to say. At most 127 besides `other`: see `HeaderSet`.
public enum KnownHeader: UInt8, Sendable, CaseIterable {
    case other = 0

    // Of the protocol
    case contentLength, contentType, destination, receipt, receiptID, transaction, id, ack, messageID
    case subscription, host, login, passcode, acceptVersion, version, heartBeat, session, server, message
    case selector

    // Common to several brokers
    case persistent, replyTo, correlationID, priority, timestamp, expires, ttl, expiration, redelivered
    case deliveryCount, delay, requeue, exclusive, browser, browserEnd, clientID, durable, autoDelete, noLocal
    case sender

    // How much a consumer is sent ahead of its acknowledgements
    case prefetchCount, prefetchSize, activemqPrefetchSize, credit, consumerWindowSize

    // Ours: what a sender asks for, and what a dead letter tells
    case messageGroup, dedupID, deliverAt, retain, retained, deadLetterReason, deadLetterTime
    case originalDestination, originalMessageID, refusedBy

    // Names for the same thing in one broker each: of a message
    case amqScheduledDelay, amqScheduledTime, amqScheduledPeriod, amqScheduledRepeat, amqScheduledCron
    case artemisDeliveryTime, rabbitDelay, jmsPriority, jmsExpiration, groupID, groupSequence, apolloGroup
    case artemisGroupID, artemisDuplicateID, natsMessageID, lastValueName

    // Of a subscription
    case durableSubscriptionName, durableSubscriberName, activemqSubscriptionName, activemqExclusive
    case activemqNoLocal, activemqPriority, activemqRetroactive, singleActiveConsumer, consumerPriority
    case subscriptionType, destinationType, streamOffset, fromSequence, includeSequence, streamFilter

    // RabbitMQ's arguments of a queue
    case queueType, queueName, messageTTL, queueExpires, maxLength, maxLengthBytes, maxAge, overflow
    case maxPriority, deliveryLimit, deadLetterExchange, deadLetterRoutingKey, deadLetterStrategy

    /// As it stands on the wire; empty for `other`.
    public var text: StaticString {
        switch self {
        case .other: ""
        case .contentLength: "content-length"
        case .contentType: "content-type"
        case .destination: "destination"
        case .receipt: "receipt"
        case .receiptID: "receipt-id"
        case .transaction: "transaction"
        case .id: "id"
        case .ack: "ack"
        case .messageID: "message-id"
        case .subscription: "subscription"
        case .host: "host"
        case .login: "login"
        case .passcode: "passcode"
        case .acceptVersion: "accept-version"
        case .version: "version"
        case .heartBeat: "heart-beat"
        case .session: "session"
        case .server: "server"
        case .message: "message"
        case .selector: "selector"
        case .persistent: "persistent"
        case .replyTo: "reply-to"
        case .correlationID: "correlation-id"
        case .priority: "priority"
        case .timestamp: "timestamp"
        case .expires: "expires"
        case .ttl: "ttl"
        case .expiration: "expiration"
        case .redelivered: "redelivered"
        case .deliveryCount: "delivery-count"
        case .delay: "delay"
        case .requeue: "requeue"
        case .exclusive: "exclusive"
        case .browser: "browser"
        case .browserEnd: "browser-end"
        case .clientID: "client-id"
        case .durable: "durable"
        case .autoDelete: "auto-delete"
        case .noLocal: "no-local"
        case .sender: "sender"
        case .prefetchCount: "prefetch-count"
        case .prefetchSize: "prefetch-size"
        case .activemqPrefetchSize: "activemq.prefetchSize"
        case .credit: "credit"
        case .consumerWindowSize: "consumer-window-size"
        case .messageGroup: "message-group"
        case .dedupID: "dedup-id"
        case .deliverAt: "deliver-at"
        case .retain: "retain"
        case .retained: "retained"
        case .deadLetterReason: "dead-letter-reason"
        case .deadLetterTime: "dead-letter-time"
        case .originalDestination: "original-destination"
        case .originalMessageID: "original-message-id"
        case .refusedBy: "refused-by"
        case .amqScheduledDelay: "AMQ_SCHEDULED_DELAY"
        case .amqScheduledTime: "AMQ_SCHEDULED_TIME"
        case .amqScheduledPeriod: "AMQ_SCHEDULED_PERIOD"
        case .amqScheduledRepeat: "AMQ_SCHEDULED_REPEAT"
        case .amqScheduledCron: "AMQ_SCHEDULED_CRON"
        case .artemisDeliveryTime: "_AMQ_SCHED_DELIVERY"
        case .rabbitDelay: "x-delay"
        case .jmsPriority: "JMSPriority"
        case .jmsExpiration: "JMSExpiration"
        case .groupID: "JMSXGroupID"
        case .groupSequence: "JMSXGroupSeq"
        case .apolloGroup: "message_group"
        case .artemisGroupID: "_AMQ_GROUP_ID"
        case .artemisDuplicateID: "_AMQ_DUPL_ID"
        case .natsMessageID: "Nats-Msg-Id"
        case .lastValueName: "_AMQ_LVQ_NAME"
        case .durableSubscriptionName: "durable-subscription-name"
        case .durableSubscriberName: "durable-subscriber-name"
        case .activemqSubscriptionName: "activemq.subscriptionName"
        case .activemqExclusive: "activemq.exclusive"
        case .activemqNoLocal: "activemq.noLocal"
        case .activemqPriority: "activemq.priority"
        case .activemqRetroactive: "activemq.retroactive"
        case .singleActiveConsumer: "x-single-active-consumer"
        case .consumerPriority: "x-priority"
        case .subscriptionType: "subscription-type"
        case .destinationType: "destination-type"
        case .streamOffset: "x-stream-offset"
        case .fromSequence: "from-seq"
        case .includeSequence: "include-seq"
        case .streamFilter: "x-stream-filter"
        case .queueType: "x-queue-type"
        case .queueName: "x-queue-name"
        case .messageTTL: "x-message-ttl"
        case .queueExpires: "x-expires"
        case .maxLength: "x-max-length"
        case .maxLengthBytes: "x-max-length-bytes"
        case .maxAge: "x-max-age"
        case .overflow: "x-overflow"
        case .maxPriority: "x-max-priority"
        case .deliveryLimit: "x-delivery-limit"
        case .deadLetterExchange: "x-dead-letter-exchange"
        case .deadLetterRoutingKey: "x-dead-letter-routing-key"
        case .deadLetterStrategy: "x-dead-letter-strategy"
        }
    }

    /// The header of this name. `count` bytes can be read at `name`. Names of one length are few, and a
    /// comparison with a constant becomes one or two machine words.
    init(_ name: UnsafePointer<UInt8>, count: Int) {
        self = .other
        switch count {
        case 2:
            if same(name, "id") {
                self = .id
            }
        case 3:
            if same(name, "ack") {
                self = .ack
            } else if same(name, "ttl") {
                self = .ttl
            }
        case 4:
            if same(name, "host") {
                self = .host
            }
        case 5:
            if same(name, "login") {
                self = .login
            } else if same(name, "delay") {
                self = .delay
            }
        case 6:
            if same(name, "server") {
                self = .server
            } else if same(name, "sender") {
                self = .sender
            } else if same(name, "credit") {
                self = .credit
            } else if same(name, "retain") {
                self = .retain
            }
        case 7:
            if same(name, "receipt") {
                self = .receipt
            } else if same(name, "version") {
                self = .version
            } else if same(name, "session") {
                self = .session
            } else if same(name, "message") {
                self = .message
            } else if same(name, "expires") {
                self = .expires
            } else if same(name, "requeue") {
                self = .requeue
            } else if same(name, "browser") {
                self = .browser
            } else if same(name, "durable") {
                self = .durable
            } else if same(name, "x-delay") {
                self = .rabbitDelay
            }
        case 8:
            if same(name, "passcode") {
                self = .passcode
            } else if same(name, "selector") {
                self = .selector
            } else if same(name, "reply-to") {
                self = .replyTo
            } else if same(name, "priority") {
                self = .priority
            } else if same(name, "no-local") {
                self = .noLocal
            } else if same(name, "dedup-id") {
                self = .dedupID
            } else if same(name, "retained") {
                self = .retained
            } else if same(name, "from-seq") {
                self = .fromSequence
            }
        case 9:
            if same(name, "timestamp") {
                self = .timestamp
            } else if same(name, "exclusive") {
                self = .exclusive
            } else if same(name, "client-id") {
                self = .clientID
            } else if same(name, "x-expires") {
                self = .queueExpires
            } else if same(name, "x-max-age") {
                self = .maxAge
            }
        case 10:
            if same(name, "receipt-id") {
                self = .receiptID
            } else if same(name, "message-id") {
                self = .messageID
            } else if same(name, "heart-beat") {
                self = .heartBeat
            } else if same(name, "persistent") {
                self = .persistent
            } else if same(name, "expiration") {
                self = .expiration
            } else if same(name, "deliver-at") {
                self = .deliverAt
            } else if same(name, "refused-by") {
                self = .refusedBy
            } else if same(name, "x-priority") {
                self = .consumerPriority
            } else if same(name, "x-overflow") {
                self = .overflow
            }
        case 11:
            if same(name, "destination") {
                self = .destination
            } else if same(name, "transaction") {
                self = .transaction
            } else if same(name, "redelivered") {
                self = .redelivered
            } else if same(name, "browser-end") {
                self = .browserEnd
            } else if same(name, "auto-delete") {
                self = .autoDelete
            } else if same(name, "JMSPriority") {
                self = .jmsPriority
            } else if same(name, "JMSXGroupID") {
                self = .groupID
            } else if same(name, "Nats-Msg-Id") {
                self = .natsMessageID
            } else if same(name, "include-seq") {
                self = .includeSequence
            }
        case 12:
            if same(name, "content-type") {
                self = .contentType
            } else if same(name, "subscription") {
                self = .subscription
            } else if same(name, "JMSXGroupSeq") {
                self = .groupSequence
            } else if same(name, "_AMQ_DUPL_ID") {
                self = .artemisDuplicateID
            } else if same(name, "x-queue-type") {
                self = .queueType
            } else if same(name, "x-queue-name") {
                self = .queueName
            } else if same(name, "x-max-length") {
                self = .maxLength
            }
        case 13:
            if same(name, "prefetch-size") {
                self = .prefetchSize
            } else if same(name, "message-group") {
                self = .messageGroup
            } else if same(name, "JMSExpiration") {
                self = .jmsExpiration
            } else if same(name, "message_group") {
                self = .apolloGroup
            } else if same(name, "_AMQ_GROUP_ID") {
                self = .artemisGroupID
            } else if same(name, "_AMQ_LVQ_NAME") {
                self = .lastValueName
            } else if same(name, "x-message-ttl") {
                self = .messageTTL
            }
        case 14:
            if same(name, "content-length") {
                self = .contentLength
            } else if same(name, "accept-version") {
                self = .acceptVersion
            } else if same(name, "correlation-id") {
                self = .correlationID
            } else if same(name, "delivery-count") {
                self = .deliveryCount
            } else if same(name, "prefetch-count") {
                self = .prefetchCount
            } else if same(name, "x-max-priority") {
                self = .maxPriority
            }
        case 15:
            if same(name, "x-stream-offset") {
                self = .streamOffset
            } else if same(name, "x-stream-filter") {
                self = .streamFilter
            }
        case 16:
            if same(name, "dead-letter-time") {
                self = .deadLetterTime
            } else if same(name, "activemq.noLocal") {
                self = .activemqNoLocal
            } else if same(name, "destination-type") {
                self = .destinationType
            } else if same(name, "x-delivery-limit") {
                self = .deliveryLimit
            }
        case 17:
            if same(name, "activemq.priority") {
                self = .activemqPriority
            } else if same(name, "subscription-type") {
                self = .subscriptionType
            }
        case 18:
            if same(name, "dead-letter-reason") {
                self = .deadLetterReason
            } else if same(name, "AMQ_SCHEDULED_TIME") {
                self = .amqScheduledTime
            } else if same(name, "AMQ_SCHEDULED_CRON") {
                self = .amqScheduledCron
            } else if same(name, "activemq.exclusive") {
                self = .activemqExclusive
            } else if same(name, "x-max-length-bytes") {
                self = .maxLengthBytes
            }
        case 19:
            if same(name, "original-message-id") {
                self = .originalMessageID
            } else if same(name, "AMQ_SCHEDULED_DELAY") {
                self = .amqScheduledDelay
            } else if same(name, "_AMQ_SCHED_DELIVERY") {
                self = .artemisDeliveryTime
            }
        case 20:
            if same(name, "consumer-window-size") {
                self = .consumerWindowSize
            } else if same(name, "original-destination") {
                self = .originalDestination
            } else if same(name, "AMQ_SCHEDULED_PERIOD") {
                self = .amqScheduledPeriod
            } else if same(name, "AMQ_SCHEDULED_REPEAT") {
                self = .amqScheduledRepeat
            } else if same(name, "activemq.retroactive") {
                self = .activemqRetroactive
            }
        case 21:
            if same(name, "activemq.prefetchSize") {
                self = .activemqPrefetchSize
            }
        case 22:
            if same(name, "x-dead-letter-exchange") {
                self = .deadLetterExchange
            } else if same(name, "x-dead-letter-strategy") {
                self = .deadLetterStrategy
            }
        case 23:
            if same(name, "durable-subscriber-name") {
                self = .durableSubscriberName
            }
        case 24:
            if same(name, "x-single-active-consumer") {
                self = .singleActiveConsumer
            }
        case 25:
            if same(name, "durable-subscription-name") {
                self = .durableSubscriptionName
            } else if same(name, "activemq.subscriptionName") {
                self = .activemqSubscriptionName
            } else if same(name, "x-dead-letter-routing-key") {
                self = .deadLetterRoutingKey
            }
        default: break
        }
    }
}
