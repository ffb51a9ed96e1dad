/// What each line of the route table does: parameters to a call of the backend, its value to JSON.
enum AdminRoutes {
    static func json(_ value: some APISchema, status: Int = 200) throws(AdminError) -> HTTPResponse {
        HTTPResponse(
            status, headers: [HTTPHeader("Content-Type", "application/json")], body: try APICoding.encode(value))
    }

    @Sendable static func health(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let health = await call.backend.health()
        return try json(health, status: health.live ? 200 : 503)
    }

    @Sendable static func ready(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let health = await call.backend.health()
        return try json(health, status: health.live && health.ready ? 200 : 503)
    }

    @Sendable static func status(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(await call.backend.status())
    }

    @Sendable static func settings(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(await call.backend.settings())
    }

    @Sendable static func store(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(await call.backend.store())
    }

    @Sendable static func reload(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.reload())
    }

    @Sendable static func openAPI(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        HTTPResponse(
            200, headers: [HTTPHeader("Content-Type", "application/json")], body: try OpenAPI.document())
    }

    // MARK: Queues and topics

    @Sendable static func queues(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(await call.backend.queues(call.list))
    }

    @Sendable static func queue(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.queue(named: call.queue()))
    }

    @Sendable static func createQueue(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let request =
            call.body.isEmpty
            ? API.QueueRequest() : try APICoding.decodeStrictly(API.QueueRequest.self, from: call.body)
        let settings = try byName(request.settings ?? [])
        let creation = try await call.backend.createQueue(named: call.queue(), settings: settings)
        return try json(creation, status: creation.created ? 201 : 200)
    }

    @Sendable static func deleteQueue(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.deleteQueue(named: call.queue(), force: call.flag("force")))
    }

    @Sendable static func purgeQueue(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let choice = try MessageChoice(limit: nil, selector: call.text("selector"), from: call.text("from"))
        return try json(try await call.backend.purgeQueue(named: call.queue(), choice))
    }

    @Sendable static func move(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let request = try APICoding.decodeStrictly(API.MoveRequest.self, from: call.body)
        let target = RouteCall.queueName(request.to)
        guard !target.isEmpty else { throw AdminError(.invalid, "`to` must name a queue") }
        guard target != call.queue() else { throw AdminError(.invalid, "`to` must be another queue") }
        let choice = try MessageChoice(limit: request.limit, selector: request.selector, from: request.from)
        return try json(try await call.backend.moveMessages(from: call.queue(), to: target, choice))
    }

    @Sendable static func retry(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let request =
            call.body.isEmpty
            ? API.RetryRequest() : try APICoding.decodeStrictly(API.RetryRequest.self, from: call.body)
        let choice = try MessageChoice(limit: request.limit, selector: request.selector, from: request.from)
        return try json(try await call.backend.retryMessages(from: call.queue(), choice))
    }

    @Sendable static func browse(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let choice = try MessageChoice(limit: nil, selector: call.text("selector"), from: call.text("from"))
        let query = BrowseQuery(
            from: choice.from, limit: Int(clamping: call.number("limit")),
            bodyBytes: Int(clamping: call.number("body_bytes")), selector: choice.selector)
        return try json(try await call.backend.browseQueue(named: call.queue(), query))
    }

    @Sendable static func topics(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(await call.backend.topics(call.list))
    }

    // MARK: Clients

    @Sendable static func connections(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.connections(call.list))
    }

    @Sendable static func connection(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.connection(id: call.number("id")))
    }

    @Sendable static func closeConnection(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.closeConnection(id: call.number("id")))
    }

    @Sendable static func subscriptions(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let connection = call.text("connection").flatMap { UInt64($0) }
        return try json(try await call.backend.subscriptions(call.list, connection: connection))
    }

    @Sendable static func durables(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(await call.backend.durableSubscriptions(call.list))
    }

    @Sendable static func durable(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.durableSubscription(named: call.text("name") ?? ""))
    }

    @Sendable static func deleteDurable(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let name = call.text("name") ?? ""
        return try json(try await call.backend.deleteDurableSubscription(named: name, force: call.flag("force")))
    }
}
