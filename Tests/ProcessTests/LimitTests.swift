import Foundation
import Testing

extension ProcessTests {
    /// Senders that wait, rates, and limits of users, on a live broker.
    @Suite struct LimitTests {
        private func blocking(_ home: Home, seconds: Int) throws -> String {
            try home.file(
                "broker.json5",
                "{ policies: { small: { pattern: 'q', settings: { length_most: 3, overflow: 'block', "
                    + "block_seconds: \(seconds) } } } }")
        }

        private func isSilent(_ client: RawClient, for duration: Duration) throws -> Bool {
            if case .nothing = try client.hear(within: duration) { return true }
            return false
        }

        @Test func aSenderToAFullQueueIsNotReadUntilThereIsRoom() throws {
            let home = try Home()
            let broker = try BrokerProcess(home, ["--config", blocking(home, seconds: 60)])
            let sender = try RawClient(port: broker.port)
            // It promises heart-beats, and sends none: a sender that is held may be silent, and hears the broker.
            try sender.login(heartBeat: "2000,2000")
            for number in 0..<4 { try sender.publish("\(number)", to: "q") }
            try sender.say("SEND", [("destination", "/queue/q"), ("receipt", "late")], "4")
            #expect(try isSilent(sender, for: .seconds(6)), "it is held")
            let other = try broker.connect()
            try other.publish("elsewhere", to: "p")
            let consumer = try broker.connect()
            try consumer.subscribe("q", prefetch: 10)
            for number in 0..<4 {
                let message = try consumer.message()
                #expect(message.text == "\(number)")
                try consumer.acknowledge(message)
            }
            #expect(try sender.expect("RECEIPT")["receipt-id"] == "late")
            #expect(try consumer.message().text == "4")
            #expect(try broker.stop() == 0)
        }

        @Test func aSenderThatWaitedInVainIsRefused() throws {
            let home = try Home()
            let broker = try BrokerProcess(home, ["--config", blocking(home, seconds: 5)])
            let sender = try broker.connect()
            for number in 0..<4 { try sender.publish("\(number)", to: "q") }
            try sender.say("SEND", [("destination", "/queue/q"), ("receipt", "r")], "4")
            #expect(try isSilent(sender, for: .milliseconds(500)))
            let error = try sender.expect("ERROR")
            #expect(error["message"] == "queue full" && error["receipt-id"] == "r", "\(error)")
            #expect(try broker.drain("q") == ["0", "1", "2", "3"])
        }

        @Test func ratesSlowDownAndRefuseNothing() throws {
            let home = try Home()
            let broker = try BrokerProcess(home, ["--set", "limits.sends_per_second_per_address=50"])
            let began = ContinuousClock.now
            let clients = [try broker.connect(), try broker.connect()]
            for number in 0..<75 { for client in clients { try client.publish("\(number)", to: "q") } }
            // 150 together, of which 50 go at once.
            let took = ContinuousClock.now - began
            #expect(took > .milliseconds(1900) && took < .seconds(20), "\(took)")
            #expect(try broker.drain("q").count == 150)
        }

        @Test func limitsOfConnectionsSayWhichAndHowMany() throws {
            let home = try Home()
            let broker = try BrokerProcess(
                home, ["--set", "limits.connections=3", "--set", "limits.connections_per_user=1"],
                listen: ["127.0.0.1:0", "127.0.0.1:0"])
            func login(_ client: RawClient) throws -> RawFrame {
                try client.say("CONNECT", [("accept-version", "1.2"), ("host", "x"), ("login", "ada")])
                return try client.read()
            }
            let first = try RawClient(port: broker.port)
            #expect(try login(first).command == "CONNECTED")
            let second = try RawClient(port: broker.port)
            let refused = try login(second)
            #expect(refused["message"] == "too many connections")
            #expect(refused.text == "a user may have 1 connections at the same time (limits.connections_per_user)\n")
            let port = try #require(broker.addresses.last?.split(separator: ":").last.flatMap { UInt16($0) })
            #expect(port != broker.port)
            // Without a login nobody is counted; the second one is closed, or about to be.
            let others = try (0..<3).map { _ in try RawClient(port: port) }
            let words = try others.map { try $0.hear(within: .milliseconds(500)) }
            let told = words.compactMap { if case .frame(let frame) = $0 { frame } else { nil } }
            #expect(!told.isEmpty)
            for frame in told {
                #expect(frame["message"] == "too many connections")
                #expect(
                    frame.text == "the broker takes 3 connections at the same time (limits.connections)\n", "\(frame)")
            }
            try broker.waitForLog("a client was turned away")
        }

        @Test func subscriptionsOfAUserAreCountedOverConnections() throws {
            let home = try Home()
            let broker = try BrokerProcess(home, ["--set", "limits.subscriptions_per_user=2"])
            func connect() throws -> RawClient {
                let client = try RawClient(port: broker.port)
                try client.say("CONNECT", [("accept-version", "1.2"), ("host", "x"), ("login", "ada")])
                _ = try client.expect("CONNECTED")
                return client
            }
            let (first, second) = (try connect(), try connect())
            try first.ask("SUBSCRIBE", [("id", "1"), ("destination", "/queue/a")])
            try second.ask("SUBSCRIBE", [("id", "1"), ("destination", "/queue/b")])
            try second.ask("UNSUBSCRIBE", [("id", "1")])
            try second.ask("SUBSCRIBE", [("id", "2"), ("destination", "/queue/c")])
            try first.say("SUBSCRIBE", [("id", "3"), ("destination", "/queue/d")])
            let error = try first.expect("ERROR")
            #expect(
                error["message"] == "too many subscriptions" && error.text.contains("limits.subscriptions_per_user"))
        }
    }
}
