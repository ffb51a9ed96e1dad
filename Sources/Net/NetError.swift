import Glibc

/// What can go wrong with an address, a listener or an attempt to connect, in words for the operator.
public enum NetError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The text is no address; `why` says what is wrong with it.
    case invalidAddress(String, why: String)
    /// The host has no address that could be used.
    case unresolvable(String, why: String)
    /// Somebody else listens there.
    case addressInUse(String)
    /// There is a file, but no socket, where the socket should be.
    case notASocket(path: String)
    /// A system call said no.
    case system(call: String, address: String, errno: Int32)
    /// Nobody listens there.
    case refused(String)
    /// No answer within the time given.
    case timedOut(String, milliseconds: UInt64)
    /// The caller took the attempt back.
    case cancelled(String)

    public var description: String {
        switch self {
        case .invalidAddress(let text, let why): "\"\(text)\" is not an address: \(why)"
        case .unresolvable(let host, let why): "cannot resolve \(host): \(why)"
        case .addressInUse(let address): "\(address) is in use by another process"
        case .notASocket(let path): "\(path) exists and is not a socket"
        case .system(let call, let address, let errno): "\(call) \(address): \(describe(errno: errno))"
        case .refused(let address): "\(address) refused the connection"
        case .timedOut(let address, let milliseconds): "no answer from \(address) within \(milliseconds) ms"
        case .cancelled(let address): "the attempt to connect to \(address) was cancelled"
        }
    }
}

/// The system's words for an error number, for example "Connection refused (111)".
public func describe(errno number: Int32) -> String {
    // glibc keeps the text of strerror in a buffer of the calling thread (since 2.32).
    guard let text = strerror(number) else { return "error \(number)" }
    return "\(String(cString: text)) (\(number))"
}
