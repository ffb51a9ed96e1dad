import BrokerClient
import BrokerTesting
import ShopEvents
import Testing

@testable import OrderService

/// How a service is tested without a daemon: with the broker of `BrokerTesting`, whose time the test moves.
@Suite(.timeLimit(.minutes(2))) struct OrderServiceTests {
    let broker = TestBroker()

    @Test func anOrderIsPublishedWithItsPrice() async throws {
        let client = try await broker.connect()
        let prices = try await client.serve("/queue/prices") { _ in Answer("890") }
        let events = try await client.subscribe(to: OrderPlaced.topic)
        let service = try await OrderService(client: client).start()

        try await client.send("bicycle", to: "/queue/orders", headers: ["order-number": "7"])

        let event = try #require(try await events.next()).decode(OrderPlaced.self)
        #expect(event.number == 7 && event.article == "bicycle" && event.price == 890)
        try await service.stop()
        try await prices.stop()
    }

    @Test func anOrderForNothingThatIsSoldIsADeadLetter() async throws {
        let client = try await broker.connect()
        let prices = try await client.serve("/queue/prices") { _ in throw RequestFailure(code: "unknown-article") }
        let service = try await OrderService(client: client).start()

        try await client.send("unicycle", to: "/queue/orders", headers: ["order-number": "8"])

        try await broker.until("/queue/orders.dlq") { $0.messages == 1 }
        try await service.stop()
        try await prices.stop()
    }

    /// Nobody answers for a while: the order waits, and is placed when somebody does.
    @Test func anOrderWaitsForThePriceService() async throws {
        let client = try await broker.connect()
        let events = try await client.subscribe(to: OrderPlaced.topic)
        let service = try await OrderService(client: client).start()
        try await client.send("bell", to: "/queue/orders", headers: ["order-number": "9"])
        try await broker.until("/queue/prices") { $0.messages == 1 }

        await broker.advance(by: .seconds(3))
        let prices = try await client.serve("/queue/prices") { _ in Answer("12") }

        #expect(try #require(try await events.next()).decode(OrderPlaced.self).number == 9)
        try await service.stop()
        try await prices.stop()
    }
}
