extension Route {
    static let queueName = RouteParameter("name", in: .path, .text, "name of the queue, percent-encoded")
    private static let connectionID = RouteParameter("id", in: .path, .integer(0...UInt64.max), "id of the connection")
    private static let durableName = RouteParameter(
        "name", in: .path, .text, "`NAME`, `CLIENT.NAME` or its destination, percent-encoded")
    private static let selector = RouteParameter("selector", .text, "only messages whose headers fit this selector")
    private static let place = RouteParameter("from", .text, "`place` of a message, or `next` of the answer before")
    private static let paging = [
        RouteParameter("after", .text, "`next` of the page before; the first page without it"),
        RouteParameter(
            "limit", .integer(UInt64(ListQuery.limits.lowerBound)...UInt64(ListQuery.limits.upperBound)),
            standard: String(ListQuery.standardLimit), "most rows on a page"),
    ]

    private static func paging(byName what: String) -> [RouteParameter] {
        paging + [RouteParameter("name", .text, "only rows whose \(what) fits, where `*` is any run of characters")]
    }

    /// Everything that can be asked.
    public static let all: [Route] = broker + backups + queues + policies + clients

    private static let broker = [
        Route(
            "GET", "/v1/health", "Whether the broker's process works at all; 503 when it does not.",
            response: API.Health.self, statuses: [200, 503], AdminRoutes.health),
        Route(
            "GET", "/v1/ready", "Whether the broker takes and delivers messages; 503 when it does not.",
            response: API.Health.self, statuses: [200, 503], AdminRoutes.ready),
        Route(
            "GET", "/v1/status", "Version, health, addresses, totals and rates.",
            response: API.Status.self, AdminRoutes.status),
        Route(
            "GET", "/v1/config", "Every setting as it is in effect, and where it comes from.",
            response: API.SettingList.self, AdminRoutes.settings),
        Route(
            "GET", "/v1/store", "The storage: files, syncs, room, and what recovery found.",
            response: API.Store.self, AdminRoutes.store),
        Route(
            "POST", "/v1/reload", "Reads the configuration file again and applies what can change.",
            response: API.Reload.self, errors: [.invalid], AdminRoutes.reload),
        Route(
            "GET", "/v1/openapi.json", "This interface as an OpenAPI 3.1 document.",
            response: nil, AdminRoutes.openAPI),
    ]

    private static let queues = [
        Route(
            "GET", "/v1/queues", "Queues, a page at a time.", paging(byName: "name"),
            response: API.QueueList.self, AdminRoutes.queues),
        Route(
            "GET", "/v1/queues/{name}", "One queue.", [queueName],
            response: API.Queue.self, errors: [.notFound], AdminRoutes.queue),
        Route(
            "PUT", "/v1/queues/{name}", "Makes a queue; 200 when it exists already, then its settings stay.",
            [queueName],
            body: API.QueueRequest.self, bodyIsOptional: true, response: API.QueueCreation.self, statuses: [201, 200],
            errors: [.invalid, .limitReached],
            AdminRoutes.createQueue),
        Route(
            "DELETE", "/v1/queues/{name}", "Deletes a queue and all messages in it.",
            [
                queueName,
                RouteParameter("force", .boolean, standard: "false", "also when it has consumers or messages"),
            ],
            response: API.MessageCount.self, errors: [.notFound, .inUse, .notEmpty], AdminRoutes.deleteQueue),
        Route(
            "POST", "/v1/queues/{name}/purge", "Throws away the messages that no consumer holds.",
            [queueName, selector, place], response: API.Purge.self, errors: [.invalid, .notFound],
            AdminRoutes.purgeQueue),
        Route(
            "POST", "/v1/queues/{name}/move",
            "Moves messages that no consumer holds to another queue, oldest first; `destination` becomes its name.",
            [queueName],
            body: API.MoveRequest.self, response: API.Move.self, errors: [.invalid, .notFound, .limitReached],
            AdminRoutes.move),
        Route(
            "POST", "/v1/queues/{name}/retry",
            "Puts dead letters back to where they died, as new: `destination` is what it was, the headers of dead "
                + "letters are off.",
            [queueName],
            body: API.RetryRequest.self, bodyIsOptional: true, response: API.Move.self,
            errors: [.invalid, .notFound, .limitReached], AdminRoutes.retry),
        Route(
            "GET", "/v1/queues/{name}/messages",
            "Messages of a queue, lane by lane, oldest first, without consuming them.",
            [
                queueName,
                place, selector,
                RouteParameter(
                    "limit", .integer(UInt64(BrowseQuery.limits.lowerBound)...UInt64(BrowseQuery.limits.upperBound)),
                    standard: String(BrowseQuery.standardLimit), "most messages on a page"),
                RouteParameter(
                    "body_bytes",
                    .integer(
                        UInt64(BrowseQuery.previewLimits.lowerBound)...UInt64(BrowseQuery.previewLimits.upperBound)),
                    standard: String(BrowseQuery.standardPreview), "most bytes of each body"),
            ],
            response: API.MessageList.self, errors: [.invalid, .notFound], AdminRoutes.browse),
        Route(
            "GET", "/v1/topics", "Topics, a page at a time.", paging(byName: "name"),
            response: API.TopicList.self, AdminRoutes.topics),
    ]

    private static let clients = [
        Route(
            "GET", "/v1/connections", "Connections of clients, a page at a time.", paging(byName: "peer"),
            response: API.ConnectionList.self, errors: [.invalid], AdminRoutes.connections),
        Route(
            "GET", "/v1/connections/{id}", "One connection.", [connectionID],
            response: API.Connection.self, errors: [.notFound], AdminRoutes.connection),
        Route(
            "DELETE", "/v1/connections/{id}",
            "Ends a connection; what it has not acknowledged goes back to its queues.", [connectionID],
            response: API.Connection.self, errors: [.notFound], AdminRoutes.closeConnection),
        Route(
            "GET", "/v1/subscriptions", "Subscriptions of clients, a page at a time.",
            paging(byName: "destination")
                + [RouteParameter("connection", .integer(0...UInt64.max), "only those of this connection")],
            response: API.SubscriptionList.self, errors: [.invalid], AdminRoutes.subscriptions),
        Route(
            "GET", "/v1/durable-subscriptions", "Durable subscriptions to topics, a page at a time.",
            paging(byName: "destination"),
            response: API.DurableSubscriptionList.self, AdminRoutes.durables),
        Route(
            "GET", "/v1/durable-subscriptions/{name}", "One durable subscription.", [durableName],
            response: API.DurableSubscription.self, errors: [.notFound], AdminRoutes.durable),
        Route(
            "DELETE", "/v1/durable-subscriptions/{name}", "Deletes a durable subscription and all messages in it.",
            [durableName, RouteParameter("force", .boolean, standard: "false", "also when it has consumers")],
            response: API.MessageCount.self, errors: [.notFound, .inUse], AdminRoutes.deleteDurable),
    ]
}
