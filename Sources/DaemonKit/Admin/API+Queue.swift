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

    public struct MessageCount: APISchema {
        public var messages: UInt64 = 0

        public init() {}

        public init(messages: UInt64) { self.messages = messages }

        public static let summary = "How many messages it concerned."
        public static let notes = ["messages": "that are gone from the queue"]
    }

    public struct Move: APISchema {
        public var moved: UInt64 = 0
        public var remaining: UInt64 = 0

        public init() {}

        public init(moved: UInt64, remaining: UInt64) {
            self.moved = moved
            self.remaining = remaining
        }

        public static let summary = "How far a move got. One request moves a bounded number of messages."
        public static let notes = [
            "moved": "messages now in the target",
            "remaining": "messages in the source that could be moved; above 0, ask again for the rest",
        ]
    }

    /// The body of a move.
    public struct MoveRequest: APISchema {
        public var to = ""
        public var limit: UInt64?

        public init() {}

        public init(to: String, limit: UInt64?) {
            self.to = to
            self.limit = limit
        }

        public static let summary = "Where to move messages, and how many."
        public static let notes = [
            "to": "the queue that gets them; made if it does not exist",
            "limit": "most messages, 1 or more; all if absent",
        ]
    }

    public struct Header: APISchema {
        public var name = ""
        public var value = ""

        public init() {}

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }

        public static let summary = "A header of a message, with escapes resolved."
        public static let notes = ["name": "as the producer wrote it", "value": "as the producer wrote it"]
    }

    public struct Message: APISchema {
        public var sequence: UInt64 = 0
        public var messageID = ""
        public var persistent = true
        public var deliveries: UInt32 = 0
        public var unacked = false
        public var headers: [Header] = []
        public var bodyBytes: UInt64 = 0
        public var body = ""
        public var bodyEncoding = "utf8"
        public var bodyTruncated = false

        public init() {}

        public static let summary = "A message in a queue."
        public static let notes = [
            "sequence": "its place in the queue",
            "message_id": "as its consumers see it",
            "persistent": "whether it outlives the broker's process",
            "deliveries": "how often it has been delivered and come back",
            "unacked": "whether a consumer holds it now",
            "headers": "in the order the producer wrote them; the first of a name counts",
            "body_bytes": "length of the whole body",
            "body": "its beginning, as text or base64",
            "body_encoding": "`utf8` or `base64`",
            "body_truncated": "whether `body` is less than all of it",
        ]

        /// Shows the first `limit` bytes of `bytes`: as text where they are UTF-8 (a character cut by
        /// the limit is left out), otherwise as base64.
        public mutating func show(body bytes: UnsafeBufferPointer<UInt8>, limit: Int) {
            bodyBytes = UInt64(bytes.count)
            let shown = UnsafeBufferPointer(rebasing: bytes.prefix(max(0, limit)))
            let whole = shown.count < bytes.count ? shown.count - Message.cutCharacter(of: shown) : shown.count
            if let text = String(validating: shown.prefix(whole), as: UTF8.self) {
                body = text
                bodyEncoding = "utf8"
                bodyTruncated = whole < bytes.count
            } else {
                body = base64(shown)
                bodyEncoding = "base64"
                bodyTruncated = shown.count < bytes.count
            }
        }

        /// How many bytes at the end begin a character that goes on behind them: 0 to 3.
        static func cutCharacter(of bytes: UnsafeBufferPointer<UInt8>) -> Int {
            for (index, byte) in bytes.suffix(3).reversed().enumerated() where byte & 0xC0 != 0x80 {
                return characterBytes(from: byte) > index + 1 ? index + 1 : 0
            }
            return 0
        }

        /// Length of the character that begins with `byte`; 1 for what begins none of several bytes.
        private static func characterBytes(from byte: UInt8) -> Int {
            switch byte {
            case 0xC2...0xDF: 2
            case 0xE0...0xEF: 3
            case 0xF0...0xF4: 4
            default: 1
            }
        }
    }

    public struct MessageList: APISchema {
        public var messages: [Message] = []
        public var nextSequence: UInt64?

        public init() {}

        public static let summary = "Messages of a queue, oldest first."
        public static let notes = [
            "messages": "of this page",
            "next_sequence": "give this as `from` for the next page; absent on the last",
        ]
    }

    public struct Topic: APISchema {
        public var name = ""
        public var subscribers = 0
        public var inTotal: UInt64 = 0
        public var outTotal: UInt64 = 0
        public var droppedTotal: UInt64 = 0
        public var inPerSecond: Double = 0
        public var outPerSecond: Double = 0

        public init() {}

        public static let summary = "A topic. Totals are since the broker started."
        public static let notes = [
            "name": "without `/topic/`",
            "subscribers": "now, those by wildcard included",
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
