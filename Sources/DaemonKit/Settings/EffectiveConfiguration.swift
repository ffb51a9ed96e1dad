/// The configuration that counts, and where each value of it comes from.
public struct EffectiveConfiguration: Equatable, Sendable {
    public enum Origin: Equatable, Sendable, CustomStringConvertible {
        case standard
        case file(String, line: Int)
        /// The option as it was written: `--data`, `--set limits.queues`.
        case option(String)

        public var description: String {
            switch self {
            case .standard: "default"
            case .file(let path, let line): "\(path):\(line)"
            case .option(let option): option
            }
        }
    }

    /// A value from the command line. It goes before the file.
    struct Override: Equatable, Sendable {
        let name: String
        let value: SettingValue
        let option: String
    }

    public private(set) var configuration = Configuration()
    private var origins: [String: Origin] = [:]

    /// Where the value of the setting comes from.
    public func origin(of name: String) -> Origin { origins[name] ?? .standard }

    /// What a reload has changed; where values come from is read again with them.
    mutating func replaceConfiguration(with configuration: Configuration) { self.configuration = configuration }

    /// Reads and judges everything. Nothing is half taken: with one problem there is no configuration.
    static func load(file: String?, overrides: [Override]) throws(ConfigurationError) -> EffectiveConfiguration {
        guard let file else { return try judge(text: nil, file: "", overrides: overrides) }
        return try judge(text: try read(file), file: file, overrides: overrides)
    }

    /// As `load`, with the text of the file given.
    static func judge(
        text: String?, file: String, overrides: [Override]
    ) throws(ConfigurationError) -> EffectiveConfiguration {
        var result = EffectiveConfiguration()
        var problems: [ConfigurationError.Problem] = []
        var policies = PolicySection()
        if let text {
            for entry in try entries(of: text, file: file) {
                if policies.take(entry.value, as: entry.name, from: .file(file, line: entry.line)) { continue }
                result.take(entry.value, as: entry.name, from: .file(file, line: entry.line), noting: &problems)
            }
        }
        for override in overrides {
            // The last one who speaks is heard: an option after the file, an option after an option.
            if policies.take(override.value, as: override.name, from: .option(override.option)) { continue }
            result.origins[override.name] = nil
            result.take(override.value, as: override.name, from: .option(override.option), noting: &problems)
        }
        result.configuration.policies = policies.policies()
        problems += policies.problems
        if problems.isEmpty {
            problems += result.configuration.contradictions().map { .init(place: file, text: $0) }
        }
        if !problems.isEmpty { throw ConfigurationError(problems: problems) }
        return result
    }

    private mutating func take(
        _ value: SettingValue, as name: String, from origin: Origin, noting problems: inout [ConfigurationError.Problem]
    ) {
        let place = origin.description
        guard let setting = Settings.named(name) else {
            if let wrong = Self.unknown(name, value) { problems.append(.init(place: place, text: wrong)) }
            return
        }
        if let earlier = origins[name] {
            problems.append(.init(place: place, text: "\(name) was already set (\(earlier))"))
            return
        }
        do {
            try setting.write(value, &configuration)
            origins[name] = origin
        } catch {
            let remedy = error.saysWhatIsRight ? "" : "; it must be \(setting.allowed)"
            problems.append(.init(place: place, text: "\(name) \(error.text)\(remedy)"))
        }
    }

    /// What is wrong with a name that is no setting's; nil for an empty section, which says nothing
    /// and does no harm.
    private static func unknown(_ name: String, _ value: SettingValue) -> String? {
        if Settings.all.contains(where: { $0.name.hasPrefix(name + ".") }) {
            if value == .other("an object") { return nil }
            return "\(name) is \(value.described), but it is a section and must be an object, \(name): { … }"
        }
        let shown = quoted(String(name.prefix(100)))
        guard let near = Settings.nearest(to: name) else {
            return "there is no setting \(shown); brokerd --print-config lists them"
        }
        return "there is no setting \(shown); did you mean \(near)?"
    }
}

// MARK: - The file

extension EffectiveConfiguration {
    private static func read(_ path: String) throws(ConfigurationError) -> String {
        let bytes: [UInt8]
        do { bytes = try TextFile.read(path, limit: 1 << 20) } catch { throw ConfigurationError(path, error.sentence) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ConfigurationError(path, "the file is not UTF-8")
        }
        return text
    }

    private static func entries(of text: String, file: String) throws(ConfigurationError) -> [JSON5Reader.Entry] {
        do {
            return try JSON5Reader.read(text)
        } catch {
            throw ConfigurationError("\(file):\(error.line):\(error.column)", "the file is not JSON5: \(error.text)")
        }
    }
}

/// Everything that is wrong with a configuration, in the order of reading.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    public struct Problem: Equatable, Sendable, CustomStringConvertible {
        /// `FILE:LINE` or an option; empty if it is nobody's in particular.
        public let place: String
        /// One sentence without its place.
        public let text: String

        public var description: String { place.isEmpty ? text : "\(place): \(text)" }
    }

    public let problems: [Problem]

    public var description: String { problems.map(\.description).joined(separator: "\n") }
}

extension ConfigurationError {
    fileprivate init(_ place: String, _ text: String) {
        self.init(problems: [Problem(place: place, text: text)])
    }
}
