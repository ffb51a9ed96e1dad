import BrokerCore
import STOMP

/// What a session answers with ERROR before it closes: a short `message`, and a body that says
/// what, where and what to do. docs/protocol.md lists every `message`.
public struct SessionError: Error, Equatable, Sendable {
    public enum Kind: String, CaseIterable, Sendable {
        case connectExpected
        case alreadyConnected
        case unsupportedVersion
        case unknownHost
        case hostMissing
        case badHeartBeat
        case headerMissing
        case badHeader
        case unsupportedHeader
        case contradictoryHeaders
        case subscriptionExists
        case noSuchSubscription
        case tooManySubscriptions
        case transactionExists
        case noSuchTransaction
        case tooManyTransactions
        case tooManyTemporaries
        case tooManyConnections
        case nackNotInVersion
        case loginTimeout
        case frameTimeout
        case heartBeatTimeout
        case shuttingDown

        public var message: String {
            switch self {
            case .connectExpected: "CONNECT expected"
            case .alreadyConnected: "already connected"
            case .unsupportedVersion: "no common protocol version"
            case .unknownHost: "unknown host"
            case .hostMissing: "host header missing"
            case .badHeartBeat: "bad heart-beat header"
            case .headerMissing: "required header missing"
            case .badHeader: "bad header value"
            case .unsupportedHeader: "unsupported header"
            case .contradictoryHeaders: "contradictory headers"
            case .subscriptionExists: "subscription id in use"
            case .noSuchSubscription: "no such subscription"
            case .tooManySubscriptions: "too many subscriptions"
            case .transactionExists: "transaction id in use"
            case .noSuchTransaction: "no such transaction"
            case .tooManyTransactions: "too many transactions"
            case .tooManyTemporaries: "too many temporary queues"
            case .tooManyConnections: "too many connections"
            case .nackNotInVersion: "NACK is not in STOMP 1.0"
            case .loginTimeout: "login timed out"
            case .frameTimeout: "frame timed out"
            case .heartBeatTimeout: "heart-beat missed"
            case .shuttingDown: "server shutting down"
            }
        }
    }

    /// The `message` header.
    public var message: String
    /// The body.
    public var detail: String
    /// Kebab-case, for the log line of the connection's end.
    public var code: String
    /// False if the peer does not speak STOMP: an ERROR frame would only confuse it.
    public var isWorthAFrame = true

    public init(_ kind: Kind, _ detail: String) {
        message = kind.message
        self.detail = detail
        code = Self.kebab(kind.rawValue)
    }

    public init(_ refusal: Refusal) {
        message = refusal.message
        detail = refusal.detail
        code = Self.kebab(refusal.kind.rawValue)
    }

    public init(_ error: FrameError) {
        message = error.message
        detail = error.detail
        code = error.isNotSTOMP ? "not-stomp" : "bad-frame"
        isWorthAFrame = !error.isNotSTOMP
    }

    /// The ERROR frame, for somebody with whom no session has begun.
    public var frame: [UInt8] {
        let body = detail + "\n"
        let head = "ERROR\nmessage:\(message)\ncontent-type:text/plain\ncontent-length:\(body.utf8.count)\n\n"
        return Array(head.utf8) + Array(body.utf8) + [0, 0x0A]
    }

    static func kebab(_ name: String) -> String {
        var text = ""
        for character in name {
            if character.isUppercase { text += "-" + character.lowercased() } else { text.append(character) }
        }
        return text
    }
}
