import BrokerClient

/// Answers what articles cost.
/// Usage: PriceService [ADDRESS]
@main struct PriceService {
    static let prices = ["bicycle": "890", "bell": "12"]

    static func main() async throws {
        let address = CommandLine.arguments.dropFirst().first ?? "127.0.0.1:61613"
        let client = try await Client.connect(to: [address])
        let service = try await client.serve("/queue/prices", concurrency: 8) { request in
            guard let price = prices[request.text] else {
                throw RequestFailure(code: "unknown-article", detail: "nobody sells a \(request.text) here")
            }
            return Answer(price)
        }
        try await service.finished()
    }
}
