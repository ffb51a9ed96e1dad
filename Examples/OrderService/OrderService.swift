import BrokerClient
import ShopEvents

/// Takes orders: asks what the article costs, and tells everybody that it was ordered.
struct OrderService: Sendable {
    let client: Client

    func start() async throws(ClientError) -> Consumer {
        try await client.consume("/queue/orders", concurrency: 8) { order in try await place(order) }
    }

    /// May run again for the same order, so everything in it can be done twice.
    private func place(_ order: Message) async throws {
        guard let number = order.headers["order-number"].flatMap({ Int($0) }) else {
            throw Unprocessable("an order has an order-number")
        }
        let placed = OrderPlaced(number: number, article: order.text, price: try await price(of: order.text))
        try await client.send(placed, to: OrderPlaced.topic, headers: ["dedup-id": "order-\(number)"])
        say("order \(number): \(placed.article) for \(placed.price)")
    }

    private func price(of article: String) async throws -> Int {
        do {
            let reply = try await client.request(
                article, to: "/queue/prices", timeout: .seconds(20), retry: RetryPolicy())
            guard let price = Int(reply.text) else { throw Unprocessable("\(reply.text) is no price") }
            return price
        } catch ClientError.requestFailed(let failure) where failure.code == "unknown-article" {
            throw Unprocessable(failure.detail)
        }
    }
}
