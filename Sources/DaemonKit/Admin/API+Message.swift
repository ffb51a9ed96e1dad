extension API {
    public struct MessageCount: APISchema {
        public var messages: UInt64 = 0

        public init() {}

        public init(messages: UInt64) { self.messages = messages }

        public static let summary = "How many messages it concerned."
        public static let notes = ["messages": "that are gone from the queue"]
    }

    public struct Purge: APISchema {
        public var messages: UInt64 = 0
        public var next: String?

        public init() {}

        public init(messages: UInt64, next: String? = nil) { (self.messages, self.next) = (messages, next) }

        public static let summary = "How far a purge got."
        public static let notes = [
            "messages": "that are gone from the queue",
            "next": "with a selector: give this as `from` to go on; absent at the end",
        ]
    }

    public struct Move: APISchema {
        public var moved: UInt64 = 0
        public var skipped: UInt64 = 0
        public var remaining: UInt64 = 0
        public var next: String?

        public init() {}

        public init(moved: UInt64, skipped: UInt64 = 0, remaining: UInt64, next: String? = nil) {
            (self.moved, self.skipped, self.remaining, self.next) = (moved, skipped, remaining, next)
        }

        public static let summary = "How far a move or a retry got. One request looks at a bounded number of messages."
        public static let notes = [
            "moved": "messages now in the target",
            "skipped": "messages that stay because they can go nowhere: without `original-destination`, or too large",
            "remaining": "messages in the source that no consumer holds",
            "next": "give this as `from` to go on; absent when all that was there has been looked at",
        ]
    }

    /// The body of a move.
    public struct MoveRequest: APISchema {
        public var to = ""
        public var limit: UInt64?
        public var selector: String?
        public var from: String?

        public init() {}

        public init(to: String, limit: UInt64?) {
            self.to = to
            self.limit = limit
        }

        public static let summary = "Where to move messages, and which."
        public static let notes = [
            "to": "the queue that gets them; made if it does not exist",
            "limit": "most messages, 1 or more; all if absent",
            "selector": "only messages whose headers fit (docs/protocol.md); all if absent",
            "from": "`next` of the answer before",
        ]
    }

    /// The body of a retry.
    public struct RetryRequest: APISchema {
        public var limit: UInt64?
        public var selector: String?
        public var from: String?

        public init() {}

        public static let summary = "Which dead letters go back to where they died."
        public static let notes = [
            "limit": "most messages, 1 or more; all if absent",
            "selector": "only messages whose headers fit (docs/protocol.md); all if absent",
            "from": "`next` of the answer before",
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
        public var place = ""
        public var lane = "usual"
        public var notBeforeUnixMilliseconds: UInt64?
        public var expiresUnixMilliseconds: UInt64?
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
            "sequence": "its number in its lane",
            "place": "of it in the queue, as `from` wants it",
            "lane": "`usual`, `priority 7`, `group 17` (a bucket of groups) or `delayed`",
            "not_before_unix_milliseconds": "when it may be delivered, in milliseconds since 1970; absent if now",
            "expires_unix_milliseconds": "when its time is over, in milliseconds since 1970; absent if never",
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
        public var next: String?

        public init() {}

        public static let summary = "Messages of a queue, lane by lane, oldest first."
        public static let notes = [
            "messages": "of this page",
            "next": "give this as `from` for the next page; absent on the last",
        ]
    }
}
