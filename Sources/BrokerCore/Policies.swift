/// Which settings a destination has: what was said when it was made, before what policies say, before
/// the defaults. Each setting is decided by itself, so policies add up
/// (docs/decisions/060-policies-add-up.md).
public struct Policies: Sendable, Equatable {
    /// Where neither a policy nor the destination itself says otherwise.
    public var defaults = QueueSettings()
    /// Of the configuration file, by name.
    public private(set) var configured: [String: Policy] = [:]
    /// Set by operators, by name. One that has the name of a configured one stands in for it.
    public private(set) var operators: [String: Policy] = [:]
    /// Those that count, best first.
    private var ranked: [Ranked] = []

    /// Policies at most, of both sources: a change of one is compared with every queue's name.
    public static let most = 256

    /// A policy with its pattern taken apart.
    struct Ranked: Sendable, Equatable {
        let policy: Policy
        let pattern: DestinationPattern

        /// Nil when `self` goes before `other`, else why it does not.
        func whyBehind(_ other: Ranked) -> String? {
            if policy.priority != other.policy.priority {
                return policy.priority > other.policy.priority
                    ? nil : "its priority \(policy.priority) is lower than \(other.policy.priority)"
            }
            if pattern.literalWords != other.pattern.literalWords {
                return pattern.literalWords > other.pattern.literalWords
                    ? nil : "its pattern \(pattern.text) is less specific than \(other.pattern.text)"
            }
            if pattern.endsInRest != other.pattern.endsInRest {
                return other.pattern.endsInRest ? nil : "its pattern \(pattern.text) takes any rest"
            }
            return policy.name.utf8.lexicographicallyPrecedes(other.policy.name.utf8)
                ? nil : "its name comes after \(other.policy.name)"
        }
    }

    public init() {}

    /// All that were given, those included that another of the same name stands in for; by name.
    public var all: [Policy] {
        (Array(configured.values) + Array(operators.values)).sorted {
            $0.name == $1.name ? $0.source == .operator && $1.source != .operator : $0.name < $1.name
        }
    }

    /// Whether another of the same name stands in for it.
    public func isShadowed(_ policy: Policy) -> Bool {
        policy.source == .configuration && operators[policy.name] != nil
    }

    // MARK: Changing

    /// Takes the policies of a source in place of those it had. They are taken as checked: one that is not right
    /// (written by another version of the broker) counts as far as it is.
    public mutating func replace(_ source: Policy.Source, with policies: [Policy]) {
        var byName: [String: Policy] = [:]
        for policy in policies {
            byName[policy.name] = policy
            byName[policy.name]?.source = source
        }
        switch source {
        case .configuration: configured = byName
        case .operator: operators = byName
        }
        rank()
    }

    private mutating func rank() {
        ranked = configured.merging(operators) { $1 }.values.compactMap { policy in
            (try? DestinationPattern(policy.pattern)).map { Ranked(policy: policy, pattern: $0) }
        }
        ranked.sort { $0.whyBehind($1) == nil }
    }

    /// Names are checked against these after a change: the patterns of policies that are new, gone or different.
    func changed(from old: Policies) -> [DestinationPattern] {
        let gone = old.ranked.filter { !ranked.contains($0) }
        return (gone + ranked.filter { !old.ranked.contains($0) }).map(\.pattern)
    }

    // MARK: Asking

    /// `name` is canonical, with its prefix; `own` are the settings given when the queue was made.
    public func settings(for name: [UInt8], own: [String: String]) -> QueueSettings {
        if ranked.isEmpty, own.isEmpty { return defaults }
        var settings = defaults
        guard let split = DestinationPattern.Name(name) else { return settings }
        // From the last to the first, so that the first has the last word.
        for ranked in ranked.reversed() where ranked.pattern.matches(split) {
            Self.write(ranked.policy.settings, for: split.scope, to: &settings)
        }
        Self.write(own, for: split.scope, to: &settings)
        return settings
    }

    /// What this version does not know or allow is passed over.
    private static func write(
        _ values: [String: String], for scope: QueueSetting.Scope, to settings: inout QueueSettings
    ) {
        for (name, value) in values {
            guard let setting = QueueSetting.named(name), setting.scopes.contains(scope) else { continue }
            _ = setting.write(value, &settings)
        }
    }
}

// MARK: - Explaining

extension Policies {
    /// Why a destination is as it is.
    public struct Explanation: Sendable, Equatable {
        /// In the order of the table.
        public var settings: [Explained] = []
        /// All policies that count, best first.
        public var verdicts: [Verdict] = []
    }

    public enum Origin: Sendable, Equatable {
        case own
        case policy(String)
        case standard
    }

    public struct Explained: Sendable, Equatable {
        public var name: String
        public var value: String
        public var origin: Origin
        /// What else was said of it, best first.
        public var passedOver: [PassedOver] = []
    }

    public struct PassedOver: Sendable, Equatable {
        public var policy: String
        public var value: String
        /// `its priority 0 is lower than 5`
        public var why: String
    }

    public struct Verdict: Sendable, Equatable {
        public var policy: Policy
        public var matches: Bool
    }

    /// Nil for a name that no policy can be about: a reply channel.
    public func explain(_ name: [UInt8], own: [String: String]) -> Explanation? {
        guard let split = DestinationPattern.Name(name) else { return nil }
        var explanation = Explanation()
        explanation.verdicts = ranked.map { Verdict(policy: $0.policy, matches: $0.pattern.matches(split)) }
        let matching = ranked.filter { $0.pattern.matches(split) }
        for setting in QueueSetting.all where setting.scopes.contains(split.scope) {
            explanation.settings.append(explain(setting, own: own[setting.name], matching))
        }
        return explanation
    }

    private func explain(_ setting: QueueSetting, own: String?, _ matching: [Ranked]) -> Explained {
        var explained = Explained(name: setting.name, value: setting.value(in: defaults), origin: .standard)
        var winner: Ranked?
        if let own, let value = setting.canonical(own) {
            explained.value = value
            explained.origin = .own
        }
        for ranked in matching {
            guard let said = ranked.policy.settings[setting.name] else { continue }
            guard let value = setting.canonical(said) else {
                let why = "this version of the broker does not allow it; it must be \(setting.allowed)"
                explained.passedOver.append(PassedOver(policy: ranked.policy.name, value: said, why: why))
                continue
            }
            if explained.origin == .standard {
                explained.value = value
                explained.origin = .policy(ranked.policy.name)
                winner = ranked
                continue
            }
            let why = winner.flatMap { ranked.whyBehind($0) } ?? "the queue has a setting of its own"
            explained.passedOver.append(PassedOver(policy: ranked.policy.name, value: value, why: why))
        }
        return explained
    }
}
