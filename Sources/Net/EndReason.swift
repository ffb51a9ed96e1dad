/// Why a connection ended.
public enum EndReason: Equatable, Sendable {
    /// The peer said goodbye in order.
    case peerClosed
    /// The peer, or the network, broke the connection.
    case peerReset
    /// Reading failed with this error number.
    case readError(Int32)
    /// Writing failed with this error number.
    case writeError(Int32)
    /// The owner ended it after everything owed was sent; the text is the owner's code for the cause.
    case finished(String)
    /// The owner ended it at once; the text is the owner's code for the cause.
    case aborted(String)
    /// Something did not come in time; the text says what, for example "keep-alive".
    case timedOut(String)

    /// Stable, in kebab case: for logs and counters.
    public var code: String {
        switch self {
        case .peerClosed: "peer-closed"
        case .peerReset: "peer-reset"
        case .readError: "read-error"
        case .writeError: "write-error"
        case .finished(let code), .aborted(let code), .timedOut(let code): code
        }
    }
}
