import Base

/// Everything that a destination can be told. The checks of policies and queues, the admin interface and
/// docs/policies.md are made from this table, so none of them can say something else.
extension QueueSetting {
    /// In the order in which people read them.
    public static let all: [QueueSetting] = redelivery + time + size + duplicates + life + topics

    private static let byName: [String: QueueSetting] = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    public static func named(_ name: String) -> QueueSetting? { byName[name] }

    /// The known name that a wrong one was probably meant to be.
    public static func nearest(to name: String) -> String? { nearestWord(to: name, among: all.map(\.name)) }

    private static let day: UInt64 = 86_400_000
    private static let stored: [Scope] = [.queues, .durableSubscriptions]

    private static let redelivery: [QueueSetting] = [
        .number(
            "delivery_limit", \.deliveryLimit, 0...1_000_000, stored,
            "Deliveries of one message, after which it goes to the dead-letter queue. 0 means no limit: a message "
                + "that no consumer can digest then comes back for ever."),
        .number(
            "redelivery_delay_ms", \.redeliveryDelay, 0...day, stored,
            "The wait before a refused message is delivered again for the first time. 0 means at once."),
        .number(
            "redelivery_multiplier_percent", \.redeliveryMultiplierPercent, 100...1000, stored,
            "By how much each further wait is longer than the one before; 200 doubles it, 100 keeps it the same."),
        .number(
            "redelivery_delay_most_ms", \.redeliveryDelayMost, 0...7 * day, stored,
            "The longest wait, however often a message came back."),
        .number(
            "redelivery_jitter_percent", \.redeliveryJitterPercent, 0...100, stored,
            "How much of a wait is left to chance, so that what failed together does not come back together."),
        .deadLetterQueue(
            "dead_letter_queue", \.deadLetterQueue, stored,
            "Where dead messages go. With none they are thrown away and counted."),
    ]

    private static let time: [QueueSetting] = [
        .number(
            "time_to_live_ms", \.timeToLive, 0...3650 * day, stored,
            "The longest that a message lives here, whatever its sender says. 0 means no limit."),
        .choice(
            "expired", \.expired, stored,
            "What becomes of a message whose time is over: it is dropped, or goes to the dead-letter queue."),
    ]

    private static let size: [QueueSetting] = [
        .number(
            "length_most", \.lengthMost, 0...1_000_000_000_000, stored,
            "Messages that a queue may hold, unacknowledged ones included. 0 means no limit."),
        .bytes(
            "bytes_most", \.bytesMost, 0...1 << 44, stored,
            "Bytes of messages that a queue may hold, headers included. 0 means no limit."),
        .choice(
            "overflow", \.overflow, stored,
            "What happens when the queue is full: SEND is answered by ERROR, the oldest messages make room, or the "
                + "sender is not read from until there is room."),
        .number(
            "block_seconds", \.blockSeconds, 1...3600, stored,
            "How long overflow: block holds a sender before it refuses as reject does."),
    ]

    private static let duplicates: [QueueSetting] = [
        .number(
            "dedup_seconds", \.dedupSeconds, 0...604_800, stored,
            "How long a dedup-id is remembered; a second message with it is confirmed and not stored. 0 means none is."),
        .number(
            "dedup_count", \.dedupCount, 1...1_000_000, stored,
            "How many of them are remembered at most; beyond, the oldest is forgotten."),
    ]

    private static let life: [QueueSetting] = [
        .flag(
            "auto_create", \.autoCreate, [.queues],
            "Whether the queue comes to be when a client names it. If not, a typo is an ERROR and no queue."),
        .number(
            "auto_delete_seconds", \.autoDeleteSeconds, 0...31_536_000, [.queues],
            "An empty queue without consumers that nobody has sent to or subscribed to for so long is deleted. "
                + "0 means never."),
        .flag(
            "exclusive_consumer", \.exclusiveConsumer, stored,
            "One consumer at a time gets everything, in order; the others stand by for its end."),
    ]

    private static let topics: [QueueSetting] = [
        .choice(
            "slow_subscriber", \.slowSubscriber, [.topics],
            "What happens to a subscriber that falls behind by topic.subscriber_backlog_bytes: it is disconnected, or "
                + "loses the oldest or the newest messages."),
        .number(
            "subscription_expiry_seconds", \.subscriptionExpirySeconds, 0...315_360_000, [.durableSubscriptions],
            "A durable subscription that nobody has used for so long is deleted with what is in it. 0 means never."),
    ]
}
