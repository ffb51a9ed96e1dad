import BrokerClient

/// Takes a message, and sends what comes of it, in one transaction. Prints
///
///     invoice for bicycle
///     parcel with bicycle
@Sendable func pipe(_ client: Client) async throws {
    let stage = try await client.pipe("/queue/example.ordered") { order in
        [
            Outgoing("invoice for \(order.text)", to: "/queue/example.done"),
            Outgoing("parcel with \(order.text)", to: "/queue/example.done"),
        ]
    }
    try await client.send("bicycle", to: "/queue/example.ordered")

    let results = try await client.subscribe(to: "/queue/example.done", acknowledgement: .automatic)
    for _ in 1...2 {
        if let result = try await results.next() { print(result.text) }
    }
    try await stage.stop()
}
