import BrokerCore

/// Policies, settings of queues, and stopping queues for a while.
extension BrokerBackend {
    func policies() async -> API.PolicyList {
        let policies = broker.look { $0.policies }
        var list = API.PolicyList()
        list.policies = policies.all.map { policy in
            var row = Self.row(policy)
            row.shadowed = policies.isShadowed(policy)
            return row
        }
        return list
    }

    private static func row(_ policy: Policy) -> API.Policy {
        var row = API.Policy()
        row.name = policy.name
        row.pattern = policy.pattern
        row.priority = policy.priority
        row.settings = API.DestinationSetting.list(policy.settings)
        row.source = policy.source.rawValue
        return row
    }

    func setPolicy(
        named name: String, pattern: String, priority: Int, settings: [String: String]
    ) async throws(AdminError) -> API.PolicyChange {
        let policy = Policy(name: name, pattern: pattern, priority: priority, settings: settings)
        let result = await durably { core, effects -> Result<(Bool, Policy?), PolicyError> in
            do throws(PolicyError) {
                let existed = try core.setPolicy(policy, into: &effects)
                return .success((!existed, core.policies.operators[name]))
            } catch {
                return .failure(error)
            }
        }
        let (created, kept) = try Self.value(of: result)
        service.log.info("policy set", ["name": .text(name)])
        var change = API.PolicyChange()
        change.created = created
        change.policy = Self.row(kept ?? policy)
        return change
    }

    func deletePolicy(named name: String) async throws(AdminError) -> API.PolicyRemoval {
        let (policy, configured) = await durably { core, effects -> (Policy?, Policy?) in
            let policy = core.policies.operators[name]
            _ = core.deletePolicy(named: name, into: &effects)
            return (policy, core.policies.configured[name])
        }
        guard let policy else {
            throw AdminError(
                .notFound,
                configured == nil
                    ? "there is no policy \(name); brokerctl policy list shows those that exist"
                    : "policy \(name) is of the configuration file; take it out there, and reload")
        }
        service.log.info("policy deleted", ["name": .text(name)])
        var removal = API.PolicyRemoval()
        removal.policy = Self.row(policy)
        removal.uncovered = configured.map { Self.row($0) }
        return removal
    }

    func explain(destination: String) async throws(AdminError) -> API.Explanation {
        let name = destination.hasPrefix("/") ? destination : "/queue/\(destination)"
        let (found, exists) = broker.look {
            ($0.explain(Array(name.utf8)), $0.ownSettings(of: Array(name.utf8)) != nil)
        }
        guard let found, !name.hasSuffix("/") else {
            throw AdminError(.invalid, "no policy is about \(name); destinations start with /queue/, /topic/ or /dsub/")
        }
        var explanation = API.Explanation()
        explanation.destination = name
        explanation.exists = exists
        explanation.settings = found.settings.map { Self.row($0) }
        explanation.policies = found.verdicts.map { verdict in
            var match = API.PolicyMatch()
            match.name = verdict.policy.name
            match.pattern = verdict.policy.pattern
            match.priority = verdict.policy.priority
            match.matches = verdict.matches
            return match
        }
        return explanation
    }

    private static func row(_ explained: Policies.Explained) -> API.ExplainedSetting {
        var row = API.ExplainedSetting()
        row.name = explained.name
        row.value = explained.value
        switch explained.origin {
        case .own: row.source = "own"
        case .policy(let name): (row.source, row.policy) = ("policy", name)
        case .standard: row.source = "default"
        }
        row.passedOver = explained.passedOver.map { passed in
            var value = API.PassedOverValue()
            (value.policy, value.value, value.why) = (passed.policy, passed.value, passed.why)
            return value
        }
        return row
    }

    func changeSettings(
        ofQueue name: String, set: [String: String], unset: [String]
    ) async throws(AdminError) -> API.Explanation {
        let result = await durably { core, effects -> Result<Bool, PolicyError> in
            do throws(PolicyError) {
                return .success(
                    try core.changeSettings(of: Self.full(name), set: set, unset: unset, into: &effects))
            } catch {
                return .failure(error)
            }
        }
        guard try Self.value(of: result) else { throw missing(name) }
        return try await explain(destination: "/queue/\(name)")
    }

    func pauseQueue(named name: String, delivery: Bool?, sending: Bool?) async throws(AdminError) -> API.Queue {
        let exists = await durably { core, effects in
            core.pause(Self.full(name), delivery: delivery, sending: sending, into: &effects)
        }
        guard exists else { throw missing(name) }
        let queue = try await queue(named: name)
        service.log.info(
            "queue paused or resumed",
            [
                "queue": .text(name), "delivery": .text(queue.deliveryPaused ? "paused" : "on"),
                "sending": .text(queue.sendingPaused ? "paused" : "on"),
            ])
        return queue
    }

    private static func value<Value>(of result: Result<Value, PolicyError>) throws(AdminError) -> Value {
        switch result {
        case .success(let value): return value
        case .failure(let error): throw AdminError(.invalid, error.description)
        }
    }
}
