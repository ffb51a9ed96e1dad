import BrokerClient

/// Two consumers share a queue; what belongs together is worked on in order. Prints
///
///     Ada: opened paid closed
///     Bob: opened paid closed
///     Eve: opened paid closed
@Sendable func groups(_ client: Client) async throws {
    let (results, done) = AsyncStream.makeStream(of: (customer: String, step: String).self)
    var consumers: [Consumer] = []
    for _ in 1...2 {
        consumers.append(
            try await client.consume("/queue/example.accounts", concurrency: 4, orderedBy: .messageGroup) { message in
                done.yield((message.headers["message-group"] ?? "?", message.text))
            })
    }
    for step in ["opened", "paid", "closed"] {
        for customer in ["Ada", "Bob", "Eve"] {
            try await client.send(step, to: "/queue/example.accounts", headers: ["message-group": customer])
        }
    }
    var steps: [String: [String]] = [:]
    for await result in results {
        steps[result.customer, default: []].append(result.step)
        if steps.values.reduce(0, { $0 + $1.count }) == 9 { break }
    }
    // What is in hand is finished and acknowledged before this returns.
    for consumer in consumers { try await consumer.stop() }
    for (customer, steps) in steps.sorted(by: { $0.key < $1.key }) {
        print("\(customer): \(steps.joined(separator: " "))")
    }
}
