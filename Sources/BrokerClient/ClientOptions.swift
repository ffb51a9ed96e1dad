/// How a client connects, waits and remembers. Every field has a default that suits most programs.
///
///     var options = ClientOptions()
///     options.login = "shop"
///     options.passcode = { try await vault.token() }
///     options.timeout = .seconds(10)
///     let client = try await Client.connect(to: ["mq1.example.org:61613", "mq2.example.org:61613"], options)
public struct ClientOptions: Sendable {
    /// Sent as `login`. nil: no login is offered.
    public var login: String?
    /// Asked before each attempt to connect, so that a token can be renewed. Never kept.
    public var passcode: (@Sendable () async throws -> String)?
    /// The virtual host. STOMP wants one named; "/" is the default one wherever the name counts. nil: none is named.
    public var host: String? = "/"

    /// For one attempt to connect: socket, login and restoring the subscriptions, together.
    public var connectTimeout: Duration = .seconds(10)
    /// For each call that names none of its own.
    public var timeout: Duration = .seconds(30)
    /// Heart-beats that are offered to the broker, 10 s in each direction.
    public var heartBeat = HeartBeatOptions()
    /// What happens when the connection is lost. By default it is tried again for ever, after 30 s at most.
    public var reconnect: ReconnectPolicy = .exponential()

    /// Sends handed to the broker and not yet confirmed; over either limit `send` waits. A single
    /// message larger than the bytes goes out when it is alone.
    public var unconfirmedMessages = 10_000
    /// The same in bytes, 8 MiB.
    public var unconfirmedBytes = 8 << 20

    /// Requests sent and not yet answered, those that gather replies counted as one each.
    public var requestsInFlight = 1_000
    /// What a request does when there are so many.
    public var whenRequestsAreMany = WhenMany.wait

    /// Gives every destination that is sent to, or asked, a circuit breaker. nil: none has one.
    public var circuitBreaker: CircuitBreakerOptions?

    /// Largest body of a message that is accepted from the broker, in bytes.
    public var maxMessageBytes = 16 << 20

    /// All defaults.
    public init() {}
}

/// What the client offers in the `heart-beat` header, as intervals. `.zero` means none in that direction.
/// The longer wish of both sides counts (STOMP 1.2, Heart-beating). The client writes after half
/// the interval and allows the broker twice of it.
public struct HeartBeatOptions: Sendable, Equatable {
    /// The client can send at least this often.
    public var sends: Duration
    /// The client wants to hear something at least this often.
    public var wants: Duration

    /// 10 s in each direction, unless said otherwise.
    public init(sends: Duration = .seconds(10), wants: Duration = .seconds(10)) {
        self.sends = sends
        self.wants = wants
    }

    /// No heart-beats. A connection that goes silent is found out by the next deadline only.
    public static let none = HeartBeatOptions(sends: .zero, wants: .zero)
}

/// When a lost connection is tried again: after a random time between zero and a limit that doubles
/// with each failure ("full jitter", so that the clients of a restarted broker do not come back
/// in step; M. Brooker, Exponential Backoff And Jitter, 2015).
public struct ReconnectPolicy: Sendable, Equatable {
    /// The limit before the first attempt.
    public var first: Duration
    /// The limit never grows over this.
    public var longest: Duration
    /// Failed attempts in a row after which the client gives up. nil: never gives up.
    public var attempts: Int?

    /// Waits up to `first`, then up to twice that, and so on up to `longest`; gives up after so many `attempts` in a row, or
    /// never.
    public static func exponential(
        first: Duration = .milliseconds(100), longest: Duration = .seconds(30), attempts: Int? = nil
    ) -> ReconnectPolicy {
        ReconnectPolicy(first: first, longest: longest, attempts: attempts)
    }

    /// The first loss is final.
    public static let never = ReconnectPolicy(first: .zero, longest: .zero, attempts: 0)
}

/// What a call does that finds a limit reached.
public enum WhenMany: Sendable, Equatable {
    /// Waits its turn, within its time.
    case wait
    /// Throws `ClientError.tooManyRequests` at once, so that load is shed where it arises.
    case fail
}

/// Whether a call waits until the broker has confirmed it with RECEIPT.
public enum Confirmation: Sendable, Equatable {
    /// Wait. For a persistent message: until it is safe on the broker's disk.
    case receipt
    /// Do not wait; nothing is resent either, and a loss goes unnoticed.
    case none
}

/// Who acknowledges the messages of a subscription, and how.
public enum Acknowledgement: Sendable, Equatable {
    /// The program acknowledges each message (`client-individual` on the wire).
    case individual
    /// The program's acknowledgement covers this message and all before it (`client` on the wire).
    case cumulative
    /// The library acknowledges a message when it hands it to the program.
    case automatic
}

extension Duration {
    /// Whole milliseconds, rounded up, never negative; saturates.
    package var wholeMilliseconds: UInt64 {
        let (seconds, attoseconds) = components
        if seconds < 0 || attoseconds < 0 { return 0 }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1000)
        if overflow { return .max }
        let rest = (UInt64(attoseconds) + 999_999_999_999_999) / 1_000_000_000_000_000
        let (sum, tooLong) = product.addingReportingOverflow(rest)
        return tooLong ? .max : sum
    }
}
