/// What this program is called, everywhere it says so.
public enum Product {
    public static let name = "brokerd"
    /// Semantic version of the program. CHANGELOG.md has a section for each.
    public static let version = "0.1.0"
}

/// How the process ends. Part of the interface: service managers and scripts read it.
public enum ExitCode: Int32, Sendable {
    /// Stopped because it was asked to.
    case stopped = 0
    /// The configuration is right, but the broker could not start.
    case couldNotStart = 1
    /// Wrong usage or wrong configuration. Starting again will not help.
    case badConfiguration = 2
    /// The storage failed, at the start or later. Nothing unconfirmed was confirmed.
    case storageFailed = 3
}
