extension API {
    public struct Queue: APISchema {
        public var name = ""
        public var durable = true
        public var messages: UInt64 = 0
        public var ready: UInt64 = 0
        public var unacked: UInt64 = 0
        public var bytes: UInt64 = 0
        public var consumers = 0
        public var inTotal: UInt64 = 0
        public var outTotal: UInt64 = 0
        public var redeliveredTotal: UInt64 = 0
        public var delayed: UInt64 = 0
        public var waiting: UInt64 = 0
        public var expiredTotal: UInt64 = 0
        public var deadLetteredTotal: UInt64 = 0
        public var duplicatesTotal: UInt64 = 0
        public var rejectedTotal: UInt64 = 0
        public var droppedTotal: UInt64 = 0
        public var oldestAgeMs: UInt64?
        public var inPerSecond: Double = 0
        public var outPerSecond: Double = 0
        public var lanes = 0
        public var memoryBytes: UInt64 = 0
        public var deliveryPaused = false
        public var sendingPaused = false
        /// The folder of its files in the data directory; nil for a queue that is not stored.
        public var storageID: UInt32?

        public init() {}

        public static let summary = "A queue. Totals are since the broker started."
        public static let notes = [
            "name": "without `/queue/`",
            "durable": "whether it outlives the broker's process; false for temporary queues",
            "messages": "in it, delivered ones that are not acknowledged included",
            "ready": "waiting for a consumer",
            "unacked": "delivered and not yet acknowledged",
            "bytes": "size of its messages, headers included",
            "consumers": "subscriptions to it",
            "in_total": "messages taken",
            "out_total": "messages delivered, redeliveries included",
            "redelivered_total": "messages delivered again",
            "delayed": "not due yet",
            "waiting": "came back and wait for the next delivery, or for their move to the dead-letter queue",
            "expired_total": "messages whose time was over",
            "dead_lettered_total": "messages given up and put into the dead-letter queue",
            "duplicates_total": "messages confirmed and not taken, since they had been sent before",
            "rejected_total": "messages refused because the queue was full",
            "dropped_total": "messages thrown out because the queue was full",
            "oldest_age_ms": "since the oldest ready message came, at least, in milliseconds; absent if none is ready",
            "in_per_second": "messages taken, in the last second",
            "out_per_second": "messages delivered, in the last second",
            "lanes": "priorities, buckets of groups and stretches of time that have messages of their own",
            "memory_bytes": "held in memory for it",
            "delivery_paused": "whether an operator has stopped delivering",
            "sending_paused": "whether an operator has stopped taking messages",
            "storage_id": "name of its folder in the data directory; absent when it is not stored",
        ]
    }

    public struct QueueList: APISchema {
        public var queues: [Queue] = []
        public var total = 0
        public var next: String?

        public init() {}

        public static let summary = "Queues, ordered by the bytes of their names."
        public static let notes = [
            "queues": "of this page",
            "total": "how many match on all pages",
            "next": "give this as `after` for the next page; absent on the last",
        ]
    }

    public struct QueueCreation: APISchema {
        public var created = false
        public var queue = Queue()

        public init() {}

        public static let summary = "The queue that was asked for."
        public static let notes = [
            "created": "false when it existed already",
            "queue": "as it is now",
        ]
    }

    public struct Topic: APISchema {
        public var name = ""
        public var subscribers = 0
        public var durableSubscribers = 0
        public var retaining = false
        public var inTotal: UInt64 = 0
        public var outTotal: UInt64 = 0
        public var droppedTotal: UInt64 = 0
        public var inPerSecond: Double = 0
        public var outPerSecond: Double = 0

        public init() {}

        public static let summary = "A topic. Totals are since the broker started."
        public static let notes = [
            "name": "without `/topic/`",
            "subscribers": "now, each under the name or pattern that it asked for",
            "durable_subscribers": "durable subscriptions to this name or pattern",
            "retaining": "whether its last value is kept for new subscribers",
            "in_total": "messages published",
            "out_total": "messages delivered, to all subscribers together",
            "dropped_total": "messages not delivered because a subscriber was too slow",
            "in_per_second": "published, in the last seconds",
            "out_per_second": "delivered, in the last seconds",
        ]
    }

    public struct TopicList: APISchema {
        public var topics: [Topic] = []
        public var total = 0
        public var next: String?

        public init() {}

        public static let summary = "Topics, ordered by the bytes of their names."
        public static let notes = [
            "topics": "of this page",
            "total": "how many match on all pages",
            "next": "give this as `after` for the next page; absent on the last",
        ]
    }
}
