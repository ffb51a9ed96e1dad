import Base

/// One number about a client's work. docs/client/observing.md lists all of them.
public struct ClientMeasurement: Sendable, Equatable {
    /// What a number means to what was measured before.
    public enum Value: Sendable, Equatable {
        /// So many more: only ever up.
        case count(Int)
        /// Up, or down if it is negative. The sum is what there is now.
        case change(Int)
        /// How long something took, by the client's clock.
        case duration(Duration)
    }

    /// What was measured: `send`, `request`, `handler` and so on.
    public let name: String
    /// How many, or how long.
    public let value: Value
    /// Where it went to, or came from; of an address that is made for one asker, only how it begins (`/reply-queue/`).
    public let destination: String?
    /// What it came to, as one of a few words: `confirmed`, `timed-out`, `circuit-open`.
    public let outcome: String?

    /// What there is of `destination` and `outcome`, for systems of metrics that call them labels, tags or dimensions.
    public var labels: [(String, String)] {
        var labels: [(String, String)] = []
        if let destination { labels.append(("destination", destination)) }
        if let outcome { labels.append(("outcome", outcome)) }
        return labels
    }
}

extension ClientMeasurement {
    enum Name: String, CaseIterable {
        case send, request, gather
        case resend
        case handler, message
        case inHand = "in_hand"
        case connection, circuit
        case strayReply = "stray_reply"
        case bytesIn = "bytes_in"
        case bytesOut = "bytes_out"
    }

    init(_ name: Name, _ value: Value, of destination: String?, _ outcome: String?) {
        self.init(
            name: name.rawValue, value: value, destination: destination.map { Self.bounded($0) }, outcome: outcome)
    }

    /// Each value of a label is kept for ever by whoever keeps metrics, so there must not be one for each asker.
    private static func bounded(_ destination: String) -> String {
        ReplyAddress.channels.first { destination.hasPrefix($0) } ?? destination
    }
}

extension Instant {
    /// 0 if `earlier` is later.
    func duration(since earlier: Instant) -> Duration {
        .nanoseconds(Int64(clamping: nanoseconds - min(nanoseconds, earlier.nanoseconds)))
    }
}

extension ClientError {
    /// One of a few words that stay the same.
    var word: String {
        switch self {
        case .invalidAddress, .invalidHeader: "invalid"
        case .connectFailed: "connect-failed"
        case .connectTimedOut: "connect-timed-out"
        case .credentialsFailed: "credentials-failed"
        case .loginRefused: "login-refused"
        case .versionRefused: "version-refused"
        case .refused: "refused"
        case .connectionLost: "connection-lost"
        case .outcomeUnknown: "outcome-unknown"
        case .timedOut: "timed-out"
        case .cancelled: "cancelled"
        case .closed: "closed"
        case .tooManyRequests: "too-many-requests"
        case .requestFailed: "request-failed"
        case .circuitOpen: "circuit-open"
        case .alreadySettled: "already-settled"
        case .subscriptionEnded: "subscription-ended"
        case .transactionEnded: "transaction-ended"
        case .notSupported: "not-supported"
        }
    }
}
