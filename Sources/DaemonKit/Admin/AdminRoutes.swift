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
        try json(try await call.backend.purgeQueue(named: call.queue()))
    }

    @Sendable static func move(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let request = try APICoding.decodeStrictly(API.MoveRequest.self, from: call.body)
        let target = RouteCall.queueName(request.to)
        guard !target.isEmpty else { throw AdminError(.invalid, "`to` must name a queue") }
        guard target != call.queue() else { throw AdminError(.invalid, "`to` must be another queue") }
        guard request.limit != 0 else { throw AdminError(.invalid, "`limit` must be 1 or more, or absent for all") }
        let move = try await call.backend.moveMessages(from: call.queue(), to: target, limit: request.limit ?? .max)
        return try json(move)
    }

    @Sendable static func browse(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let query = BrowseQuery(
            from: call.number("from"), limit: Int(clamping: call.number("limit")),
            bodyBytes: Int(clamping: call.number("body_bytes")))
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
}
