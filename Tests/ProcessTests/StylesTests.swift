import BrokerClient
import Glibc
import Synchronization
import Testing

extension ProcessTests {
    /// Ways of talking, between the client library and the broker, the real one each.
    @Suite struct StylesTests {
        private static func connect(_ broker: BrokerProcess) async throws -> Client {
            var options = ClientOptions()
            options.reconnect = .exponential(first: .milliseconds(20), longest: .milliseconds(100))
            options.timeout = .seconds(20)
            return try await Client.connect(to: ["127.0.0.1:\(broker.port)"], options)
        }

        @Test func manyRequestsAtOnceFindTheirReplies() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let askers = [try await Self.connect(broker), try await Self.connect(broker)]
            let servers = [try await Self.connect(broker), try await Self.connect(broker)]
            var services: [Consumer] = []
            for server in servers {
                services.append(
                    try await server.serve("/queue/double", concurrency: 4) { request in
                        guard let number = Int(request.text) else { throw RequestFailure(code: "no-number") }
                        return Answer("\(2 * number)")
                    })
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    let asker = askers[number % 2]
                    group.addTask {
                        let reply = try await asker.request("\(number)", to: "/queue/double")
                        #expect(reply.text == "\(2 * number)")
                    }
                }
                try await group.waitForAll()
            }
            await #expect(throws: ClientError.self) { try await askers[0].request("x", to: "/queue/double") }
            #expect(services.reduce(0) { $0 + $1.counters.handled } == 200)
            #expect(services.reduce(0) { $0 + $1.counters.failed } == 1)
            for asker in askers { #expect(asker.requestCounters == RequestCounters()) }
            for service in services { try await service.stop() }
            for client in askers + servers { try await client.close() }
            #expect(try broker.drain("double") == [])
        }

        @Test func theTimeThatIsLeftTravelsWithTheRequest() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try await Self.connect(broker)
            let asker = try await Self.connect(broker)
            let requests = try await client.subscribe(to: "/queue/q")
            let asking = Task { try await asker.request("x", to: "/queue/q", timeout: .seconds(3_600)) }
            let request = try #require(try await requests.next())
            let life = try #require(request.headers["ttl"].flatMap { Int($0) })
            #expect(life > 3_500_000 && life <= 3_600_000)
            #expect(request.headers["expires"].flatMap { Int($0) } != nil)
            #expect(request.replyTo?.hasPrefix("/reply-queue/") == true)
            asking.cancel()
            await #expect(throws: ClientError.cancelled) { try await asking.value }
            // Late, and for nobody.
            try await client.send(
                "late", to: try #require(request.replyTo),
                headers: ["correlation-id": try #require(request.headers["correlation-id"])])
            let next = Task { try await asker.request("y", to: "/queue/q") }
            let second = try #require(try await requests.next())
            try await client.send(
                "in time", to: try #require(second.replyTo),
                headers: ["correlation-id": try #require(second.headers["correlation-id"])])
            #expect(try await next.value.text == "in time")
            #expect(asker.requestCounters.lateReplies == 1)
            try await client.close()
            try await asker.close()
        }

        @Test func gatheringHearsAllWhoListenAndNamesWhoDoesNot() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let asker = try await Self.connect(broker)
            let server = try await Self.connect(broker)
            var services: [Consumer] = []
            for name in ["eu", "us", "asia"] {
                services.append(
                    try await server.serve("/topic/offers", name: name) { _ in
                        if name == "asia" { throw RequestFailure(code: "closed") }
                        return Answer("offer of \(name)")
                    })
            }
            let all = try await asker.gather("bicycle", to: "/topic/offers", from: ["eu", "us", "asia"])
            #expect(Set(all.replies.map(\.text)) == ["offer of eu", "offer of us"])
            #expect(all.failures.map(\.code) == ["closed"] && all.missing.isEmpty && all.end == .complete)
            let some = try await asker.gather(
                "bicycle", to: "/topic/offers", from: ["moon"], timeout: .milliseconds(200))
            #expect(some.missing == ["moon"] && some.end == .timedOut)
            for service in services { try await service.stop() }
            try await asker.close()
            try await server.close()
        }

        @Test func aReplyMayComeToAnotherProcessAfterARestart() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let port = broker.port
            let asker = try await Self.connect(broker)
            try await asker.send(
                "bicycle", to: "/queue/quotes", headers: ["reply-to": "/queue/quoted", "correlation-id": "order 7"])
            try await asker.close()
            broker.kill()
            let next = try BrokerProcess(home, listen: ["127.0.0.1:\(port)"])
            let server = try await Self.connect(next)
            let service = try await server.serve("/queue/quotes") { Answer("\($0.text): 890") }
            let reader = try await Self.connect(next)
            let replies = try await reader.subscribe(to: "/queue/quoted")
            let reply = try #require(try await replies.next())
            #expect(reply.text == "bicycle: 890" && reply.headers["correlation-id"] == "order 7")
            try await reply.acknowledge(confirmation: .receipt)
            try await service.stop()
            for client in [server, reader] { try await client.close() }
            #expect(try next.drain("quotes") == [] && next.drain("quoted") == [])
        }

        @Test func aDurableSubscriptionMissesNothing() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try await Self.connect(broker)
            let wish: Headers = ["durable": "true", "x-queue-name": "billing"]
            let (firsts, first) = AsyncStream.makeStream(of: String.self)
            let billing = try await client.consume("/topic/orders", headers: wish) { first.yield($0.text) }
            let listener = try await client.subscribe(to: "/topic/orders")
            try await client.send("one", to: "/topic/orders")
            for await text in firsts {
                #expect(text == "one")
                break
            }
            #expect(try await listener.next()?.text == "one")
            try await billing.stop()
            try await client.send("while away", to: "/topic/orders")
            let (seconds, second) = AsyncStream.makeStream(of: String.self)
            let again = try await client.consume("/topic/orders", headers: wish) { second.yield($0.text) }
            for await text in seconds {
                #expect(text == "while away")
                break
            }
            try await again.stop()
            try await client.close()
        }

        @Test func groupsKeepTheirOrderOverTwoConsumersAndFailures() async throws {
            struct Trouble: Error {}
            let home = try Home()
            let broker = try BrokerProcess(home)
            let clients = [try await Self.connect(broker), try await Self.connect(broker)]
            let done = Mutex<[(group: String, number: Int)]>([])
            let failed = Mutex<Set<String>>([])
            let (finish, finished) = AsyncStream.makeStream(of: Void.self)
            var consumers: [Consumer] = []
            for client in clients {
                consumers.append(
                    try await client.consume(
                        "/queue/q", concurrency: 4, orderedBy: .messageGroup,
                        retry: RetryPolicy(first: .milliseconds(1), longest: .milliseconds(1))
                    ) { message in
                        let number = Int(message.text) ?? -1
                        if number % 7 == 0, failed.withLock({ $0.insert(message.text).inserted }) { throw Trouble() }
                        let count = done.withLock { done in
                            done.append((message.headers["message-group"] ?? "", number))
                            return done.count
                        }
                        if count == 120 { finished.yield() }
                    })
            }
            for number in 0..<120 {
                try await clients[0].send(
                    "\(number)", to: "/queue/q", headers: ["message-group": "g\(number % 6)"], confirmation: .none)
            }
            for await _ in finish { break }
            for consumer in consumers { try await consumer.stop() }
            for (group, items) in Dictionary(grouping: done.withLock { $0 }, by: \.group) {
                #expect(items.map(\.number) == items.map(\.number).sorted(), "\(group)")
                #expect(items.count == 20)
            }
            for client in clients { try await client.close() }
            #expect(try broker.drain("q") == [])
        }

        @Test func aPipeLosesAndDoublesNothingWhenTheBrokerIsKilled() async throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let port = broker.port
            let client = try await Self.connect(broker)
            for number in 0..<60 { try await client.send("\(number)", to: "/queue/in", confirmation: .none) }
            try await client.send("last", to: "/queue/in")
            let (halves, half) = AsyncStream.makeStream(of: Void.self)
            let stage = try await client.pipe("/queue/in", concurrency: 4) { message in
                if message.text == "30" { half.yield() }
                return [Outgoing("out of \(message.text)", to: "/queue/out")]
            }
            for await _ in halves { break }
            broker.kill()
            let next = try BrokerProcess(home, listen: ["127.0.0.1:\(port)"])
            let results = try await client.subscribe(to: "/queue/out", prefetch: 1_000)
            var texts: [String] = []
            while texts.count < 61, let result = try await results.next() {
                // What is delivered again was not acknowledged here.
                texts.append(result.text)
                try await result.acknowledge(confirmation: .receipt)
            }
            try await stage.stop()
            try await client.close()
            #expect(Set(texts).count == 61 && texts.count == 61)
            #expect(try next.drain("in") == [])
            #expect(try next.drain("out") == [])
        }

        @Test func theExamplesTalkAlsoAfterTheBrokerWasKilled() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let address = "127.0.0.1:\(broker.port)"
            let service = try Child([Programs.path("PriceService"), address])
            let question = [try Programs.path("PriceAsker"), address, "bicycle", "unicycle"]
            let answer = "bicycle: 890\nunicycle: nobody sells a unicycle here\n"
            let first = try Child.run(question, within: .seconds(60))
            #expect(first.output == answer && first.code == 0, "\(first.errors)")
            broker.kill()
            let next = try BrokerProcess(home, listen: [address])
            let second = try Child.run(question, within: .seconds(60))
            #expect(second.output == answer && second.code == 0, "\(second.errors)\n\(next.log)")
            #expect(service.isRunning)
        }
    }
}
