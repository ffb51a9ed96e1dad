/// Something that happened to a client, for people.
public struct ClientLogEntry: Sendable, CustomStringConvertible {
    /// The names are those of most systems of logging.
    public enum Level: String, Sendable, Comparable, CaseIterable {
        /// Everyday things.
        case debug
        /// What an operator likes to see once.
        case info
        /// Something did not go well, and is being dealt with.
        case warning
        /// Something will not go well again by itself.
        case error

        /// `debug` is the lowest, `error` the highest.
        public static func < (a: Level, b: Level) -> Bool { a.rank < b.rank }

        private var rank: Int {
            switch self {
            case .debug: 0
            case .info: 1
            case .warning: 2
            case .error: 3
            }
        }
    }

    /// How much it matters.
    public let level: Level
    /// The same words for the same thing; what differs is in `fields`.
    public let sentence: String
    /// No bodies of messages, no credentials.
    public let fields: [(name: String, value: String)]

    init(_ level: Level, _ sentence: String, _ fields: [(name: String, value: String)] = []) {
        self.level = level
        self.sentence = sentence
        self.fields = fields
    }

    /// `warning: not connected`
    public var description: String {
        fields.reduce("\(level.rawValue): \(sentence)") { $0 + " \($1.name)=\($1.value)" }
    }
}

extension ClientObserver {
    func log(
        _ level: ClientLogEntry.Level, _ sentence: String,
        _ fields: @autoclosure () -> [(name: String, value: String)] = []
    ) {
        log?(ClientLogEntry(level, sentence, fields()))
    }
}
