import Base

/// One line of the table of what a destination can be told: its name, what it may be, and why it exists.
/// The default is the value of the property in `QueueSettings`, and nowhere else.
public struct QueueSetting: Sendable {
    /// What a value may be. Values are written as texts everywhere: in files, requests and notes.
    public enum Kind: Sendable, Equatable {
        case number(ClosedRange<UInt64>)
        /// A number of bytes, also written as `16 MiB`.
        case bytes(ClosedRange<UInt64>)
        case flag
        case choice([String])
        /// A queue, `none`, or `*.dlq`: the destination's own.
        case deadLetterQueue
    }

    /// What kind of destination it means something to.
    public enum Scope: String, Sendable, CaseIterable {
        case queues = "/queue/"
        case topics = "/topic/"
        case durableSubscriptions = "/dsub/"
    }

    /// In snake case, with its unit: `redelivery_delay_ms`.
    public let name: String
    public let kind: Kind
    public let scopes: [Scope]
    /// One or two sentences for people: what it does, and why one would change it.
    public let why: String

    let read: @Sendable (QueueSettings) -> String
    /// False for a value that is not allowed; then nothing has changed.
    let write: @Sendable (String, inout QueueSettings) -> Bool

    /// What it is when nobody sets it.
    public var standard: String { read(QueueSettings()) }

    public func value(in settings: QueueSettings) -> String { read(settings) }

    /// The allowed values, as a phrase.
    public var allowed: String {
        switch kind {
        case .number(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .bytes(let range):
            "from \(ByteSize.text(Int(clamping: range.lowerBound))) to \(ByteSize.text(Int(clamping: range.upperBound)))"
        case .flag: "true or false"
        case .choice(let words): "one of " + words.joined(separator: ", ")
        case .deadLetterQueue: "the name of a queue, none, or *.dlq (the queue's own)"
        }
    }

    /// `text` as it is kept: `1 GiB` for `1024 MiB`. Nil if it is not allowed.
    func canonical(_ text: String) -> String? {
        var settings = QueueSettings()
        return write(text, &settings) ? read(settings) : nil
    }
}

// MARK: - How lines of the table are made

extension QueueSetting {
    typealias Path<Value> = any WritableKeyPath<QueueSettings, Value> & Sendable

    static func number<Number: FixedWidthInteger & UnsignedInteger & Sendable>(
        _ name: String, _ path: Path<Number>, _ range: ClosedRange<UInt64>, _ scopes: [Scope], _ why: String
    ) -> QueueSetting {
        QueueSetting(
            name: name, kind: .number(range), scopes: scopes, why: why,
            read: { String($0[keyPath: path]) },
            write: { text, settings in
                guard let number = digits(text), range.contains(number), let value = Number(exactly: number) else {
                    return false
                }
                settings[keyPath: path] = value
                return true
            })
    }

    static func bytes(
        _ name: String, _ path: Path<UInt64>, _ range: ClosedRange<UInt64>, _ scopes: [Scope], _ why: String
    ) -> QueueSetting {
        QueueSetting(
            name: name, kind: .bytes(range), scopes: scopes, why: why,
            read: { ByteSize.text(Int(clamping: $0[keyPath: path])) },
            write: { text, settings in
                guard let number = ByteSize.parse(text).map(UInt64.init), range.contains(number) else { return false }
                settings[keyPath: path] = number
                return true
            })
    }

    static func flag(_ name: String, _ path: Path<Bool>, _ scopes: [Scope], _ why: String) -> QueueSetting {
        QueueSetting(
            name: name, kind: .flag, scopes: scopes, why: why,
            read: { String($0[keyPath: path]) },
            write: { text, settings in
                guard let flag = Bool(text) else { return false }
                settings[keyPath: path] = flag
                return true
            })
    }

    static func choice<Choice>(
        _ name: String, _ path: Path<Choice>, _ scopes: [Scope], _ why: String
    ) -> QueueSetting where Choice: RawRepresentable & CaseIterable & Sendable, Choice.RawValue == String {
        QueueSetting(
            name: name, kind: .choice(Choice.allCases.map(\.rawValue)), scopes: scopes, why: why,
            read: { $0[keyPath: path].rawValue },
            write: { text, settings in
                guard let choice = Choice(rawValue: text) else { return false }
                settings[keyPath: path] = choice
                return true
            })
    }

    static func deadLetterQueue(
        _ name: String, _ path: Path<[UInt8]?>, _ scopes: [Scope], _ why: String
    ) -> QueueSetting {
        QueueSetting(
            name: name, kind: .deadLetterQueue, scopes: scopes, why: why,
            read: { settings in
                guard let queue = settings[keyPath: path] else { return "*.dlq" }
                return queue.isEmpty ? "none" : String(decoding: queue, as: UTF8.self)
            },
            write: { text, settings in
                switch text {
                case "*.dlq": settings[keyPath: path] = nil
                case "none": settings[keyPath: path] = []
                default:
                    guard let queue = queueName(text) else { return false }
                    settings[keyPath: path] = queue
                }
                return true
            })
    }

    /// Digits only: no sign, no blanks.
    private static func digits(_ text: String) -> UInt64? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? UInt64(text) : nil
    }

    /// The canonical name of a queue. A `*` in it would be taken for one that is replaced.
    private static func queueName(_ text: String) -> [UInt8]? {
        if text.utf8.contains(UInt8(ascii: "*")) { return nil }
        let destination = Array(text.utf8).withUnsafeBufferPointer { try? Destination($0) }
        guard let destination, destination.kind == .queue else { return nil }
        return destination.name
    }
}
