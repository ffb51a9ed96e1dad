import BrokerClient
import Foundation
import Synchronization
import Testing

extension ProcessTests {
    /// Goal: over a bad network every call ends, no reply reaches the wrong asker, what was confirmed is there once, and
    /// when the network is good again everything works again. Method: a storm between the real broker and
    /// clients that ask, answer and send, from a printed seed. BROKERD_STORMS says how many seeds.
    @Suite struct BadNetworkTests {
        private static let storms = ProcessInfo.processInfo.environment["BROKERD_STORMS"].flatMap { Int($0) } ?? 4

        /// What the asker of a request may see in a storm, beside its reply.
        private static func isOfTheStorm(_ error: ClientError) -> Bool {
            error == .timedOut || error == .outcomeUnknown
        }

        private static func connect(_ network: BadNetwork) async throws -> Client {
            var options = ClientOptions()
            options.reconnect = .exponential(first: .milliseconds(5), longest: .milliseconds(50))
            options.connectTimeout = .seconds(2)
            options.timeout = .seconds(60)
            return try await Client.connect(to: ["127.0.0.1:\(network.port)"], options)
        }

        @Test(arguments: 0..<storms) func callsEndAndAnswersAreRight(seed: Int) async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let network = try BadNetwork(to: broker.port, seed: UInt64(seed))
            let asker = try await Self.connect(network)
            let server = try await Self.connect(network)
            let service = try await server.serve("/queue/echo", concurrency: 4) { Answer("re: \($0.text)") }
            network.setStormy(true)
            async let sending: Void = Self.sendAll(asker)
            let answered = try await Self.askAll(asker)
            network.setStormy(false)
            try await sending
            let last = try await asker.request(
                "last", to: "/queue/echo", timeout: .seconds(60), retry: RetryPolicy(attempts: 20))
            #expect(last.text == "re: last")
            #expect(asker.requestCounters.inFlight == 0 && asker.requestCounters.unknownReplies == 0)
            #expect(service.counters.handled > UInt64(answered))
            try await service.stop()
            for client in [server, asker] { try await Self.close(client) }
            #expect(try broker.drain("kept").sorted() == (0..<40).map { "\($0)" }.sorted())
        }

        /// What the storm swallowed is cut a little later, which may be just now; the client is closed all the same.
        private static func close(_ client: Client) async throws {
            do { try await client.close() } catch { guard case .connectionLost = error else { throw error } }
        }

        /// Each message is there once, whatever it took.
        private static func sendAll(_ client: Client) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<40 { group.addTask { try await client.send("\(number)", to: "/queue/kept") } }
                try await group.waitForAll()
            }
        }

        /// How many were answered.
        private static func askAll(_ client: Client) async throws -> Int {
            try await withThrowingTaskGroup(of: Int.self) { group in
                for asker in 0..<6 {
                    group.addTask {
                        var answered = 0
                        for number in 0..<20 where try await ask("\(asker).\(number)", client) { answered += 1 }
                        return answered
                    }
                }
                return try await group.reduce(0, +)
            }
        }

        private static func ask(_ text: String, _ client: Client) async throws -> Bool {
            do {
                let reply = try await client.request(text, to: "/queue/echo", timeout: .milliseconds(500))
                #expect(reply.text == "re: \(text)", "it is the answer to another question")
                return true
            } catch {
                guard isOfTheStorm(error) else { throw error }
                return false
            }
        }
    }
}
