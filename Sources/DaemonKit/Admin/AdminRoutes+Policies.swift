/// Policies, settings of queues, and stopping queues for a while.
extension AdminRoutes {
    @Sendable static func policies(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(await call.backend.policies())
    }

    @Sendable static func setPolicy(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let request = try APICoding.decodeStrictly(API.PolicyRequest.self, from: call.body)
        let settings = try byName(request.settings)
        let change = try await call.backend.setPolicy(
            named: call.text("policy") ?? "", pattern: request.pattern, priority: request.priority ?? 0,
            settings: settings)
        return try json(change, status: change.created ? 201 : 200)
    }

    @Sendable static func deletePolicy(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.deletePolicy(named: call.text("policy") ?? ""))
    }

    @Sendable static func explain(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.explain(destination: call.text("destination") ?? ""))
    }

    @Sendable static func queueSettings(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.changeSettings(ofQueue: call.queue(), set: [:], unset: []))
    }

    @Sendable static func changeQueueSettings(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        let change = try APICoding.decodeStrictly(API.SettingsChange.self, from: call.body)
        let set = try byName(change.set ?? [])
        let unset = change.unset ?? []
        if let name = unset.first(where: { set[$0] != nil }) {
            throw AdminError(.invalid, "`\(name)` is both set and unset")
        }
        return try json(try await call.backend.changeSettings(ofQueue: call.queue(), set: set, unset: unset))
    }

    @Sendable static func pause(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try await pause(call, true)
    }

    @Sendable static func resume(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try await pause(call, false)
    }

    private static func pause(_ call: RouteCall, _ isPaused: Bool) async throws(AdminError) -> HTTPResponse {
        guard call.flag("delivery") || call.flag("sending") else {
            throw AdminError(.invalid, "`delivery` and `sending` are both false, so there is nothing to do")
        }
        let queue = try await call.backend.pauseQueue(
            named: call.queue(), delivery: call.flag("delivery") ? isPaused : nil,
            sending: call.flag("sending") ? isPaused : nil)
        return try json(queue)
    }

    /// Errors: `invalid` for a name that stands twice.
    static func byName(_ settings: [API.DestinationSetting]) throws(AdminError) -> [String: String] {
        var byName: [String: String] = [:]
        for setting in settings where byName.updateValue(setting.value, forKey: setting.name) != nil {
            throw AdminError(.invalid, "Give `\(setting.name)` once")
        }
        return byName
    }
}
