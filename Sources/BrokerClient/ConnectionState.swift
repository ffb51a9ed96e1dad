/// What the client's connection is doing.
///
/// ```text
/// connecting ----> connected ----> disconnected ----> connecting ...
///      |               |                |
///      `---------------+----------------'----> closed
/// ```
public enum ConnectionState: Equatable, Sendable {
    /// An attempt is under way.
    case connecting(address: String)
    /// Logged in, and all subscriptions are in place.
    case connected(version: String, server: String?)
    /// No connection; the next attempt starts after `retryIn`.
    case disconnected(reason: ClientError, retryIn: Duration)
    /// For good. `reason` is nil after `close()`.
    case closed(reason: ClientError?)
}
