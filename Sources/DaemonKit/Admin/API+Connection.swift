extension API {
    public struct Connection: APISchema {
        public var id: UInt64 = 0
        public var peer = ""
        public var stompVersion: String?
        public var login: String?
        public var connectedUnixMilliseconds: UInt64 = 0
        public var subscriptions = 0
        public var inBytes: UInt64 = 0
        public var outBytes: UInt64 = 0
        public var inMessages: UInt64 = 0
        public var outMessages: UInt64 = 0
        public var unacked: UInt64 = 0
        public var outboxBytes: UInt64 = 0

        public init() {}

        public static let summary = "A connection of a STOMP client."
        public static let notes = [
            "id": "unique while the broker runs",
            "peer": "address of the client",
            "stomp_version": "agreed on; absent before CONNECTED",
            "login": "as the client gave it; absent when it gave none",
            "connected_unix_milliseconds": "since when, in milliseconds since 1970",
            "subscriptions": "on this connection",
            "in_bytes": "received",
            "out_bytes": "sent",
            "in_messages": "SEND frames taken",
            "out_messages": "MESSAGE frames sent",
            "unacked": "messages it has not acknowledged",
            "outbox_bytes": "waiting until the client reads",
        ]
    }

    public struct ConnectionList: APISchema {
        public var connections: [Connection] = []
        public var total = 0
        public var next: String?

        public init() {}

        public static let summary = "Connections by id."
        public static let notes = [
            "connections": "of this page",
            "total": "how many match on all pages",
            "next": "give this as `after` for the next page; absent on the last",
        ]
    }

    public struct Subscription: APISchema {
        public var connectionID: UInt64 = 0
        public var id = ""
        public var destination = ""
        public var ack = ""
        public var prefetch = 0
        public var unacked: UInt64 = 0
        public var deliveredTotal: UInt64 = 0
        public var redeliveredTotal: UInt64 = 0
        public var droppedTotal: UInt64 = 0
        public var selector: String?
        public var exclusive = false

        public init() {}

        public static let summary = "A subscription of a STOMP client."
        public static let notes = [
            "connection_id": "whose it is",
            "id": "as the client gave it",
            "destination": "with its prefix",
            "ack": "`auto`, `client` or `client-individual`",
            "prefetch": "most messages it may hold without acknowledging; 0 for no limit",
            "unacked": "messages it holds",
            "delivered_total": "messages it got",
            "redelivered_total": "of these, messages that had been delivered before",
            "dropped_total": "messages of a topic that it did not get because it was too slow",
            "selector": "which messages it wants; absent if all",
            "exclusive": "whether it wants the queue for itself",
        ]
    }

    public struct SubscriptionList: APISchema {
        public var subscriptions: [Subscription] = []
        public var total = 0
        public var next: String?

        public init() {}

        public static let summary = "Subscriptions by connection."
        public static let notes = [
            "subscriptions": "of this page",
            "total": "how many match on all pages",
            "next": "give this as `after` for the next page; absent on the last",
        ]
    }
}
