import Base

/// The command line of `brokerd`.
public struct Arguments: Equatable, Sendable {
    public enum Action: Equatable, Sendable {
        case run, checkConfig, printConfig, version, help
    }

    public private(set) var action = Action.run
    /// The configuration file; none is read unless it is named.
    public private(set) var configPath: String?
    var overrides: [EffectiveConfiguration.Override] = []

    /// `words` without the name of the program.
    public init(_ words: [String]) throws(UsageError) {
        var rest = words[...]
        while let word = rest.popFirst() { try take(word, &rest) }
    }

    /// The configuration that file and options make together. Call it again to read the file anew:
    /// the options count as before.
    public func load() throws(ConfigurationError) -> EffectiveConfiguration {
        try EffectiveConfiguration.load(file: configPath, overrides: overrides)
    }

    // MARK: Options

    private static let known = [
        "--config", "--data", "--listen", "--admin", "--set", "--log-level", "--log-format",
        "--check-config", "--print-config", "--version", "--help",
    ]

    private mutating func take(_ word: String, _ rest: inout ArraySlice<String>) throws(UsageError) {
        let (option, attached) = Self.split(word)
        switch option {
        case "--config": configPath = try Self.value(of: option, attached, &rest)
        case "--data": override("data", .text(try Self.value(of: option, attached, &rest)), option)
        case "--listen": add(try Self.value(of: option, attached, &rest), to: "listen", option)
        case "--admin": add(try Self.value(of: option, attached, &rest), to: "admin", option)
        case "--log-level": override("log.level", .text(try Self.value(of: option, attached, &rest)), option)
        case "--log-format": override("log.format", .text(try Self.value(of: option, attached, &rest)), option)
        case "--set": try set(try Self.value(of: option, attached, &rest))
        default: try take(action: option, attached)
        }
    }

    private mutating func take(action option: String, _ attached: String?) throws(UsageError) {
        let wanted: Action
        switch option {
        case "--check-config": wanted = .checkConfig
        case "--print-config": wanted = .printConfig
        case "--version": wanted = .version
        case "--help", "-h": wanted = .help
        default: throw Self.unknown(option)
        }
        if attached != nil { throw UsageError("\(option) takes no value") }
        // Who asks for help gets help, whatever else is asked for.
        if action != .help { action = wanted }
    }

    private mutating func set(_ assignment: String) throws(UsageError) {
        guard let equals = assignment.firstIndex(of: "=") else {
            throw UsageError("--set wants name=value, not \(quoted(assignment))")
        }
        let name = String(assignment[..<equals])
        let text = String(assignment[assignment.index(after: equals)...])
        // An unknown name is reported by the configuration, together with whatever else is wrong.
        let value = Settings.named(name)?.kind.value(ofArgument: text) ?? .text(text)
        override(name, value, "--set \(Escaping.safe(name, limit: 100))")
    }

    private mutating func override(_ name: String, _ value: SettingValue, _ option: String) {
        overrides.append(.init(name: name, value: value, option: option))
    }

    /// `--listen` may stand several times; together they are one list.
    private mutating func add(_ text: String, to name: String, _ option: String) {
        guard let index = overrides.firstIndex(where: { $0.option == option }),
            case .list(let texts) = overrides[index].value
        else { return override(name, .list([text]), option) }
        overrides[index] = .init(name: name, value: .list(texts + [text]), option: option)
    }

    // MARK: Words

    /// `--data=DIR` and `--data DIR` are the same.
    private static func split(_ word: String) -> (option: String, attached: String?) {
        guard word.hasPrefix("--"), let equals = word.firstIndex(of: "=") else { return (word, nil) }
        return (String(word[..<equals]), String(word[word.index(after: equals)...]))
    }

    private static func value(
        of option: String, _ attached: String?, _ rest: inout ArraySlice<String>
    ) throws(UsageError) -> String {
        guard let value = attached ?? rest.popFirst() else { throw UsageError("\(option) wants a value") }
        if value.isEmpty { throw UsageError("\(option) wants a value, not an empty one") }
        if attached == nil, value.hasPrefix("--") {
            throw UsageError("\(option) wants a value, but \(quoted(value)) follows")
        }
        return value
    }

    private static func unknown(_ option: String) -> UsageError {
        let shown = quoted(String(option.prefix(100)))
        guard option.hasPrefix("-") else { return UsageError("\(shown) is not an option; brokerd --help lists them") }
        guard let near = nearestWord(to: option, among: known) else {
            return UsageError("there is no option \(shown); brokerd --help lists them")
        }
        return UsageError("there is no option \(shown); did you mean \(near)?")
    }
}

/// The command line makes no sense. One sentence that says what to do.
public struct UsageError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}
