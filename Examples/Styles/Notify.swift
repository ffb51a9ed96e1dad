import BrokerClient

/// Tells, and goes on. Prints
///
///     your order is on its way
///     51.5, 7.4
///     please rate us
@Sendable func notify(_ client: Client) async throws {
    let queue = "/queue/example.news"
    // Returns when it is on disk; sent twice, it is there once.
    for _ in 1...2 { try await client.send("your order is on its way", to: queue, headers: ["dedup-id": "mail 7"]) }
    // Returns when it has left. The next position makes up for a lost one.
    try await client.send("51.5, 7.4", to: queue, persistent: false, confirmation: .none)
    // Delivered a second from now, and of no use after an hour.
    try await client.send("please rate us", to: queue, headers: ["delay": "1000", "ttl": "3600000"])

    let news = try await client.subscribe(to: queue, acknowledgement: .automatic)
    for _ in 1...3 {
        if let message = try await news.next() { print(message.text) }
    }
    try await news.cancel()
}
