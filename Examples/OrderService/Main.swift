import BrokerClient
import ShopEvents

/// Usage: OrderService [ADDRESS]
@main struct Main {
    static func main() async throws {
        let address = CommandLine.arguments.dropFirst().first ?? "127.0.0.1:61613"
        let client = try await Client.connect(to: [address])
        async let _ = client.sayStates()
        try await OrderService(client: client).start().finished()
    }
}
