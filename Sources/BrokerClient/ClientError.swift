/// Everything that a call of this library can fail with.
public enum ClientError: Error, Equatable, Sendable {
    /// An address given to `connect` cannot be read. Nothing was tried.
    case invalidAddress(String, reason: String)
    /// A header that cannot be sent: an empty name, a NUL, a line break in CONNECT, or a name that
    /// the library writes itself. Nothing was sent.
    case invalidHeader(name: String, reason: String)

    /// No connection could be made to this address.
    case connectFailed(address: String, reason: String)
    /// The address did not answer, or did not finish the login, in time.
    case connectTimedOut(address: String)
    /// The closure that gives the passcode threw.
    case credentialsFailed(reason: String)
    /// The broker answered CONNECT with ERROR.
    case loginRefused(BrokerError)
    /// The broker speaks none of STOMP 1.0, 1.1, 1.2. `offered` is what it said it speaks.
    case versionRefused(offered: String)

    /// The broker answered this very call with ERROR. It is not tried again.
    case refused(BrokerError)
    /// The connection that this call needs is gone, and with it what the call was about: a message
    /// received on it will come again, a transaction begun on it had no effect.
    case connectionLost(ConnectionLoss)
    /// The broker was told, but its answer never came: the SEND or COMMIT took effect or did not.
    case outcomeUnknown
    /// The deadline of the call passed. Whatever had been sent by then may still take effect.
    case timedOut
    /// The task was cancelled. Whatever had been sent by then may still take effect.
    case cancelled
    /// `close()` was called.
    case closed

    /// As many requests as `ClientOptions.requestsInFlight` are under way, and the options say not to wait.
    /// Nothing was sent.
    case tooManyRequests(limit: Int)
    /// The request was answered: the service says that it failed, and why.
    case requestFailed(RequestFailure)

    /// The circuit breaker of this destination, or of this name, lets nothing through for so long. Nothing was sent.
    case circuitOpen(String, retryIn: Duration)

    /// The message was acknowledged or rejected before.
    case alreadySettled
    /// The subscription of this message was cancelled: the message went back to its queue.
    case subscriptionEnded
    /// The transaction was used after its closure returned.
    case transactionEnded
    /// The version of STOMP spoken with this broker cannot say that.
    case notSupported(String)
}

/// Why a connection ended that had been established.
public enum ConnectionLoss: Error, Equatable, Sendable {
    /// The socket ended; `reason` is a stable word such as `peer-closed`.
    case ended(reason: String)
    /// Nothing was heard for twice the agreed interval.
    case silence(milliseconds: UInt64)
    /// The broker sent ERROR; by the protocol it closes the connection then.
    case error(BrokerError)
    /// What the broker sent is not STOMP.
    case notSTOMP(String)
}

/// What an ERROR frame said.
public struct BrokerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The `message` header: one short line.
    public var message: String
    /// The body, as text. Empty if there was none.
    public var detail: String
    /// The `receipt` of the frame that caused it, if the broker said so.
    public var receiptID: String?
    /// All headers of the frame, those above included.
    public var headers: Headers

    /// Made by the library; public so that tests can make what a broker would say.
    public init(message: String, detail: String = "", receiptID: String? = nil, headers: Headers = [:]) {
        self.message = message
        self.detail = detail
        self.receiptID = receiptID
        self.headers = headers
    }

    /// `message`, and `detail` behind it, for a log.
    public var description: String { detail.isEmpty ? message : "\(message): \(detail)" }
}

extension ClientError: CustomStringConvertible {
    /// One sentence for a log, with the address, the header or the broker's words that it is about.
    public var description: String {
        switch self {
        case .invalidAddress(let text, let reason): "invalid address \"\(text)\": \(reason)"
        case .invalidHeader(let name, let reason): "invalid header \"\(name)\": \(reason)"
        case .connectFailed(let address, let reason): "cannot connect to \(address): \(reason)"
        case .connectTimedOut(let address): "\(address) did not answer in time"
        case .credentialsFailed(let reason): "no credentials: \(reason)"
        case .loginRefused(let error): "login refused: \(error)"
        case .versionRefused(let offered): "no common STOMP version; the broker offered \(offered)"
        case .refused(let error): "refused by the broker: \(error)"
        case .connectionLost(let loss): "connection lost: \(loss)"
        case .outcomeUnknown: "the broker's answer never came; the call took effect or did not"
        case .timedOut: "timed out"
        case .cancelled: "cancelled"
        case .closed: "the client is closed"
        case .tooManyRequests(let limit): "\(limit) requests are under way"
        case .requestFailed(let failure): "the request failed: \(failure)"
        case .circuitOpen(let name, let time): "the circuit breaker of \(name) is open for another \(time)"
        case .alreadySettled: "the message was acknowledged or rejected before"
        case .subscriptionEnded: "the subscription was cancelled; the message went back to its queue"
        case .transactionEnded: "the transaction has ended"
        case .notSupported(let what): what
        }
    }
}

extension ConnectionLoss: CustomStringConvertible {
    /// One sentence for a log.
    public var description: String {
        switch self {
        case .ended(let reason): reason
        case .silence(let milliseconds): "nothing heard for \(milliseconds) ms"
        case .error(let error): "ERROR \(error)"
        case .notSTOMP(let what): "the broker does not speak STOMP: \(what)"
        }
    }
}
