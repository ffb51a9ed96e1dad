import BrokerClient

/// Asks everybody, takes what comes in time, and says what did not. Prints
///
///     eu: 890
///     us: 870
///     failed: out-of-stock
///     no answer from moon
@Sendable func gather(_ client: Client) async throws {
    var services: [Consumer] = []
    for (name, price) in [("eu", 890), ("us", 870), ("asia", 0)] {
        services.append(
            try await client.serve("/topic/example.offers", name: name) { _ in
                if price == 0 { throw RequestFailure(code: "out-of-stock") }
                return Answer("\(price)")
            })
    }
    let offers = try await client.gather(
        "bicycle", to: "/topic/example.offers", from: ["eu", "us", "asia", "moon"], timeout: .seconds(2))

    let lines = offers.replies.map { "\($0.headers["replied-by"] ?? "?"): \($0.text)" }
    for line in lines.sorted() { print(line) }
    for failure in offers.failures { print("failed: \(failure)") }
    for name in offers.missing { print("no answer from \(name)") }
    for service in services { try await service.stop() }
}
