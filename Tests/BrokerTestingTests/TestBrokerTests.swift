import BrokerClient
import BrokerTesting
import Testing

@Suite(.timeLimit(.minutes(2))) struct TestBrokerTests {
    let broker = TestBroker(startingAt: 1_800_000_000_000)

    @Test func aMessageComesWithAllThatTheBrokerAdds() async throws {
        let client = try await broker.connect()
        try await client.send("two bicycles", to: "/queue/orders", headers: ["customer": "7"])
        let orders = try await client.subscribe(to: "/queue/orders")
        let order = try #require(try await orders.next())
        #expect(order.text == "two bicycles")
        #expect(order.headers["customer"] == "7")
        #expect(order.destination == "/queue/orders")
        #expect(order.messageID == "test-1-1")
        #expect(!order.redelivered)
        #expect(await broker.queue("/queue/orders").unacknowledged == 1)
        try await order.acknowledge(confirmation: .receipt)
        #expect(await broker.queue("/queue/orders").messages == 0)
        try await client.close()
        #expect(await broker.connectionCount() == 0)
    }

    @Test func nothingFallsDueUntilTheTestSaysSo() async throws {
        let client = try await broker.connect()
        try await client.send("late", to: "/queue/q", headers: ["delay": "60000"])
        let messages = try await client.subscribe(to: "/queue/q")
        #expect(await broker.queue("/queue/q").delayed == 1)
        await broker.advance(by: .milliseconds(59_999))
        #expect(await broker.queue("/queue/q").delayed == 1)
        #expect(messages.buffered == 0)
        await broker.advance(by: .milliseconds(1))
        #expect(messages.buffered == 1)
        #expect(broker.milliseconds == 1_800_000_060_000)
        try await client.close()
    }

    @Test func whatExpiresIsADeadLetter() async throws {
        try await broker.setPolicy(["expired": "dead-letter"], for: "/queue/shelf")
        let client = try await broker.connect()
        try await client.send("milk", to: "/queue/shelf", headers: ["ttl": "60000"])
        try await client.send("cheese", to: "/queue/shelf", headers: ["expires": "\(broker.milliseconds + 120_000)"])
        try await client.send("salt", to: "/queue/shelf")
        await broker.advance(by: .seconds(61))
        #expect(await broker.queue("/queue/shelf").messages == 2)
        await broker.advance(by: .seconds(60))
        try await broker.until("/queue/shelf.dlq") { $0.messages == 2 }
        let dead = try await client.subscribe(to: "/queue/shelf.dlq")
        for text in ["milk", "cheese"] {
            let message = try #require(try await dead.next())
            #expect(message.text == text)
            #expect(message.headers["dead-letter-reason"] == "expired")
        }
        try await client.close()
    }

    @Test func whatIsRefusedTooOftenIsADeadLetter() async throws {
        try await broker.setPolicy(["delivery_limit": "3", "redelivery_delay_ms": "1000"], for: "/queue/orders")
        let client = try await broker.connect()
        try await client.send("poison", to: "/queue/orders")
        let orders = try await client.subscribe(to: "/queue/orders")
        for count in 1...3 {
            let order = try #require(try await orders.next())
            #expect((order.deliveryCount ?? 1) == count)
            try await order.reject(confirmation: .receipt)
            if count < 3 { #expect(await broker.queue("/queue/orders").waiting == 1) }
            await broker.advance(by: .seconds(60))
        }
        try await broker.until("/queue/orders.dlq") { $0.messages == 1 }
        try await client.close()
    }

    @Test func settingsThatDoNotExistAreRefused() async throws {
        await #expect(throws: TestBrokerError.self) { try await broker.setPolicy(["colour": "red"], for: "/queue/q") }
    }

    @Test func aPatternIsSetAnew() async throws {
        try await broker.setPolicy(["length_most": "1"], for: "/queue/q")
        try await broker.setPolicy(["length_most": "2"], for: "/queue/q")
        let client = try await broker.connect()
        try await client.send("one", to: "/queue/q")
        try await client.send("two", to: "/queue/q")
        await #expect(throws: ClientError.self) { try await client.send("three", to: "/queue/q") }
        #expect(await broker.queue("/queue/q").messages == 2)
    }

    @Test func whoWaitsForAQueueIsToldWhenItIsSo() async throws {
        let client = try await broker.connect()
        let broker = broker
        async let seen = broker.until("/queue/q") { $0.messages == 3 }
        for number in 1...3 { try await client.send("\(number)", to: "/queue/q") }
        #expect(try await seen.received == 3)
        try await client.close()
    }

    @Test func waitingEndsWithItsTask() async throws {
        let broker = broker
        let task = Task { try await broker.until("/queue/q") { $0.messages == 1 } }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test func topicsAndTransactions() async throws {
        let client = try await broker.connect()
        let prices = try await client.subscribe(to: "/topic/prices.>", acknowledgement: .automatic)
        let durable = try await client.subscribe(
            to: "/topic/prices.>", headers: ["durable": "true"])
        await #expect(throws: Oops.self) {
            try await client.transaction { transaction in
                try await transaction.send("no", to: "/topic/prices.gold")
                throw Oops()
            }
        }
        try await client.transaction { transaction in
            try await transaction.send("1", to: "/topic/prices.gold")
            try await transaction.send("2", to: "/topic/prices.tin")
        }
        #expect(try await prices.next()?.text == "1")
        #expect(try await prices.next()?.text == "2")
        #expect(durable.buffered == 2)
        try await client.close()
    }

    @Test func moreThanMemoryHoldsComesBackFromStorage() async throws {
        let client = try await broker.connect()
        let body = [UInt8](repeating: 7, count: 100_000)
        for _ in 0..<100 { try await client.send(body, to: "/queue/big") }
        let messages = try await client.subscribe(to: "/queue/big", prefetch: 5)
        for _ in 0..<100 {
            let message = try #require(try await messages.next())
            #expect(message.body == body)
            try await message.acknowledge()
        }
        try await broker.until("/queue/big") { $0.messages == 0 }
        try await client.close()
    }

    @Test func memoryIsBounded() async throws {
        let broker = TestBroker(memoryBytes: 1 << 20)
        let client = try await broker.connect()
        let body = [UInt8](repeating: 7, count: 300_000)
        for _ in 0..<4 { try await client.send(body, to: "/queue/q") }
        await #expect(throws: ClientError.self) { try await client.send(body, to: "/queue/q") }
        #expect(await broker.queue("/queue/q").messages == 4)
    }

    struct Oops: Error {}
}
