import Base

/// Settings for all destinations whose names fit a pattern.
public struct Policy: Equatable, Sendable {
    public enum Source: String, Sendable {
        /// The configuration file.
        case configuration
        /// Set while the broker ran; kept in its data.
        case `operator`
    }

    /// 1 to 64 letters, digits, `_` and `-`.
    public var name: String
    /// Over canonical names: `/queue/orders.*`. See `DestinationPattern`.
    public var pattern: String
    /// The highest goes first. 0 is the usual one.
    public var priority: Int
    /// Setting name to value; see `QueueSetting.all`.
    public var settings: [String: String]
    public var source: Source

    public static let priorities = -1000...1000
    static let nameMost = 64

    public init(
        name: String, pattern: String, priority: Int = 0, settings: [String: String], source: Source = .operator
    ) {
        self.name = name
        self.pattern = pattern
        self.priority = priority
        self.settings = settings
        self.source = source
    }

    /// The same with pattern and values as they are kept: a bare name has become a queue's, `1024 MiB` is `1 GiB`.
    /// Errors: what is wrong, and what would be right.
    public func checked() throws(PolicyError) -> Policy {
        try Self.check(name: name)
        var copy = self
        let scope: QueueSetting.Scope
        (copy.pattern, scope) = try Self.checked(pattern: pattern)
        try Self.check(priority: priority)
        if settings.isEmpty { throw PolicyError("a policy sets something; give it at least one setting") }
        copy.settings = try Self.checked(settings, for: scope)
        return copy
    }

    /// A pattern as it is kept, and what kind of destination it is about.
    public static func checked(
        pattern: String
    ) throws(PolicyError) -> (pattern: String, scope: QueueSetting.Scope) {
        let place = try DestinationPattern(pattern)
        return (place.text, place.scope)
    }

    public static func check(priority: Int) throws(PolicyError) {
        guard priorities.contains(priority) else {
            throw PolicyError(
                "the priority is \(priority); it must be from \(priorities.lowerBound) to \(priorities.upperBound)")
        }
    }

    public static func check(name: String) throws(PolicyError) {
        let isGood = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard isGood, (1...nameMost).contains(name.utf8.count) else {
            throw PolicyError("a policy's name has 1 to \(nameMost) letters, digits, _ and -")
        }
    }

    /// Settings for destinations of one kind, as they are kept. Errors: the first that is wrong, in order of name.
    public static func checked(
        _ settings: [String: String], for scope: QueueSetting.Scope
    ) throws(PolicyError) -> [String: String] {
        var good: [String: String] = [:]
        for (name, value) in settings.sorted(by: { $0.key < $1.key }) {
            good[name] = try checked(name, value, for: scope)
        }
        return good
    }

    /// One of them.
    public static func checked(
        _ name: String, _ value: String, for scope: QueueSetting.Scope
    ) throws(PolicyError) -> String {
        guard let setting = QueueSetting.named(name) else {
            let near = QueueSetting.nearest(to: name).map { "did you mean \($0)?" }
            throw PolicyError("there is no setting \(name.prefix(64)); \(near ?? "docs/policies.md lists them")")
        }
        guard setting.scopes.contains(scope) else {
            let places = setting.scopes.map(\.rawValue).joined(separator: " and ")
            throw PolicyError("\(name) means nothing to \(scope.rawValue); it is a setting of \(places)")
        }
        guard let canonical = setting.canonical(value) else {
            throw PolicyError("\(name) is \(value.prefix(64)); it must be \(setting.allowed)")
        }
        return canonical
    }
}

/// What is wrong with a policy or a setting: the end of a sentence, with what would be right.
public struct PolicyError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// Which destinations a policy is for: a prefix, then words between dots. `*` is one word; `**`, `>` or `#` at
/// the end is the rest, be it nothing. A name without prefix is a queue's.
struct DestinationPattern: Equatable, Sendable {
    let scope: QueueSetting.Scope
    let text: String
    private let words: TopicPattern
    /// How narrow it is: words that are no wildcards.
    let literalWords: Int
    let endsInRest: Bool

    /// Errors: `PolicyError`.
    init(_ text: String) throws(PolicyError) {
        var text = text
        if !text.hasPrefix("/") { text = QueueSetting.Scope.queues.rawValue + text }
        guard let scope = QueueSetting.Scope.allCases.first(where: { text.hasPrefix($0.rawValue) }) else {
            throw PolicyError("the pattern is \(text.prefix(64)); it must start with /queue/, /topic/ or /dsub/")
        }
        let rest = text.utf8.count - scope.rawValue.utf8.count
        guard (1...Destination.longestName).contains(rest), !text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F })
        else {
            throw PolicyError("a pattern has 1 to \(Destination.longestName) bytes after its prefix, none of control")
        }
        self.scope = scope
        self.text = text
        do {
            words = try TopicPattern(Array(text.utf8), prefix: scope.rawValue.utf8.count)
        } catch {
            throw PolicyError("the pattern is \(text.prefix(64)); **, > and # stand for the rest, so last and once")
        }
        let split = TopicPattern.split(Array(text.utf8), prefix: scope.rawValue.utf8.count)
        literalWords = split.count { !TopicPattern.isOne($0) && !TopicPattern.isRest($0) }
        endsInRest = split.last.map { TopicPattern.isRest($0) } ?? false
    }

    /// A canonical name, taken apart once for many patterns.
    struct Name {
        let scope: QueueSetting.Scope
        let words: [ArraySlice<UInt8>]

        /// Nil for what no policy can be about: reply channels.
        init?(_ name: [UInt8]) {
            guard let scope = QueueSetting.Scope.allCases.first(where: { name.starts(with: $0.rawValue.utf8) }) else {
                return nil
            }
            self.scope = scope
            words = TopicPattern.split(name, prefix: scope.rawValue.utf8.count)
        }
    }

    func matches(_ name: Name) -> Bool { name.scope == scope && words.matches(name.words) }
}
