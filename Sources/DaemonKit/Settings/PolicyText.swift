import BrokerCore

/// What is printed of policies and of the settings of destinations.
enum PolicyText {
    /// The section `policies` as it may stand in the file; empty without policies.
    static func section(_ policies: [Policy]) -> String {
        if policies.isEmpty { return "" }
        var text = "\n    policies: {\n"
        for policy in policies {
            text += "        \(quoted(policy.name)): {\n"
            text += "            pattern: \(quoted(policy.pattern)),\n            priority: \(policy.priority),\n"
            text += "            settings: {\n"
            for (name, value) in policy.settings.sorted(by: { $0.key < $1.key }) {
                text += "                \(name): \(quoted(value)),\n"
            }
            text += "            },\n        },\n"
        }
        return text + "    },\n"
    }

    /// For the sample file.
    static let example = """

            // Settings for all destinations whose names fit a pattern: docs/policies.md.
            // policies: {
            //     orders: { pattern: "/queue/orders.**", priority: 10, settings: { delivery_limit: 5 } },
            // },

        """

    /// The table of docs/policies.md.
    static var markdownTable: String {
        let rows = QueueSetting.all.map { setting in
            let scopes = setting.scopes.map { "`\($0.rawValue)`" }.joined(separator: ", ")
            return "| `\(setting.name)` | `\(setting.standard)` | \(setting.allowed) | \(scopes) | \(setting.why) |\n"
        }
        return "| Setting | Default | Allowed | Of | What it does |\n| --- | --- | --- | --- | --- |\n" + rows.joined()
    }
}
