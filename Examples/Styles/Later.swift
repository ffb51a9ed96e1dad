import BrokerClient

/// Asks now, and has the answer from a queue, which any process may read at any time. Prints
///
///     order 7: a bicycle is 890
@Sendable func later(_ client: Client) async throws {
    try await client.send(
        "bicycle", to: "/queue/example.quotes",
        headers: ["reply-to": "/queue/example.quoted", "correlation-id": "order 7"])

    // Another process, tomorrow.
    let service = try await client.serve("/queue/example.quotes") { Answer("a \($0.text) is 890") }

    // A third one, the day after.
    let replies = try await client.subscribe(to: "/queue/example.quoted")
    if let reply = try await replies.next() {
        print("\(reply.headers["correlation-id"] ?? "?"): \(reply.text)")
        try await reply.acknowledge()
    }
    try await service.stop()
}
