import BrokerClient

/// Asks what articles cost.
/// Usage: PriceAsker ADDRESS ARTICLE...
@main struct PriceAsker {
    static func main() async throws {
        let words = CommandLine.arguments.dropFirst()
        let client = try await Client.connect(to: [words.first ?? "127.0.0.1:61613"])
        for article in words.dropFirst() {
            do {
                let reply = try await client.request(
                    article, to: "/queue/prices", timeout: .seconds(20), retry: RetryPolicy())
                print("\(article): \(reply.text)")
            } catch {
                guard case .requestFailed(let failure) = error else { throw error }
                print("\(article): \(failure.detail)")
            }
        }
        try await client.close()
    }
}
