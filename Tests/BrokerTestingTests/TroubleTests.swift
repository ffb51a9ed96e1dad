import BrokerClient
import BrokerTesting
import Testing

/// What a program can be tried with: connections that break, a broker that is away, or says nothing.
@Suite(.timeLimit(.minutes(2))) struct TroubleTests {
    let broker = TestBroker()

    private func isConnected(_ state: ConnectionState) -> Bool {
        if case .connected = state { return true }
        return false
    }

    @Test func aCutConnectionHealsWhenTimePasses() async throws {
        let client = try await broker.connect()
        let orders = try await client.subscribe(to: "/queue/orders")
        try await client.send("one", to: "/queue/orders")
        let first = try #require(try await orders.next())
        await broker.cutConnections()
        #expect(!isConnected(client.state))
        await #expect(throws: ClientError.self) { try await first.acknowledge() }
        #expect(await broker.queue("/queue/orders").ready == 1)
        await broker.advance(by: .seconds(1))
        #expect(isConnected(client.state))
        let again = try #require(try await orders.next())
        #expect(again.redelivered && again.deliveryCount == 2)
        #expect(again.messageID == first.messageID)
        try await client.close()
    }

    @Test func aSendWhoseAnswerIsLostIsThereOnce() async throws {
        let client = try await broker.connect()
        await broker.loseNextAnswer()
        async let sent: Void = client.send("pay", to: "/queue/payments")
        try await broker.until("/queue/payments") { $0.messages == 1 }
        await broker.advance(by: .seconds(1))
        try await sent
        #expect(await broker.queue("/queue/payments").messages == 1)
        try await client.close()
    }

    @Test func aStoppedBrokerIsTriedUntilItIsBack() async throws {
        let client = try await broker.connect()
        try await client.send("kept", to: "/queue/q")
        await broker.stop()
        #expect(await broker.connectionCount() == 0)
        await #expect(throws: ClientError.connectFailed(address: "in-process", reason: "the test broker is stopped")) {
            _ = try await broker.connect()
        }
        await broker.advance(by: .seconds(20))
        #expect(!isConnected(client.state))
        await broker.start()
        await broker.advance(by: .seconds(31))
        #expect(isConnected(client.state))
        #expect(await broker.queue("/queue/q").messages == 1)
        try await client.close()
    }

    @Test func aClientThatGivesUpSaysSo() async throws {
        var options = ClientOptions()
        options.reconnect = .never
        let client = try await broker.connect(options)
        let messages = try await client.subscribe(to: "/queue/q")
        await broker.cutConnections()
        await #expect(throws: ClientError.connectionLost(.ended(reason: "peer-reset"))) {
            _ = try await messages.next()
        }
    }

    @Test func deadlinesAreInTheTimeOfTheTest() async throws {
        let client = try await broker.connect()
        await broker.freeze()
        let other = Task { try await client.subscribe(to: "/queue/other", timeout: .seconds(5)) }
        try await broker.untilUnheard()
        await broker.advance(by: .milliseconds(4999))
        #expect(await broker.connectionCount() == 1)
        await broker.advance(by: .milliseconds(1))
        await #expect(throws: ClientError.timedOut) { _ = try await other.value }
    }

    @Test func whatWasWrittenToAFrozenBrokerArrivesLater() async throws {
        let client = try await broker.connect()
        await broker.freeze()
        async let sent: Void = client.send("x", to: "/queue/q")
        try await broker.untilUnheard()
        #expect(await broker.queue("/queue/q").messages == 0)
        await broker.thaw()
        try await sent
        #expect(await broker.queue("/queue/q").messages == 1)
        try await client.close()
    }
}
