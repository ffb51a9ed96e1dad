import BrokerClient
import BrokerTesting
import Testing

/// The styles and protections of the client with the broker inside of tests: all that waits, waits by its clock.
@Suite(.timeLimit(.minutes(2))) struct StyleTests {
    let broker = TestBroker(startingAt: 1_800_000_000_000)

    @Test func aRequestIsServed() async throws {
        let (asker, server) = (try await broker.connect(), try await broker.connect())
        let service = try await server.serve("/queue/prices") { request in Answer("\(request.text.count)") }
        #expect(try await asker.request("bicycle", to: "/queue/prices").text == "7")
        try await service.stop()
        try await asker.close()
        try await server.close()
    }

    /// The asker's time passes in the test's time, and its request is not worked on any more.
    @Test func aRequestTimesOutByTheClockOfTheTest() async throws {
        let (asker, server) = (try await broker.connect(), try await broker.connect())
        let asking = Task { () -> ClientError? in
            do throws(ClientError) {
                _ = try await asker.request("bicycle", to: "/queue/prices", timeout: .seconds(30))
                return nil
            } catch {
                return error
            }
        }
        try await broker.until("/queue/prices") { $0.messages == 1 }
        await broker.advance(by: .seconds(31))
        #expect(await asking.value == .timedOut)
        let worked = try await server.subscribe(to: "/queue/prices")
        await broker.advance(by: .seconds(1))
        #expect(worked.buffered == 0)
        try await asker.close()
        try await server.close()
    }

    @Test func aRetryWaitsByTheClockOfTheTest() async throws {
        let (client, other) = (try await broker.connect(), try await broker.connect())
        try await broker.setPolicy(["length_most": "1"], for: "/queue/small")
        try await client.send("first", to: "/queue/small")
        let sending = Task {
            try await client.send(
                "second", to: "/queue/small", timeout: .seconds(3600),
                retry: RetryPolicy(attempts: 10, first: .seconds(100), longest: .seconds(100)))
        }
        try await broker.untilSleeping()
        let reader = try await other.subscribe(to: "/queue/small")
        try await #require(await reader.next()).acknowledge()
        try await broker.until("/queue/small") { $0.messages == 0 }
        await broker.advance(by: .seconds(100))
        try await sending.value
        #expect(try await reader.next()?.text == "second")
        try await client.close()
        try await other.close()
    }

    @Test func aCircuitClosesAgainByTheClockOfTheTest() async throws {
        var options = ClientOptions()
        var circuit = CircuitBreakerOptions()
        circuit.consecutiveFailures = 1
        circuit.openFor = .seconds(10)
        options.circuitBreaker = circuit
        let (client, other) = (try await broker.connect(options), try await broker.connect())
        try await broker.setPolicy(["length_most": "1"], for: "/queue/small")
        try await client.send("first", to: "/queue/small")
        await #expect(throws: ClientError.self) { try await client.send("second", to: "/queue/small") }
        let breaker = try #require(client.circuitBreaker(for: "/queue/small"))
        #expect(breaker.state == .open)
        await #expect(throws: ClientError.circuitOpen("/queue/small", retryIn: .seconds(10))) {
            try await client.send("third", to: "/queue/small")
        }
        let reader = try await other.subscribe(to: "/queue/small")
        try await #require(await reader.next()).acknowledge()
        try await broker.until("/queue/small") { $0.messages == 0 }
        await broker.advance(by: .seconds(10))
        try await client.send("fourth", to: "/queue/small")
        #expect(breaker.state == .closed)
        try await client.close()
        try await other.close()
    }

    // MARK: Gathering and its circuit breaker

    private func cautious() -> ClientOptions {
        var options = ClientOptions()
        var circuit = CircuitBreakerOptions()
        circuit.consecutiveFailures = 1
        options.circuitBreaker = circuit
        return options
    }

    /// A gathering from a queue that nobody serves.
    private func unheard(
        _ client: Client, from expected: Set<String> = [], number: UInt64 = 1
    ) async throws -> Gathered {
        let gathering = Task {
            try await client.gather("x", to: "/queue/offers", from: expected, timeout: .seconds(5))
        }
        try await broker.until("/queue/offers") { $0.received == number }
        await broker.advance(by: .seconds(5))
        return try await gathering.value
    }

    @Test func silenceOfThoseWhoWereExpectedOpensTheCircuit() async throws {
        let client = try await broker.connect(cautious())
        let breaker = try #require(client.circuitBreaker(for: "/queue/offers"))
        #expect(try await unheard(client, from: ["eu"]).missing == ["eu"])
        #expect(breaker.state == .open)
        await #expect(throws: ClientError.circuitOpen("/queue/offers", retryIn: .seconds(10))) {
            try await client.gather("x", to: "/queue/offers")
        }
        #expect(await broker.queue("/queue/offers").received == 1)
        try await client.close()
    }

    @Test func silenceOfNobodyInParticularIsAnAnswer() async throws {
        let client = try await broker.connect(cautious())
        for number: UInt64 in 1...3 { #expect(try await unheard(client, number: number).end == .timedOut) }
        #expect(client.circuitBreaker(for: "/queue/offers")?.state == .closed)
        try await client.close()
    }

    /// One that answers is enough; that all of them have failed is a failure.
    @Test func aGatheringFailsWhenAllDo() async throws {
        struct Trouble: Error {}
        let (client, server) = (try await broker.connect(cautious()), try await broker.connect())
        let bad = try await server.serve("/topic/offers", name: "bad") { _ in throw Trouble() }
        let good = try await server.serve("/topic/offers", name: "good") { _ in throw RequestFailure(code: "sold-out") }
        let both = try await client.gather("x", to: "/topic/offers", from: ["bad", "good"])
        #expect(both.failures.count == 2 && client.circuitBreaker(for: "/topic/offers")?.state == .closed)
        try await good.stop()
        let one = try await client.gather("x", to: "/topic/offers", from: ["bad"])
        #expect(one.failures.count == 1 && client.circuitBreaker(for: "/topic/offers")?.state == .open)
        try await bad.stop()
        try await client.close()
        try await server.close()
    }
}
