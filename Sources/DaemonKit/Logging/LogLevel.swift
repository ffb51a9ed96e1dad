/// How much a line matters. What the setting names is written, and what matters more.
public enum LogLevel: String, CaseIterable, Comparable, Sendable {
    /// Something that was promised or asked for did not happen, and somebody should look.
    case error
    /// It went on, but it should not stay like this.
    case warning
    /// What an operator wants to find when reading back: start, stop, refusals, repairs.
    case info
    /// What one client does. Not for every day.
    case debug

    /// 0 for `error`, rising.
    var rank: Int {
        switch self {
        case .error: 0
        case .warning: 1
        case .info: 2
        case .debug: 3
        }
    }

    /// The priority that syslog and journald know it by.
    var priority: Int {
        switch self {
        case .error: 3
        case .warning: 4
        case .info: 6
        case .debug: 7
        }
    }

    public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rank < b.rank }
}

/// How lines are written.
public enum LogFormat: String, CaseIterable, Sendable {
    /// Text, in journald's form when standard error goes to journald.
    case auto
    case text
    /// One JSON object a line.
    case json
}
