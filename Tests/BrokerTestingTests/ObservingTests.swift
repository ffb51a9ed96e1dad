import BrokerClient
import BrokerTesting
import Synchronization
import Testing

/// Keeps what a client tells.
final class Diary: Sendable {
    private let told = Mutex<(numbers: [ClientMeasurement], entries: [ClientLogEntry])>(([], []))

    var options: ClientOptions {
        var options = ClientOptions()
        options.observer.measure = { number in self.told.withLock { $0.numbers.append(number) } }
        options.observer.log = { entry in self.told.withLock { $0.entries.append(entry) } }
        return options
    }

    func numbers(_ name: String) -> [ClientMeasurement] {
        told.withLock { $0.numbers.filter { $0.name == name } }
    }

    func outcomes(_ name: String) -> [String] { numbers(name).compactMap(\.outcome) }

    func durations(_ name: String) -> [Duration] {
        numbers(name).compactMap { number in
            if case .duration(let duration) = number.value { return duration }
            return nil
        }
    }

    /// Of all that went up or down.
    func sum(_ name: String) -> Int {
        numbers(name).reduce(0) { sum, number in
            switch number.value {
            case .count(let count): sum + count
            case .change(let change): sum + change
            case .duration: sum
            }
        }
    }

    func levels(_ sentence: String) -> [ClientLogEntry.Level] {
        told.withLock { $0.entries.filter { $0.sentence == sentence }.map(\.level) }
    }

    func fields(_ sentence: String) -> [String: String] {
        let entry = told.withLock { $0.entries.last { $0.sentence == sentence } }
        return Dictionary((entry?.fields ?? []).map { ($0.name, $0.value) }) { first, _ in first }
    }
}

private struct Trouble: Error {}

@Suite(.timeLimit(.minutes(2))) struct ObservingTests {
    let broker = TestBroker(startingAt: 1_800_000_000_000)
    let diary = Diary()

    // MARK: Calls

    @Test func aSendIsMeasured() async throws {
        let client = try await broker.connect(diary.options)
        try await client.send("x", to: "/queue/q")
        try await client.send("x", to: "/queue/q", confirmation: .none)
        await #expect(throws: ClientError.self) {
            try await client.send("x", to: "/queue/q", headers: ["receipt": "1"])
        }
        #expect(diary.outcomes("send") == ["confirmed", "sent", "invalid"])
        #expect(diary.numbers("send").allSatisfy { $0.destination == "/queue/q" })
        #expect(diary.durations("send") == [.zero, .zero, .zero])
        try await client.close()
        #expect(diary.outcomes("connection") == ["connected"])
        #expect(diary.levels("connected") == [.info] && diary.levels("closed") == [.info])
        #expect(diary.sum("bytes_in") > 0 && diary.sum("bytes_out") > 0)
    }

    @Test func durationsAreInTheClientsTime() async throws {
        let client = try await broker.connect(diary.options)
        await broker.freeze()
        let sending = Task { try await client.send("x", to: "/queue/q", timeout: .seconds(7)) }
        try await broker.untilUnheard()
        await broker.advance(by: .seconds(7))
        await #expect(throws: ClientError.timedOut) { try await sending.value }
        #expect(diary.outcomes("send") == ["timed-out"])
        #expect(diary.durations("send") == [.seconds(7)])
    }

    @Test func whatIsSentAgainIsCounted() async throws {
        let client = try await broker.connect(diary.options)
        await broker.loseNextAnswer()
        async let sent: Void = client.send("pay", to: "/queue/payments")
        try await broker.until("/queue/payments") { $0.messages == 1 }
        await broker.advance(by: .seconds(1))
        try await sent
        #expect(diary.numbers("resend").map(\.value) == [.count(1)])
        #expect(diary.outcomes("send") == ["confirmed"])
        #expect(diary.outcomes("connection") == ["connected", "connection-lost", "connected"])
        #expect(diary.levels("not connected") == [.warning])
        #expect(diary.fields("not connected")["reason"]?.contains("peer-reset") == true)
        #expect(diary.fields("unconfirmed sends went out again") == ["count": "1"])
        try await client.close()
    }

    @Test func requestsAndTheirBreakerAreMeasured() async throws {
        var options = diary.options
        var circuit = CircuitBreakerOptions()
        circuit.consecutiveFailures = 1
        options.circuitBreaker = circuit
        let client = try await broker.connect(options)
        let service = try await client.serve("/queue/prices") { request in
            if request.text == "fail" { throw Trouble() }
            return Answer("890")
        }
        _ = try await client.request("bicycle", to: "/queue/prices")
        for text in ["fail", "bicycle"] {
            await #expect(throws: ClientError.self) { try await client.request(text, to: "/queue/prices") }
        }
        #expect(diary.outcomes("request") == ["answered", "request-failed", "circuit-open"])
        #expect(diary.outcomes("circuit") == ["open"])
        #expect(diary.levels("a circuit breaker is open") == [.warning])
        try await service.stop()
        #expect(diary.outcomes("handler") == ["handled", "failed"])
        #expect(diary.levels("a handler failed") == [.warning])
        await broker.advance(by: .seconds(10))
        let asking = Task { try await client.request("bicycle", to: "/queue/prices", timeout: .seconds(5)) }
        try await broker.until("/queue/prices") { $0.messages == 1 }
        await broker.advance(by: .seconds(5))
        await #expect(throws: ClientError.timedOut) { try await asking.value }
        #expect(diary.outcomes("request").last == "timed-out" && diary.durations("request").last == .seconds(5))
        #expect(diary.outcomes("circuit") == ["open", "half-open", "open"])
        #expect(diary.numbers("circuit").allSatisfy { $0.destination == "/queue/prices" })
        try await client.close()
    }

    // MARK: Handlers

    @Test func handlersAreMeasuredAndCountedInHand() async throws {
        let client = try await broker.connect(diary.options)
        let consumer = try await client.consume("/queue/q") { message in
            if message.text == "wait" { try await client.clock.sleep(for: .seconds(3)) }
            if message.text == "bad" { throw Unprocessable("never") }
            if message.text == "later" { throw Trouble() }
        }
        try await client.send("wait", to: "/queue/q")
        try await broker.untilSleeping()
        #expect(diary.sum("in_hand") == 1)
        await broker.advance(by: .seconds(3))
        try await broker.until("/queue/q") { $0.messages == 0 }
        try await client.send("bad", to: "/queue/q")
        try await broker.until("/queue/q.dlq") { $0.messages == 1 }
        try await client.send("later", to: "/queue/q")
        try await broker.until("/queue/q") { $0.waiting == 1 }
        try await consumer.stop()
        #expect(diary.outcomes("handler") == ["handled", "failed", "failed"])
        #expect(diary.durations("handler").first == .seconds(3))
        #expect(diary.outcomes("message") == ["dead-lettered", "rejected"])
        #expect(diary.sum("in_hand") == 0)
        #expect(diary.levels("a message is given up") == [.warning])
        #expect(diary.fields("a handler failed")["reason"]?.contains("Trouble") == true)
        let counters = consumer.counters
        #expect(counters.handled == 1 && counters.failed == 2 && counters.rejected == 1 && counters.deadLettered == 1)
        try await client.close()
    }

    /// Whoever keeps metrics keeps each value of a label.
    @Test func addressesOfAskersAreNoLabels() async throws {
        let client = try await broker.connect(diary.options)
        let requests = try await client.subscribe(to: "/queue/q")
        let asking = Task { try await client.request("x", to: "/queue/q") }
        let request = try #require(try await requests.next())
        let correlation = try #require(request.headers["correlation-id"])
        let address = try #require(request.replyTo)
        try await client.send("reply", to: address, headers: ["correlation-id": correlation])
        try await client.send("again", to: address, headers: ["correlation-id": correlation])
        #expect(try await asking.value.text == "reply")
        #expect(diary.numbers("send").map(\.destination) == ["/reply-queue/", "/reply-queue/"])
        #expect(diary.numbers("send").first?.labels.map(\.0) == ["destination", "outcome"])
        try await client.close()
        #expect(diary.outcomes("stray_reply") == ["late"])
    }

    /// No lock is held, so whoever is told may ask.
    @Test func anObserverMayCallTheClient() async throws {
        let seen = Mutex<(client: Client?, calls: Int)>((nil, 0))
        var options = ClientOptions()
        let look: @Sendable () -> Void = {
            guard let client = seen.withLock({ $0.client }) else { return }
            _ = (client.state, client.requestCounters, client.circuitBreaker(for: "/queue/q")?.state)
            seen.withLock { $0.calls += 1 }
        }
        options.circuitBreaker = CircuitBreakerOptions()
        options.circuitBreaker?.consecutiveFailures = 1
        options.observer.measure = { _ in look() }
        options.observer.log = { _ in look() }
        let client = try await broker.connect(options)
        seen.withLock { $0.client = client }
        try await broker.setPolicy(["length_most": "1"], for: "/queue/q")
        try await client.send("one", to: "/queue/q")
        await #expect(throws: ClientError.self) { try await client.send("two", to: "/queue/q") }
        await broker.advance(by: .seconds(20))
        await #expect(throws: ClientError.self) { try await client.send("three", to: "/queue/q") }
        seen.withLock { $0.client = nil }
        #expect(seen.withLock { $0.calls } > 10)
        try await client.close()
    }
}
