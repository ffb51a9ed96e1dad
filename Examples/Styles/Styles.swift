import BrokerClient

/// One example for each way of talking. Usage: Styles NAME [ADDRESS]
@main struct Styles {
    static let all: [(name: String, run: @Sendable (Client) async throws -> Void)] = [
        ("request", request),
        ("later", later),
        ("notify", notify),
        ("publish", publish),
        ("gather", gather),
        ("groups", groups),
        ("pipe", pipe),
        ("types", types),
        ("once", once),
        ("protection", protection),
    ]

    static func main() async throws {
        let words = Array(CommandLine.arguments.dropFirst())
        guard let example = all.first(where: { $0.name == words.first }) else {
            print("usage: Styles NAME [ADDRESS]; names: \(all.map(\.name).joined(separator: " "))")
            return
        }
        let client = try await Client.connect(to: [words.count > 1 ? words[1] : "127.0.0.1:61613"])
        try await example.run(client)
        try await client.close()
    }
}
