import BrokerClient
import BrokerClientSQLite

/// A message that comes again has its effect once. Prints
///
///     1 invoice for Ada
///     it came again, and nothing was done
@Sendable func once(_ client: Client) async throws {
    // In memory here; in a program the file that its own tables are in.
    let store = try await SQLiteOnceStore(path: ":memory:")
    try await client.send("Ada", to: "/queue/example.sold")
    let orders = try await client.subscribe(to: "/queue/example.sold")
    guard let order = try await orders.next(), let key = MessageKey(of: order, for: "billing") else { return }

    // As when the program dies behind COMMIT and before the ACK.
    let count = try await store.once(key) { try await invoice(order, $0) }
    print("\(count ?? 0) invoice for \(order.text)")
    try await order.reject()

    guard let again = try await orders.next() else { return }
    let outcome = try await again.once(as: "billing", in: store) { try await invoice(again, $0) }
    print(outcome.isSeenBefore ? "it came again, and nothing was done" : "it was done twice")
    try await orders.cancel()
}

/// Returns how many invoices there are then.
private func invoice(_ order: Message, _ database: SQLiteTransaction) async throws -> Int64 {
    try await database.execute("CREATE TABLE IF NOT EXISTS invoices (customer TEXT)")
    try await database.execute("INSERT INTO invoices VALUES (?)", [.text(order.text)])
    guard case .integer(let count)? = try await database.query("SELECT count(*) FROM invoices").first?.first else {
        return 0
    }
    return count
}
