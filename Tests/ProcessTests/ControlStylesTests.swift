import BrokerClient
import Foundation
import Glibc
import Testing

extension ProcessTests {
    /// brokerctl and programs made with the library, with one another.
    @Suite struct ControlStylesTests {
        /// On a thread of its own, since it blocks, and the library's tasks need theirs.
        private static func run(
            _ broker: BrokerProcess, _ words: String...
        ) async throws -> (code: Int32, output: String, errors: String) {
            let command = try Control.command(broker, words)
            return try await withCheckedThrowingContinuation { continuation in
                Thread.detachNewThread { continuation.resume(with: Result { try Child.run(command) }) }
            }
        }

        private static func connect(_ broker: BrokerProcess) async throws -> Client {
            try await Client.connect(to: ["127.0.0.1:\(broker.port)"])
        }

        @Test func brokerctlAsksAServiceOfTheLibrary() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try await Self.connect(broker)
            let service = try await client.serve("/queue/prices", name: "eu") { request in
                guard request.text == "bicycle" else {
                    throw RequestFailure(code: "unknown", detail: "no \(request.text)")
                }
                return Answer("890")
            }
            let good = try await Self.run(broker, "request", "/queue/prices", "bicycle", "--body-only")
            #expect(good.code == 0 && good.output == "890\n", "\(good.errors)")
            let bad = try await Self.run(broker, "request", "/queue/prices", "unicycle")
            #expect(bad.code == 1 && bad.errors == "brokerctl: The service failed: unknown: no unicycle\n")
            #expect(bad.output.contains("replied-by: eu"))
            try await service.stop()
            let offers = try await client.serve("/topic/offers", name: "eu") { _ in Answer("9") }
            let gathered = try await Self.run(
                broker, "gather", "/topic/offers", "bicycle", "--from", "eu", "--body-only")
            #expect(gathered.code == 0 && gathered.output == "9\n", "\(gathered.errors)")
            try await offers.stop()
            try await client.close()
        }

        @Test func theLibraryAsksBrokerctl() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try await Self.connect(broker)
            let service = try Child(
                Control.command(
                    broker,
                    [
                        "serve", "/queue/upper", "--concurrency", "2", "--name", "ctl", "--command",
                        "read -r word; [ $word != bad ] || exit 1; echo $word | tr a-z A-Z",
                    ]))
            let reply = try await client.request("hello\n", to: "/queue/upper", timeout: .seconds(60))
            #expect(reply.text == "HELLO\n" && reply.headers["replied-by"] == "ctl")
            do {
                _ = try await client.request("bad\n", to: "/queue/upper", timeout: .seconds(60))
                Issue.record("a command that fails is no answer")
            } catch {
                guard case .requestFailed(let failure) = error else { throw error }
                #expect(failure.code == RequestFailure.internalError && failure.detail == "the command ended with 1")
            }
            // To a queue, as one transaction.
            let replies = try await client.subscribe(to: "/queue/replies")
            try await client.send(
                "later\n", to: "/queue/upper", headers: ["reply-to": "/queue/replies", "correlation-id": "7"])
            let later = try #require(try await replies.next())
            #expect(later.text == "LATER\n" && later.headers["correlation-id"] == "7")
            try await later.acknowledge(confirmation: .receipt)
            try await client.close()
            service.signal(SIGTERM)
            #expect(try service.exitCode() == 0)
            #expect(String(decoding: service.outputText, as: UTF8.self).hasPrefix("3 requests answered, 1 of them"))
            #expect(try broker.drain("upper") == [])
        }

        /// What a command refuses comes again, and is a dead letter in the end.
        @Test func aCommandWorksOnAQueue() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            _ = try Control.say(
                broker, "queue", "create", "orders", "--set", "delivery_limit=2", "--set", "redelivery_delay_ms=0")
            for word in ["good", "bad"] { _ = try Control.say(broker, "publish", "orders", word) }
            let run = try await Self.run(
                broker, "consume", "orders", "--count", "3", "--command", "grep good", "--timeout", "30")
            #expect(run.code == 1 && run.output == "good\n", "\(run.errors)")
            #expect(try broker.drain("orders.dlq") == ["bad"] && broker.drain("orders") == [])
        }

        /// A request that cannot be answered ends neither the service nor the next one.
        @Test func addressesThatTheBrokerDoesNotHaveAreNotAnswered() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try await Self.connect(broker)
            let nowhere = ["/queue/" + String(repeating: "x", count: 256), "/exchange/a", "/temp-topic/a", "/queue/"]
            for address in nowhere { try await client.send("x", to: "/queue/echo", headers: ["reply-to": address]) }
            let replies = try await client.subscribe(to: "/queue/replies")
            try await client.send("y", to: "/queue/echo", headers: ["reply-to": "/queue/replies"])
            let run = try await Self.run(broker, "serve", "/queue/echo", "--echo", "--count", "5")
            #expect(run.code == 0, "\(run.errors)")
            #expect(run.output == "1 request answered, 0 of them with an error; 4 had nowhere to be answered to.\n")
            #expect(try await replies.next()?.text == "y")
            try await client.close()
        }

        @Test func whoIsNamedAndDoesNotAnswerIsMissed() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try await Self.connect(broker)
            let offers = try await client.serve("/topic/offers", name: "eu") { _ in Answer("9") }
            let run = try await Self.run(
                broker, "gather", "/topic/offers", "x", "--from", "eu", "--from", "us", "--at-most", "1")
            #expect(run.code == 5 && run.errors == "brokerctl: No answer from us among the first 1\n", "\(run.errors)")
            try await offers.stop()
            try await client.close()
        }

        /// What it worked on goes to others, so no command may go on with it.
        @Test func noCommandOutlivesTheConnection() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            _ = try Control.say(broker, "publish", "orders", "x")
            let consumer = try Child(
                Control.command(
                    broker,
                    ["consume", "orders", "--follow", "--concurrency", "2", "--command", "echo $$ >&2; exec sleep 600"])
            )
            _ = try consumer.readErrors(within: .seconds(30)) { $0.last == UInt8(ascii: "\n") }
            let command = try #require(pid_t(String(decoding: consumer.errorText.dropLast(), as: UTF8.self)))
            #expect(kill(command, 0) == 0)
            broker.kill()
            #expect(try consumer.exitCode() != 0)
            #expect(kill(command, 0) == -1 && errno == ESRCH)
        }

        /// Who started brokerctl may have the ends of children ignored.
        @Test func aCommandWhoseEndNobodyIsToldHasNotSucceeded() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            _ = try Control.say(broker, "queue", "create", "orders", "--set", "redelivery_delay_ms=3600000")
            _ = try Control.say(broker, "publish", "orders", "x")
            let command = try Control.command(broker, ["consume", "orders", "--command", "false"])
            let run = try Child.run(["/bin/sh", "-c", "trap '' CHLD; exec \"$@\"", "sh"] + command)
            #expect(run.code == 1 && run.errors.contains("the command ended with 1"), "\(run.errors)")
        }

        @Test func whatIsPublishedWhileADurableSubscriberIsAwayWaits() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            _ = try Control.say(
                broker, "subscribe", "news", "--durable-name", "billing", "--timeout", "0", code: 5)
            _ = try Control.say(broker, "publish", "/topic/news", "while away")
            let heard = try Control.say(broker, "subscribe", "news", "--durable-name", "billing", "--body-only")
            #expect(heard == "while away\n")
        }
    }
}
