/// Lists made from all rows: what a backend that can see everything at once needs.

extension API.QueueList {
    public init(of rows: [API.Queue], _ query: ListQuery) {
        self.init()
        (queues, total, next) = query.page(of: rows) { $0.name }
    }
}

extension API.TopicList {
    public init(of rows: [API.Topic], _ query: ListQuery) {
        self.init()
        (topics, total, next) = query.page(of: rows) { $0.name }
    }
}

extension API.ConnectionList {
    /// The name of the query is matched against the address of the client.
    public init(of rows: [API.Connection], _ query: ListQuery) throws(AdminError) {
        self.init()
        (connections, total, next) = try query.page(of: rows, number: { $0.id }, name: { $0.peer })
    }
}

extension API.SubscriptionList {
    /// `next` is the connection's id, a colon, and the subscription's id.
    public init(of rows: [API.Subscription], _ query: ListQuery) throws(AdminError) {
        self.init()
        let last = try query.after.map { text throws(AdminError) in try Self.place(text) }
        let fitting = rows.filter { query.matches($0.destination) }
        let behind = fitting.filter { row in
            guard let last else { return true }
            return Self.precedes(last, (row.connectionID, row.id))
        }
        let sorted = behind.sorted { Self.precedes(($0.connectionID, $0.id), ($1.connectionID, $1.id)) }
        subscriptions = Array(sorted.prefix(query.limit))
        total = fitting.count
        if sorted.count > subscriptions.count {
            next = subscriptions.last.map { "\($0.connectionID):\($0.id)" }
        }
    }

    private static func precedes(_ a: (UInt64, String), _ b: (UInt64, String)) -> Bool {
        a.0 == b.0 ? a.1.utf8.lexicographicallyPrecedes(b.1.utf8) : a.0 < b.0
    }

    private static func place(_ text: String) throws(AdminError) -> (UInt64, String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let connection = UInt64(parts[0]) else {
            throw AdminError(.invalid, "`after` must be the `next` of an earlier page")
        }
        return (connection, String(parts[1]))
    }
}
