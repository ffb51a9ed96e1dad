import BrokerClient

/// Tells everybody who listens, and who is away. Prints
///
///     kitchen: 21.5
///     while away: 22.0
@Sendable func publish(_ client: Client) async throws {
    let topic = "/topic/example.temperature.kitchen"
    let durable: Headers = ["durable": "true", "x-queue-name": "example.diary"]
    let listener = try await client.subscribe(to: "/topic/example.temperature.*", acknowledgement: .automatic)
    // From here on it is remembered for the diary, whether somebody reads it or not.
    try await client.subscribe(to: topic, headers: durable).cancel()

    try await client.send("21.5", to: topic)
    if let value = try await listener.next() { print("kitchen: \(value.text)") }
    try await listener.cancel()
    try await client.send("22.0", to: topic)

    let diary = try await client.subscribe(to: topic, headers: durable)
    while let value = try await diary.next() {
        try await value.acknowledge()
        if value.text == "21.5" { continue }
        print("while away: \(value.text)")
        break
    }
    try await diary.cancel()
}
