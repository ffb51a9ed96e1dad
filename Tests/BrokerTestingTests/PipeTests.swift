import BrokerClient
import BrokerTesting
import Testing

@Suite(.timeLimit(.minutes(2))) struct PipeTests {
    let broker = TestBroker()

    /// The headers of a message that came cannot go out again as they are; who tries hears of it.
    @Test func aResultThatCannotBeSentIsAFailureOfItsMessage() async throws {
        try await broker.setPolicy(["delivery_limit": "1"], for: "/queue/in")
        let client = try await broker.connect()
        let stage = try await client.pipe("/queue/in") { message in
            [Outgoing(message.body, to: "/queue/out", headers: message.headers)]
        }
        try await client.send("bicycle", to: "/queue/in")
        try await broker.until("/queue/in.dlq") { $0.messages == 1 }
        #expect(await broker.queue("/queue/out").received == 0)
        #expect(stage.counters.rejected == 1)
        try await stage.stop()
        try await client.close()
    }
}
