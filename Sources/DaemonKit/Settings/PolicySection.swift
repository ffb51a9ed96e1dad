import Base
import BrokerCore

/// The section `policies` of a configuration, gathered from flat entries:
/// `policies.orders.pattern`, `policies.orders.settings.delivery_limit`.
struct PolicySection {
    private struct Entry {
        var value: SettingValue
        var origin: EffectiveConfiguration.Origin
    }

    private static let section = "policies"
    private static let keys = ["pattern", "priority", "settings"]

    /// By policy, then by what stands behind its name, both in order of coming.
    private var names: [String] = []
    private var entries: [String: [String: Entry]] = [:]
    private(set) var problems: [ConfigurationError.Problem] = []

    /// Returns false for an entry of another section.
    mutating func take(
        _ value: SettingValue, as name: String, from origin: EffectiveConfiguration.Origin
    ) -> Bool {
        let parts = name.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        guard parts[0] == Self.section else { return false }
        // A section with nothing in it says nothing.
        if parts.count == 1, value == .other("an object") { return true }
        guard parts.count > 1 else {
            note(origin, "policies is \(value.described), but it is a section: policies: { NAME: { … } }")
            return true
        }
        if entries[parts[1]] == nil { names.append(parts[1]) }
        let key = parts.count > 2 ? parts[2] : ""
        if let earlier = entries[parts[1]]?[key], case .file = origin, case .file = earlier.origin {
            note(origin, "\(name) was already set (\(earlier.origin))")
            return true
        }
        entries[parts[1], default: [:]][key] = Entry(value: value, origin: origin)
        return true
    }

    private mutating func note(_ origin: EffectiveConfiguration.Origin, _ text: String) {
        problems.append(.init(place: origin.description, text: text))
    }

    /// The policies, by name; what is wrong with one is in `problems` afterwards.
    mutating func policies() -> [Policy] {
        if names.count > Policies.most {
            problems.append(.init(place: "", text: "there are \(names.count) policies; \(Policies.most) are allowed"))
        }
        return names.sorted().compactMap { policy(named: $0) }
    }

    private mutating func policy(named name: String) -> Policy? {
        guard var entries = entries[name], let first = entries.values.map(\.origin).min(by: Self.precedes) else {
            return nil
        }
        let shown = "policies.\(String(name.prefix(64)))"
        if let whole = entries.removeValue(forKey: ""), whole.value != .other("an object") {
            note(
                whole.origin,
                "\(shown) is \(whole.value.described), but a policy is an object with pattern and settings")
            return nil
        }
        let before = problems.count
        var policy = Policy(name: name, pattern: "", settings: [:], source: .configuration)
        attempt(first, shown) { () throws(PolicyError) in try Policy.check(name: name) }
        var scope: QueueSetting.Scope?
        if let pattern = entries.removeValue(forKey: "pattern") {
            attempt(pattern.origin, shown) { () throws(PolicyError) in
                guard case .text(let text) = pattern.value else { throw PolicyError("the pattern must be a text") }
                let checked = try Policy.checked(pattern: text)
                (policy.pattern, scope) = (checked.pattern, checked.scope)
            }
        } else {
            note(first, "\(shown): a pattern is missing; it says which destinations the policy is for")
        }
        if let priority = entries.removeValue(forKey: "priority") {
            attempt(priority.origin, shown) { () throws(PolicyError) in
                guard let number = Self.number(priority.value) else {
                    throw PolicyError("the priority is \(priority.value.described); it must be a whole number")
                }
                try Policy.check(priority: number)
                policy.priority = number
            }
        }
        take(entries, of: shown, into: &policy, scope)
        if problems.count == before, policy.settings.isEmpty {
            note(first, "\(shown): a policy sets something; give it at least one setting")
        }
        return problems.count == before ? policy : nil
    }

    /// The settings, and whatever is none.
    private mutating func take(
        _ entries: [String: Entry], of shown: String, into policy: inout Policy, _ scope: QueueSetting.Scope?
    ) {
        let prefix = "settings."
        for (key, entry) in entries.sorted(by: { Self.precedes($0.value.origin, $1.value.origin) }) {
            if key == "settings", entry.value == .other("an object") { continue }
            guard key.hasPrefix(prefix) else {
                let near = nearestWord(to: key, among: Self.keys).map { "did you mean \($0)?" }
                note(
                    entry.origin,
                    "\(shown) has no \(quoted(String(key.prefix(64)))); "
                        + (near ?? "a policy has pattern, priority and settings"))
                continue
            }
            guard let scope else { continue }
            let name = String(key.dropFirst(prefix.count))
            attempt(entry.origin, shown) { () throws(PolicyError) in
                guard let text = Self.text(entry.value) else {
                    throw PolicyError(
                        "\(name.prefix(64)) is \(entry.value.described); a number, text or flag is wanted")
                }
                policy.settings[name] = try Policy.checked(name, text, for: scope)
            }
        }
    }

    private mutating func attempt(
        _ origin: EffectiveConfiguration.Origin, _ shown: String, _ body: () throws(PolicyError) -> Void
    ) {
        do throws(PolicyError) { try body() } catch { note(origin, "\(shown): \(Escaping.safe(error.description))") }
    }

    private static func number(_ value: SettingValue) -> Int? {
        switch value {
        case .number(let number): number
        // From the command line.
        case .text(let text): Int(text)
        default: nil
        }
    }

    private static func text(_ value: SettingValue) -> String? {
        switch value {
        case .number(let number): String(number)
        case .flag(let flag): String(flag)
        case .text(let text): text
        default: nil
        }
    }

    /// Lines of the file in their order, then options.
    private static func precedes(_ a: EffectiveConfiguration.Origin, _ b: EffectiveConfiguration.Origin) -> Bool {
        switch (a, b) {
        case (.file(_, let first), .file(_, let second)): first < second
        case (.file, _): true
        case (_, .file): false
        default: a.description < b.description
        }
    }
}
