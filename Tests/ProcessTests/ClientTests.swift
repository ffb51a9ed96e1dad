import BrokerClient
import Glibc
import Testing

extension ProcessTests {
    /// The client library and the broker, the real one each.
    @Suite struct ClientTests {
        private static func connect(_ broker: BrokerProcess) async throws -> Client {
            var options = ClientOptions()
            options.reconnect = .exponential(first: .milliseconds(20), longest: .milliseconds(100))
            options.timeout = .seconds(20)
            return try await Client.connect(to: ["127.0.0.1:\(broker.port)"], options)
        }

        @Test func messagesAreSentReceivedAcknowledgedAndRejected() async throws {
            let home = try Home()
            // What was refused comes back at once, before what is behind it.
            let file = try home.file(
                "broker.json5", "{ policies: { now: { pattern: '**', settings: { redelivery_delay_ms: 0 } } } }")
            let broker = try BrokerProcess(home, ["--config", file])
            let client = try await Self.connect(broker)
            let strange = "colon: backslash\\ line\nend ü 漢"
            try await client.send("one", to: "/queue/q", headers: ["strange": strange])
            try await client.send([0, 1, 2, 0, 255], to: "/queue/q")
            let subscription = try await client.subscribe(to: "/queue/q", prefetch: 1)
            let first = try #require(try await subscription.next())
            #expect(first.text == "one" && first.headers["strange"] == strange && !first.redelivered)
            try await first.reject()
            let again = try #require(try await subscription.next())
            #expect(again.text == "one" && again.redelivered && again.deliveryCount == 2)
            try await again.acknowledge(confirmation: .receipt)
            let second = try #require(try await subscription.next())
            #expect(second.body == [0, 1, 2, 0, 255])
            try await second.acknowledge(confirmation: .receipt)
            try await subscription.cancel()
            try await client.close()
            #expect(try broker.drain("q") == [])
        }

        @Test func aTransactionIsAllOrNothing() async throws {
            struct Regret: Error {}
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try await Self.connect(broker)
            try await client.send("order", to: "/queue/in")
            let subscription = try await client.subscribe(to: "/queue/in")
            let order = try #require(try await subscription.next())
            await #expect(throws: Regret.self) {
                try await client.transaction { transaction in
                    try transaction.acknowledge(order)
                    try await transaction.send("never", to: "/queue/out")
                    throw Regret()
                }
            }
            try await client.transaction { transaction in
                try transaction.acknowledge(order)
                try await transaction.send("paid", to: "/queue/out")
            }
            try await client.close()
            broker.kill()
            let next = try BrokerProcess(home)
            #expect(try next.drain("in") == [])
            #expect(try next.drain("out") == ["paid"])
        }

        @Test func afterAKillSubscriptionsComeBackAndUnconfirmedSendsGoOutAgain() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try await Self.connect(broker)
            let subscription = try await client.subscribe(to: "/queue/q")
            try await client.send("before", to: "/queue/q")
            let before = try #require(try await subscription.next())
            #expect(before.text == "before")
            let port = broker.port
            broker.kill()
            // Waits for a broker, and is confirmed by the next one.
            async let sending: Void = client.send("during", to: "/queue/q")
            let next = try BrokerProcess(home, listen: ["127.0.0.1:\(port)"])
            try await sending
            // It was not acknowledged, so it comes again.
            var texts: [String] = []
            while !Set(texts).isSuperset(of: ["before", "during"]) {
                let message = try #require(try await subscription.next())
                texts.append(message.text)
                try await message.acknowledge(confirmation: .receipt)
            }
            try await client.send("after", to: "/queue/q")
            #expect(try await subscription.next()?.text == "after")
            try await client.close()
            #expect(try next.drain("q") == ["after"])
        }

        /// Goal: a kill in the midst of many that are sent by one call leaves each of them there once and in order. Method:
        /// the limit of unconfirmed messages is small, so that most are not sent yet when the first has come.
        @Test func manySentByOneCallOutliveAKill() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            var options = ClientOptions()
            options.reconnect = .exponential(first: .milliseconds(20), longest: .milliseconds(100))
            options.unconfirmedMessages = 50
            let client = try await Client.connect(to: ["127.0.0.1:\(broker.port)"], options)
            let subscription = try await client.subscribe(to: "/queue/q", prefetch: 1)
            let texts = (0..<3_000).map { "\($0)" }
            async let sending: Void = client.send(texts.map { Outgoing($0, to: "/queue/q") }, timeout: .seconds(60))
            #expect(try await subscription.next()?.text == "0")
            let port = broker.port
            broker.kill()
            let next = try BrokerProcess(home, listen: ["127.0.0.1:\(port)"])
            try await sending
            try await client.close()
            #expect(try next.drain("q") == texts)
        }
    }
}
