import BrokerClient
import BrokerTesting
import Testing

@Suite(.timeLimit(.minutes(2))) struct StoppingTests {
    /// Goal: `stop` takes no longer than it was given, all that it waits for together. Method: the handler takes most of the
    /// time, and then the broker does not answer the UNSUBSCRIBE.
    @Test func stoppingKeepsToOneDeadline() async throws {
        let broker = TestBroker()
        let client = try await broker.connect()
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let consumer = try await client.consume("/queue/orders") { order in
            try await order.acknowledge()
            begin.yield()
            try await client.clock.sleep(for: .seconds(8))
        }
        try await client.send("bicycle", to: "/queue/orders")
        for await _ in begun { break }
        try await broker.until("/queue/orders") { $0.messages == 0 }
        let stopping = Task { () -> ClientError? in
            do throws(ClientError) {
                try await consumer.stop(within: .seconds(10))
                return nil
            } catch {
                return error
            }
        }
        // The handler, and who waits for it.
        try await broker.untilSleeping(2)
        await broker.freeze()
        await broker.advance(by: .seconds(8))
        // There is nothing left to be said but UNSUBSCRIBE.
        try await broker.untilUnheard()
        await broker.advance(by: .seconds(2))
        #expect(await stopping.value == .timedOut)
    }
}
