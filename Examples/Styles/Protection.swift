import BrokerClient

/// Keeps away from something that fails, and does without it. Prints
///
///     890 as of yesterday: no answer
///     890 as of yesterday: no answer
///     890 as of yesterday: it was not even asked
///     open
@Sendable func protection(_ client: Client) async throws {
    struct NoAnswer: Error {}
    func priceOfToday() async throws -> Int { throw NoAnswer() }

    var options = CircuitBreakerOptions()
    options.consecutiveFailures = 2
    let breaker = CircuitBreaker("prices", options)
    for _ in 1...3 {
        let price = try await breaker.run {
            "\(try await priceOfToday())"
        } fallback: { error in
            if case .circuitOpen = error as? ClientError { return "890 as of yesterday: it was not even asked" }
            return "890 as of yesterday: no answer"
        }
        print(price)
    }
    print(breaker.state)
}
