/// What the core wants remembered about the whole broker: the policies of operators.
public struct BrokerNote: Equatable, Sendable {
    public var policies: [Policy] = []

    /// Bytes that it may have: storage refuses more.
    static let most = 1 << 20

    public init(policies: [Policy] = []) { self.policies = policies }

    /// By name, so that the same policies are the same bytes.
    public func encoded() -> [UInt8] {
        var out: [UInt8] = []
        for policy in policies.sorted(by: { $0.name < $1.name }) {
            NoteLines.append("policy", policy.name.utf8, to: &out)
            NoteLines.append("pattern", policy.pattern.utf8, to: &out)
            NoteLines.append("priority", String(policy.priority).utf8, to: &out)
            for (name, value) in policy.settings.sorted(by: { $0.key < $1.key }) {
                NoteLines.append("set", "\(name) \(value)".utf8, to: &out)
            }
        }
        return out
    }

    /// Lines that are not known are passed over.
    public init(decoding bytes: [UInt8]) {
        for (word, value) in NoteLines.read(bytes) {
            let text = String(decoding: value, as: UTF8.self)
            if word == "policy" { policies.append(Policy(name: text, pattern: "", settings: [:])) }
            guard !policies.isEmpty else { continue }
            let last = policies.count - 1
            switch word {
            case "pattern": policies[last].pattern = text
            case "priority": policies[last].priority = Int(text) ?? 0
            case "set":
                guard let (name, value) = NoteLines.setting(value) else { continue }
                policies[last].settings[name] = value
            default: continue
            }
        }
    }
}
