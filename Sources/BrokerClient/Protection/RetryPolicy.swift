/// How often something is tried, and how long after a failure: a random time between zero and a limit that doubles each
/// time ("full jitter"), so that those who failed together do not come back together.
///
///     let price = try await client.request(
///         "bicycle", to: "/queue/prices", timeout: .seconds(6), retry: RetryPolicy(attempts: 3))
public struct RetryPolicy: Sendable, Equatable {
    /// Tries in all, the first one included.
    public var attempts: Int
    /// The limit of the wait after the first failure.
    public var first: Duration
    /// The limit never grows over this.
    public var longest: Duration

    /// Five tries, with waits of up to 100 ms, 200 ms, 400 ms and 800 ms between them, unless said otherwise. Fewer than one try
    /// counts as one.
    public init(attempts: Int = 5, first: Duration = .milliseconds(100), longest: Duration = .seconds(10)) {
        self.attempts = attempts
        self.first = first
        self.longest = longest
    }

    /// One try.
    public static let never = RetryPolicy(attempts: 1)

    func backoff(seed: UInt64 = .random(in: .min ... .max)) -> Backoff {
        let attempts = max(1, attempts) - 1
        return Backoff(ReconnectPolicy(first: first, longest: longest, attempts: attempts), seed: seed)
    }
}
