/// Which settings a destination has: what was said when it was made, before what policies say, before
/// the defaults.
public struct Policies: Sendable, Equatable {
    /// Where neither a policy nor the queue itself says otherwise.
    public var defaults = QueueSettings()

    public init() {}

    /// `name` is canonical, with its prefix; `own` are the settings given when the queue was made.
    public func settings(for name: [UInt8], own: [String: String]) -> QueueSettings {
        defaults
    }
}
