/// What stands behind a key in a log line.
public enum LogValue: Equatable, Sendable {
    /// From anywhere: it is escaped and cut when the line is written.
    case text(String)
    case number(Int64)
    case flag(Bool)
    /// A secret: only that there is one is written.
    case redacted
}

extension LogValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByStringInterpolation
{
    public init(stringLiteral text: String) { self = .text(text) }
    public init(integerLiteral number: Int64) { self = .number(number) }
    public init(booleanLiteral flag: Bool) { self = .flag(flag) }

    /// A number of any size and sign; what does not fit is written as the nearest that does.
    public static func number(_ number: some BinaryInteger) -> LogValue { .number(Int64(clamping: number)) }

    /// Whatever can describe itself, errors above all.
    public static func describing(_ thing: some CustomStringConvertible) -> LogValue { .text(thing.description) }
}

/// Keys and values of one line, in the order in which they are written.
public struct LogFields: ExpressibleByDictionaryLiteral, Sendable {
    let pairs: [(key: StaticString, value: LogValue)]

    public init(dictionaryLiteral elements: (StaticString, LogValue)...) {
        pairs = elements.map { ($0, Self.isSecret($0) ? .redacted : $1) }
    }

    /// Values of these keys, also with something and `_` or `-` in front, are never written, whoever
    /// passes them.
    private static let secretKeys = ["passcode", "password", "secret", "token", "authorization"].map { Array($0.utf8) }

    private static func isSecret(_ key: StaticString) -> Bool {
        key.withUTF8Buffer { key in
            secretKeys.contains { secret in
                guard key.count >= secret.count else { return false }
                let front = key.count - secret.count
                let isWord = front == 0 || key[front - 1] == UInt8(ascii: "_") || key[front - 1] == UInt8(ascii: "-")
                // Small letters and capital ones differ in this bit.
                return isWord && zip(key[front...], secret).allSatisfy { $0 | 0x20 == $1 }
            }
        }
    }
}

/// Holds a secret so that printing, interpolating or dumping it by mistake shows nothing.
public struct Redacted<Secret: Sendable>: Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// The secret itself, for the one place that needs it.
    public let revealed: Secret

    public init(_ secret: Secret) { revealed = secret }

    public var description: String { "[redacted]" }
    public var debugDescription: String { "[redacted]" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
