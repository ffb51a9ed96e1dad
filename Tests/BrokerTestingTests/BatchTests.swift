import BrokerClient
import BrokerTesting
import Testing

/// Many messages by one call, with what programs try themselves with.
@Suite(.timeLimit(.minutes(2))) struct BatchTests {
    let broker = TestBroker(startingAt: 1_800_000_000_000)
    let diary = Diary()

    private func messages(_ count: Int, to destination: String = "/queue/q") -> [Outgoing] {
        (0..<count).map { Outgoing("\($0)", to: destination) }
    }

    private func error(_ body: () async throws(BatchError) -> Void) async -> BatchError? {
        do throws(BatchError) {
            try await body()
            return nil
        } catch {
            return error
        }
    }

    @Test func theyArriveInOrderAtTheirDestinations() async throws {
        var options = ClientOptions()
        options.unconfirmedMessages = 10
        let client = try await broker.connect(options)
        let mixed = zip(messages(1_000), messages(1_000, to: "/queue/other")).flatMap { [$0, $1] }
        try await client.send(mixed)
        for name in ["/queue/q", "/queue/other"] {
            let queue = try await client.subscribe(to: name, acknowledgement: .automatic)
            for number in 0..<1_000 { #expect(try await queue.next()?.text == "\(number)") }
            try await queue.cancel()
        }
        try await client.close()
    }

    @Test func thoseWhoseAnswerIsLostAreThereOnce() async throws {
        let client = try await broker.connect(diary.options)
        await broker.loseNextAnswer()
        async let sent: Void = client.send(messages(20))
        try await broker.until("/queue/q") { $0.messages == 20 }
        await broker.advance(by: .seconds(1))
        try await sent
        #expect(await broker.queue("/queue/q").messages == 20)
        #expect(diary.sum("resend") == 20)
        try await client.close()
    }

    @Test func theyAreTakenAndAcknowledgedManyAtOnce() async throws {
        let client = try await broker.connect()
        try await client.send(messages(250))
        let queue = try await client.subscribe(to: "/queue/q", prefetch: 100)
        var texts: [String] = []
        while texts.count < 250 {
            let taken = try await queue.next(atMost: 40)
            #expect(!taken.isEmpty && taken.count <= 40)
            texts += taken.map(\.text)
            try await taken.acknowledge(confirmation: .receipt)
        }
        #expect(texts == (0..<250).map { "\($0)" })
        #expect(await broker.queue("/queue/q").messages == 0)
        let waiting = Task { try await queue.next(atMost: 40).map(\.text) }
        try await client.send("late", to: "/queue/q")
        #expect(try await waiting.value == ["late"])
        async let last = queue.next(atMost: 40)
        try await queue.cancel()
        #expect(try await last.isEmpty)
        try await client.close()
    }

    /// Goal: one that cannot be acknowledged keeps no other from it, whatever client it is of. Method: of messages of two
    /// clients, mixed, one was acknowledged before; the call must say so, and the queues must be empty.
    @Test(arguments: [BrokerClient.Confirmation.none, .receipt]) func whatCanBeIsAcknowledged(
        confirmation: BrokerClient.Confirmation
    ) async throws {
        let (one, other) = (try await broker.connect(), try await broker.connect())
        try await one.send(messages(3) + messages(3, to: "/queue/other"))
        let queues = (
            try await one.subscribe(to: "/queue/q"), try await other.subscribe(to: "/queue/other")
        )
        var taken: [Message] = []
        for _ in 0..<3 {
            taken.append(try #require(try await queues.0.next()))
            taken.append(try #require(try await queues.1.next()))
        }
        try await taken[1].acknowledge(confirmation: .receipt)
        await #expect(throws: ClientError.alreadySettled) { try await taken.acknowledge(confirmation: confirmation) }
        // Their answers come behind the ACKs.
        try await one.close()
        try await other.close()
        #expect(await broker.queue("/queue/q").messages == 0)
        #expect(await broker.queue("/queue/other").messages == 0)
        await #expect(throws: Never.self) { try await [Message]().acknowledge() }
    }

    /// What is computed on the way may ask the client: no lock is held meanwhile.
    @Test func whatIsAcknowledgedMayBeComputed() async throws {
        let client = try await broker.connect()
        try await client.send(messages(4))
        let queue = try await client.subscribe(to: "/queue/q")
        var taken: [Message] = []
        while taken.count < 4 { taken += try await queue.next(atMost: 4) }
        try await taken.lazy.filter { queue.buffered == 0 && $0.text != "2" }.acknowledge(confirmation: .receipt)
        #expect(await broker.queue("/queue/q").messages == 1)
        try await client.close()
    }

    @Test func eachIsMeasured() async throws {
        let client = try await broker.connect(diary.options)
        try await client.send(messages(2) + messages(1, to: "/queue/other"))
        #expect(diary.outcomes("send") == ["confirmed", "confirmed", "confirmed"])
        #expect(diary.numbers("send").map(\.destination) == ["/queue/q", "/queue/q", "/queue/other"])
        await broker.freeze()
        let sending = Task {
            await error { () async throws(BatchError) in try await client.send(messages(2), timeout: .seconds(3)) }
        }
        try await broker.untilUnheard()
        await broker.advance(by: .seconds(3))
        #expect(await sending.value == BatchError(.timedOut, [.unknown, .unknown]))
        #expect(diary.outcomes("send").suffix(2) == ["timed-out", "timed-out"])
        #expect(diary.durations("send").suffix(2) == [.seconds(3), .seconds(3)])
    }

    @Test func anOpenCircuitOfOneDestinationLetsNoneThrough() async throws {
        var options = ClientOptions()
        options.circuitBreaker = CircuitBreakerOptions()
        options.circuitBreaker?.consecutiveFailures = 1
        let client = try await broker.connect(options)
        let refused = await error { () async throws(BatchError) in
            try await client.send(messages(2) + messages(1, to: "/nowhere/x") + messages(1))
        }
        #expect(refused?.outcomes.prefix(3) == [.confirmed, .confirmed, .refused])
        #expect(client.circuitBreaker(for: "/nowhere/x")?.state == .open)
        #expect(client.circuitBreaker(for: "/queue/q")?.state == .closed)
        await broker.advance(by: .seconds(1))
        let kept = await broker.queue("/queue/q").messages
        let open = await error { () async throws(BatchError) in
            try await client.send(messages(1) + messages(1, to: "/nowhere/x"))
        }
        guard case .circuitOpen("/nowhere/x", _)? = open?.cause else {
            Issue.record("\(String(describing: open))")
            return
        }
        #expect(open?.outcomes == [.notSent, .notSent])
        #expect(await broker.queue("/queue/q").messages == kept)
        try await client.send(messages(1))
        try await client.close()
    }

    @Test func allBelongToTheTraceOfTheirCall() async throws {
        let client = try await broker.connect()
        let trace = try #require(
            TraceContext(traceparent: "00-\(String(repeating: "a", count: 32))-00000000000000b7-01"))
        let own = Outgoing("own", to: "/queue/q", headers: ["traceparent": "mine"])
        try await TraceContext.$current.withValue(trace) { try await client.send(messages(2) + [own]) }
        let queue = try await client.subscribe(to: "/queue/q")
        var traces: [String?] = []
        for _ in 0..<3 { traces.append(try await queue.next()?.headers["traceparent"]) }
        #expect(traces == [trace.traceparent, trace.traceparent, "mine"])
        try await client.close()
    }
}
