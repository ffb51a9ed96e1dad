import BrokerClient
import BrokerClientJSON
import BrokerTesting
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct RoutingTests {
    let broker = TestBroker()

    /// What handlers did, in order.
    private final class Diary: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    private struct Refused: Error {}

    @Test func eachMajorHasItsHandler() async throws {
        let client = try await broker.connect()
        let diary = Diary()
        let orders = try await client.subscribe(to: "/queue/orders")
        let router = MessageRouter()
            .on(Shop.OrderPlaced.self) { order, _ in diary.add("two: \(order.number)") }
            .on(Shop.OrderPlacedOne.self) { order, _ in diary.add("one: \(order.id)") }
            .on(Shop.Position.self) { position, _ in diary.add("position: \(position.x)") }
        try await client.send(Shop.OrderPlaced(number: 7), to: "/queue/orders")
        try await client.send(Shop.OrderPlacedLater(number: 8), to: "/queue/orders")
        try await client.send(Shop.OrderPlacedOne(id: "x"), to: "/queue/orders")
        try await client.send(Shop.Position(x: 3, y: 4), to: "/queue/orders")
        let routing = Task { try await orders.route(to: router) }
        try await broker.until("/queue/orders") { $0.messages == 0 }
        #expect(diary.all == ["two: 7", "two: 8", "one: x", "position: 3"])
        try await client.close()
        try await routing.value
    }

    @Test func anUnknownMajorIsADeadLetterWithTheReason() async throws {
        let client = try await broker.connect()
        let diary = Diary()
        let orders = try await client.subscribe(to: "/queue/orders")
        let router = MessageRouter().on(Shop.OrderPlaced.self) { _, _ in diary.add("handled") }
        let routing = Task {
            try await orders.route(to: router, failed: { diary.add("failed: \($1)") })
        }
        try await client.send(
            Shop.OrderPlacedNine(), to: "/queue/orders",
            headers: ["customer": "7", "ttl": "60000", "dedup-id": "order-7"])
        try await broker.until("/queue/orders.dlq") { $0.messages == 1 }
        try await broker.until("/queue/orders") { $0.messages == 0 }
        let dead = try await client.subscribe(to: "/queue/orders.dlq")
        let letter = try #require(try await dead.next())
        let reason = "shop.order-placed has version 9.0.0; understood: 2.x"
        #expect(letter.headers["rejected-because"] == reason)
        #expect(letter.headers["rejected-destination"] == "/queue/orders")
        #expect(letter.headers["rejected-message-id"]?.isEmpty == false)
        #expect(letter.headers["customer"] == "7")
        #expect(letter.headers["expires"] == nil && letter.headers["ttl"] == nil)
        #expect(letter.text == #"{"everything":"different"}"#)
        #expect(letter.schemaVersion == SchemaVersion(9))
        #expect(diary.all == ["failed: \(reason)"])
        let key = MessageKey(consumer: "billing", destination: "/queue/orders", id: "sender order-7")
        #expect(MessageKey(of: letter, for: "billing") == key)
        try await client.close()
        try await routing.value
    }

    @Test func orItGoesToAHandler() async throws {
        let client = try await broker.connect()
        let diary = Diary()
        let orders = try await client.subscribe(to: "/queue/orders")
        let router = MessageRouter()
            .on(Shop.OrderPlaced.self) { _, _ in diary.add("handled") }
            .otherwise { message, error in diary.add("\(message.messageType ?? "none"): \(error)") }
        let routing = Task { try await orders.route(to: router) }
        try await client.send(Shop.OrderPlacedNine(), to: "/queue/orders")
        try await client.send("plain", to: "/queue/orders")
        try await broker.until("/queue/orders") { $0.received == 2 && $0.messages == 0 }
        #expect(
            diary.all == [
                "shop.order-placed: shop.order-placed has version 9.0.0; understood: 2.x",
                "none: the header message-type is missing",
            ])
        #expect(await broker.queue("/queue/orders.dlq").received == 0)
        try await client.close()
        try await routing.value
    }

    @Test func aHandlerThatFailsGetsTheMessageAgain() async throws {
        let client = try await broker.connect()
        let diary = Diary()
        let orders = try await client.subscribe(to: "/queue/orders")
        let router = MessageRouter().on(Shop.OrderPlaced.self) { _, message in
            diary.add(message.redelivered ? "again" : "first")
            if !message.redelivered { throw Refused() }
        }
        let routing = Task { try await orders.route(to: router) }
        try await client.send(Shop.OrderPlaced(number: 7), to: "/queue/orders")
        try await broker.until("/queue/orders") { $0.waiting == 1 }
        await broker.advance(by: .seconds(1))
        try await broker.until("/queue/orders") { $0.messages == 0 }
        #expect(diary.all == ["first", "again"])
        try await client.close()
        try await routing.value
    }

    /// The connection breaks while the handler works: the message comes again, and routing goes on.
    @Test func aLostConnectionDoesNotEndIt() async throws {
        let client = try await broker.connect()
        let broker = broker
        let diary = Diary()
        let orders = try await client.subscribe(to: "/queue/orders")
        let router = MessageRouter().on(Shop.OrderPlaced.self) { _, message in
            diary.add(message.redelivered ? "again" : "first")
            if !message.redelivered { await broker.cutConnections() }
        }
        let routing = Task { try await orders.route(to: router) }
        try await client.send(Shop.OrderPlaced(number: 7), to: "/queue/orders")
        try await broker.until("/queue/orders") { $0.ready == 1 && $0.consumers == 0 }
        await broker.advance(by: .seconds(1))
        try await broker.until("/queue/orders") { $0.messages == 0 }
        #expect(diary.all == ["first", "again"])
        try await client.close()
        try await routing.value
    }

    @Test func theEndOfTheTaskIsTheEndOfRouting() async throws {
        let client = try await broker.connect()
        let orders = try await client.subscribe(to: "/queue/orders")
        let routing = Task { try await orders.route(to: MessageRouter()) }
        routing.cancel()
        await #expect(throws: ClientError.cancelled) { try await routing.value }
        try await client.close()
    }

    @Test func withoutAPlaceForDeadLettersItIsRejected() async throws {
        let client = try await broker.connect()
        let letters = try await client.subscribe(to: "/queue/orders.dlq")
        try await client.send("x", to: "/queue/orders.dlq")
        let letter = try #require(try await letters.next())
        try await letters.deadLetter(letter, because: "no")
        // Nothing dies in a dead-letter queue.
        try await broker.until("/queue/orders.dlq") { $0.waiting == 1 }
        try await client.close()
    }

    @Test func reasonsMaySayAnything() async throws {
        let client = try await broker.connect()
        let orders = try await client.subscribe(to: "/queue/orders")
        try await client.send("x", to: "/queue/orders")
        let order = try #require(try await orders.next())
        try await orders.deadLetter(order, because: "a\0b\n:" + String(repeating: "é", count: 1000), to: "/queue/grave")
        let grave = try await client.subscribe(to: "/queue/grave")
        let letter = try #require(try await grave.next())
        #expect(letter.headers["rejected-because"] == "ab\n:" + String(repeating: "é", count: 496))
        try await client.close()
    }

    // MARK: Traces

    static let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @Test func aTraceGoesOn() async throws {
        let client = try await broker.connect()
        let orders = try await client.subscribe(to: "/queue/orders")
        let router = MessageRouter().on(Shop.OrderPlaced.self) { order, _ in
            try await client.send(Shop.Position(x: 1, y: 1), to: "/queue/next")
            try await client.send(Shop.Position(x: 1, y: 1), to: "/queue/next", headers: ["traceparent": "mine"])
        }
        let routing = Task { try await orders.route(to: router) }
        try await client.send(
            Shop.OrderPlaced(number: 7), to: "/queue/orders",
            headers: ["traceparent": Self.trace, "tracestate": "vendor=1"])
        let next = try await client.subscribe(to: "/queue/next")
        let first = try #require(try await next.next())
        #expect(first.headers["traceparent"] == Self.trace)
        #expect(first.headers["tracestate"] == "vendor=1")
        let second = try #require(try await next.next())
        #expect(second.headers["traceparent"] == "mine")
        #expect(second.headers["tracestate"] == nil)
        #expect(TraceContext.current == nil)
        try await client.close()
        try await routing.value
    }

    @Test(arguments: [
        trace, "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
    ]) func tracesAreRead(text: String) { #expect(TraceContext(traceparent: text)?.traceparent == text) }

    @Test(arguments: [
        "", "mine", trace + "-more", String(trace.dropLast()), trace.uppercased(),
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
    ]) func whatIsNoTraceIsNotRead(text: String) { #expect(TraceContext(traceparent: text) == nil) }
}
