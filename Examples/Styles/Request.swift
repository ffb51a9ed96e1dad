import BrokerClient

/// Asks, and has the answer. Prints
///
///     42
///     no-number: x is no number
@Sendable func request(_ client: Client) async throws {
    let service = try await client.serve("/queue/example.double", concurrency: 4) { request in
        guard let number = Int(request.text) else {
            throw RequestFailure(code: "no-number", detail: "\(request.text) is no number")
        }
        return Answer("\(2 * number)")
    }
    for question in ["21", "x"] {
        do {
            let reply = try await client.request(question, to: "/queue/example.double", timeout: .seconds(20))
            print(reply.text)
        } catch {
            guard case .requestFailed(let failure) = error else { throw error }
            print(failure)
        }
    }
    try await service.stop()
}
