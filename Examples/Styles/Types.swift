import BrokerClient
import BrokerClientJSON

/// In one program the form of today,
struct OrderPlaced: JSONBody {
    static let messageType = "example.order-placed"
    static let schemaVersion = SchemaVersion(2)
    var number: Int
    var articles: [String]
}

/// in another still that of last year.
struct OrderPlacedV1: JSONBody {
    static let messageType = "example.order-placed"
    static let schemaVersion = SchemaVersion(1)
    var number: Int
    var article: String
}

/// Sends values, and hands each to who understands it. Prints
///
///     order 7 of bicycle, bell
///     order 6 of bicycle
///     nobody understands it: unknown message-type example.weather
@Sendable func types(_ client: Client) async throws {
    let queue = "/queue/example.orders"
    try await client.send(OrderPlaced(number: 7, articles: ["bicycle", "bell"]), to: queue)
    try await client.send(OrderPlacedV1(number: 6, article: "bicycle"), to: queue)
    try await client.send(
        "{}", to: queue, headers: ["message-type": "example.weather", "schema-version": "1.0.0"])

    let router = MessageRouter()
        .on(OrderPlaced.self) { order, _ in
            print("order \(order.number) of \(order.articles.joined(separator: ", "))")
        }
        .on(OrderPlacedV1.self) { order, _ in print("order \(order.number) of \(order.article)") }
        .otherwise { _, error in print("nobody understands it: \(error)") }

    let orders = try await client.subscribe(to: queue)
    for _ in 1...3 {
        guard let message = try await orders.next() else { break }
        try await router.route(message)
        try await message.acknowledge()
    }
    try await orders.cancel()
}
