import DaemonKit

/// Verbs about policies and about the settings of queues.
enum PolicyVerbs {
    private static func path(_ name: String) -> String { "/v1/policies/\(percentEncoded(name))" }

    @Sendable static func list(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let list = try AdminClient(call, console).ask(API.PolicyList.self, "GET", "/v1/policies")
        if call.wantsJSON { return try console.printJSON(try encoded(list)) }
        var table = Table([
            .left("NAME"), .left("PATTERN"), .right("PRIORITY"), .left("SOURCE"), .left("SETTINGS"),
        ])
        for policy in list.policies {
            let source = policy.shadowed ? "\(policy.source), replaced" : policy.source
            table.add([policy.name, policy.pattern, "\(policy.priority)", source, words(policy.settings)])
        }
        try console.print(table.text)
    }

    private static func words(_ settings: [API.DestinationSetting]) -> String {
        settings.map { "\($0.name)=\($0.value)" }.joined(separator: " ")
    }

    @Sendable static func set(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        var request = API.PolicyRequest()
        guard let pattern = call.value("--pattern") else { throw call.usage("--pattern is missing") }
        request.pattern = pattern
        if let text = call.value("--priority") {
            guard let number = Int(text) else { throw call.usage("--priority must be a whole number") }
            request.priority = number
        }
        request.settings = try settings(call)
        let change = try AdminClient(call, console).ask(
            API.PolicyChange.self, "PUT", path(call.argument(0)), body: try encoded(request))
        if call.wantsJSON { return try console.printJSON(try encoded(change)) }
        let policy = change.policy
        try console.print(
            "\(harmless(policy.name)) \(change.created ? "counts" : "is changed and counts") for "
                + "\(harmless(policy.pattern)): \(harmless(words(policy.settings)))")
    }

    @Sendable static func delete(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let removal = try AdminClient(call, console).ask(API.PolicyRemoval.self, "DELETE", path(call.argument(0)))
        if call.wantsJSON { return try console.printJSON(try encoded(removal)) }
        try console.print("\(harmless(removal.policy.name)) is gone.")
        if let uncovered = removal.uncovered {
            try console.print("That of the configuration file counts again, for \(harmless(uncovered.pattern)).")
        }
    }

    @Sendable static func explain(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let explanation = try AdminClient(call, console).ask(
            API.Explanation.self, "GET", "/v1/destinations/\(percentEncoded(call.argument(0)))/settings")
        if call.wantsJSON { return try console.printJSON(try encoded(explanation)) }
        try console.print(text(of: explanation))
    }

    static func text(of explanation: API.Explanation) -> String {
        var table = Table([.left("SETTING"), .left("VALUE"), .left("FROM"), .left("PASSED OVER")])
        for row in explanation.settings {
            let passed = row.passedOver.map { "policy \($0.policy) says \($0.value): \($0.why)" }
            let from = row.policy.map { "policy \($0)" } ?? row.source
            table.add([row.name, row.value, from, passed.first ?? ""])
            for more in passed.dropFirst() { table.add(["", "", "", more]) }
        }
        var policies = Table([.left("POLICY"), .left("PATTERN"), .right("PRIORITY"), .left("FITS")])
        for match in explanation.policies {
            policies.add([match.name, match.pattern, "\(match.priority)", match.matches ? "yes" : "no"])
        }
        return explanation.policies.isEmpty ? table.text : table.text + "\n\n" + policies.text
    }

    // MARK: Queues

    @Sendable static func queueSettings(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        var change = API.SettingsChange()
        change.set = try settings(call)
        change.unset = call.values("--unset")
        let path = "/v1/queues/\(percentEncoded(call.argument(0)))/settings"
        let client = try AdminClient(call, console)
        let isAsking = change.set?.isEmpty == true && change.unset?.isEmpty == true
        let explanation = try client.ask(
            API.Explanation.self, isAsking ? "GET" : "POST", path, body: isAsking ? [] : try encoded(change))
        if call.wantsJSON { return try console.printJSON(try encoded(explanation)) }
        try console.print(text(of: explanation))
    }

    @Sendable static func pause(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        try pause(call, console, "pause")
    }

    @Sendable static func resume(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        try pause(call, console, "resume")
    }

    private static func pause(_ call: Invocation, _ console: Console, _ what: String) throws(CtlFailure) {
        let isBoth = call.isGiven("--delivery") == call.isGiven("--sending")
        let queue = try AdminClient(call, console).ask(
            API.Queue.self, "POST", "/v1/queues/\(percentEncoded(call.argument(0)))/\(what)",
            query: isBoth
                ? [] : [("delivery", "\(call.isGiven("--delivery"))"), ("sending", "\(call.isGiven("--sending"))")])
        if call.wantsJSON { return try console.printJSON(try encoded(queue)) }
        try console.print("\(harmless(queue.name)): \(QueueVerbs.state(of: queue)).")
    }

    /// `--set KEY=VALUE`, as often as it stands. Errors: `usage`.
    static func settings(_ call: Invocation) throws(CtlFailure) -> [API.DestinationSetting] {
        var settings: [API.DestinationSetting] = []
        for text in call.values("--set") {
            guard let equals = text.firstIndex(of: "="), equals > text.startIndex else {
                throw call.usage("--set wants KEY=VALUE, as in --set delivery_limit=5")
            }
            settings.append(
                API.DestinationSetting(
                    name: String(text[..<equals]), value: String(text[text.index(after: equals)...])))
        }
        return settings
    }
}
