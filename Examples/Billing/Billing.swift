import BrokerClient
import BrokerClientSQLite
import ShopEvents

/// Writes an invoice for every order, and never two.
/// Usage: Billing [ADDRESS [DATABASE]]
@main struct Billing {
    static func main() async throws {
        let words = Array(CommandLine.arguments.dropFirst())
        let client = try await Client.connect(to: [words.first ?? "127.0.0.1:61613"])
        async let _ = client.sayStates()
        let store = try await SQLiteOnceStore(path: words.count > 1 ? words[1] : "billing.sqlite")
        let orders = try await client.subscribe(
            to: OrderPlaced.topic, headers: ["durable": "true", "x-queue-name": "billing"])
        say("billing orders")
        func failed(_ message: Message, _ error: any Error) { say("\(message.messageID): \(error)") }
        try await orders.once(as: "billing", in: store, failed: failed) { message, database in
            let order = try message.decode(OrderPlaced.self)
            try await database.execute(
                "CREATE TABLE IF NOT EXISTS invoices (number INTEGER, article TEXT, price INTEGER)")
            try await database.execute(
                "INSERT INTO invoices VALUES (?, ?, ?)",
                [.integer(Int64(order.number)), .text(order.article), .integer(Int64(order.price))])
            // Not a part of the transaction, so perhaps said twice.
            say("invoice for order \(order.number)")
        }
    }
}
