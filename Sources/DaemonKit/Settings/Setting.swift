import Base
import Net

/// One line of the table `Settings`: what people call it, what it may be, and why it exists.
public struct Setting: Sendable {
    /// What a value may be. It decides how it is written, read and explained.
    public enum Kind: Sendable, Equatable {
        case number(ClosedRange<Int>)
        /// A number of bytes, also written as `"16 MiB"`.
        case bytes(ClosedRange<Int>)
        case flag
        case choice([String])
        case text
        /// A list of texts; the word says what each of them is.
        case list(of: String)
    }

    /// When a changed value counts, if the configuration is read again while the broker runs.
    public enum Effect: String, Sendable {
        case atOnce = "at once"
        case newConnections = "for new connections"
        case restart = "after a restart"
    }

    /// Dotted, as in the file: `limits.body_bytes` is `body_bytes` inside `limits`.
    public let name: String
    public let kind: Kind
    public let effect: Effect
    /// One or two sentences for people: what it bounds, and why one would change it.
    public let why: String

    let read: @Sendable (Configuration) -> SettingValue
    let write: @Sendable (SettingValue, inout Configuration) throws(Refusal) -> Void

    /// Why a value cannot be taken.
    struct Refusal: Error, Equatable {
        /// Completes "NAME …".
        let text: String
        /// The text says what would be right, so that `allowed` need not.
        var saysWhatIsRight = false
    }

    /// What it is when nobody sets it.
    public var standard: SettingValue { read(Configuration()) }

    public func value(in configuration: Configuration) -> SettingValue { read(configuration) }

    /// The allowed values, as a phrase: `from 1 to 64`, `one of "text", "json"`.
    public var allowed: String {
        switch kind {
        case .number(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .bytes(let range): "from \(ByteSize.text(range.lowerBound)) to \(ByteSize.text(range.upperBound))"
        case .flag: "true or false"
        case .choice(let words): "one of " + words.map { "\"\($0)\"" }.joined(separator: ", ")
        case .text: "a text"
        case .list(let item): "a list of \(item)"
        }
    }
}

// MARK: - How lines of the table are made

extension Setting {
    typealias Path<Value> = any WritableKeyPath<Configuration, Value> & Sendable

    static func number(
        _ name: String, _ path: Path<Int>, _ range: ClosedRange<Int>, _ effect: Effect, _ why: String
    ) -> Setting {
        whole(name, path, .number(range), range, effect, why)
    }

    static func bytes(
        _ name: String, _ path: Path<Int>, _ range: ClosedRange<Int>, _ effect: Effect, _ why: String
    ) -> Setting {
        whole(name, path, .bytes(range), range, effect, why)
    }

    private static func whole(
        _ name: String, _ path: Path<Int>, _ kind: Kind, _ range: ClosedRange<Int>, _ effect: Effect, _ why: String
    ) -> Setting {
        Setting(
            name: name, kind: kind, effect: effect, why: why,
            read: { .number($0[keyPath: path]) },
            write: { (value, configuration) throws(Refusal) in
                guard let number = kind.number(from: value) else { throw Refusal(text: "is \(value.described)") }
                guard range.contains(number) else { throw Refusal(text: "is \(number)") }
                configuration[keyPath: path] = number
            })
    }

    static func flag(_ name: String, _ path: Path<Bool>, _ effect: Effect, _ why: String) -> Setting {
        Setting(
            name: name, kind: .flag, effect: effect, why: why,
            read: { .flag($0[keyPath: path]) },
            write: { (value, configuration) throws(Refusal) in
                guard case .flag(let flag) = value else { throw Refusal(text: "is \(value.described)") }
                configuration[keyPath: path] = flag
            })
    }

    static func choice<Choice>(_ name: String, _ path: Path<Choice>, _ effect: Effect, _ why: String) -> Setting
    where Choice: RawRepresentable & CaseIterable & Sendable, Choice.RawValue == String {
        Setting(
            name: name, kind: .choice(Choice.allCases.map(\.rawValue)), effect: effect, why: why,
            read: { .text($0[keyPath: path].rawValue) },
            write: { (value, configuration) throws(Refusal) in
                guard case .text(let word) = value, let choice = Choice(rawValue: word) else {
                    throw Refusal(text: "is \(value.described)")
                }
                configuration[keyPath: path] = choice
            })
    }

    /// `check` answers with what is wrong with a text, as the end of a sentence, or nil.
    static func text(
        _ name: String, _ path: Path<String>, _ effect: Effect, _ why: String,
        check: @escaping @Sendable (String) -> String?
    ) -> Setting {
        Setting(
            name: name, kind: .text, effect: effect, why: why,
            read: { .text($0[keyPath: path]) },
            write: { (value, configuration) throws(Refusal) in
                guard case .text(let text) = value else { throw Refusal(text: "is \(value.described)") }
                if let wrong = check(text) {
                    throw Refusal(text: "is \(value.described): \(wrong)", saysWhatIsRight: true)
                }
                configuration[keyPath: path] = text
            })
    }

    static func addresses(
        _ name: String, _ path: Path<[SocketAddress]>, of item: String, _ effect: Effect, _ why: String,
        check: @escaping @Sendable (SocketAddress) -> String?
    ) -> Setting {
        Setting(
            name: name, kind: .list(of: item), effect: effect, why: why,
            read: { .list($0[keyPath: path].map(\.description)) },
            write: { (value, configuration) throws(Refusal) in
                guard case .list(let texts) = value else { throw Refusal(text: "is \(value.described)") }
                var addresses: [SocketAddress] = []
                for text in texts { addresses.append(try address(text, check)) }
                configuration[keyPath: path] = addresses
            })
    }

    private static func address(
        _ text: String, _ check: (SocketAddress) -> String?
    ) throws(Refusal) -> SocketAddress {
        let address: SocketAddress
        do { address = try SocketAddress(parsing: text) } catch {
            guard case .invalidAddress(_, let why) = error else { throw holding(text, error.description) }
            throw holding(text, why)
        }
        if let wrong = check(address) { throw holding(text, wrong) }
        return address
    }

    private static func holding(_ text: String, _ wrong: String) -> Refusal {
        Refusal(text: "holds \(SettingValue.text(text).described): \(wrong)", saysWhatIsRight: true)
    }

    static func list(
        _ name: String, _ path: Path<[String]>, of item: String, _ effect: Effect, _ why: String,
        check: @escaping @Sendable (String) -> String?
    ) -> Setting {
        Setting(
            name: name, kind: .list(of: item), effect: effect, why: why,
            read: { .list($0[keyPath: path]) },
            write: { (value, configuration) throws(Refusal) in
                guard case .list(let texts) = value else { throw Refusal(text: "is \(value.described)") }
                for text in texts {
                    if let wrong = check(text) { throw holding(text, wrong) }
                }
                configuration[keyPath: path] = texts
            })
    }
}

extension Setting.Kind {
    /// The number that a value stands for, or nil if it stands for none.
    func number(from value: SettingValue) -> Int? {
        switch (self, value) {
        case (_, .number(let number)): number
        case (.bytes, .text(let text)): ByteSize.parse(text)
        default: nil
        }
    }

    /// What a text of the command line means for this kind; `.text` when it cannot be understood,
    /// so that the setting itself refuses it.
    func value(ofArgument text: String) -> SettingValue {
        switch self {
        case .number, .bytes: Int(text).map(SettingValue.number) ?? .text(text)
        case .flag: Bool(text).map(SettingValue.flag) ?? .text(text)
        case .choice, .text: .text(text)
        case .list:
            .list(text.split(separator: ",", omittingEmptySubsequences: true).map { trimmed(String($0)) })
        }
    }
}
