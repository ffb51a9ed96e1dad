extension API {
    public struct DurableSubscription: APISchema {
        public var destination = ""
        public var name = ""
        public var clientID: String?
        public var topic = ""
        public var selector: String?
        public var consumers = 0
        public var messages: UInt64 = 0
        public var bytes: UInt64 = 0
        public var lastUsedUnixSeconds: UInt64?
        public var orphan = false

        public init() {}

        public static let summary = "A durable subscription to a topic."
        public static let notes = [
            "destination": "of its messages: `/dsub/NAME`, or `/dsub/CLIENT.NAME` if it belongs to a client",
            "name": "as its consumers give it",
            "client_id": "the client that it belongs to; absent if all who name it share it",
            "topic": "name or pattern, with its prefix",
            "selector": "which messages it wants; absent if all",
            "consumers": "that take from it now",
            "messages": "waiting in it, delivered ones that are not acknowledged included",
            "bytes": "size of these, headers included",
            "last_used_unix_seconds": "when its last consumer left, in seconds since 1970; absent while it has one",
            "orphan": "true while it has no consumer: its messages pile up",
        ]
    }

    public struct DurableSubscriptionList: APISchema {
        public var durableSubscriptions: [DurableSubscription] = []
        public var total = 0
        public var next: String?

        public init() {}

        public init(of rows: [DurableSubscription], _ query: ListQuery) {
            (durableSubscriptions, total, next) = query.page(of: rows) { $0.destination }
        }

        public static let summary = "Durable subscriptions, ordered by the bytes of their destinations."
        public static let notes = [
            "durable_subscriptions": "of this page",
            "total": "how many match on all pages",
            "next": "give this as `after` for the next page; absent on the last",
        ]
    }
}
