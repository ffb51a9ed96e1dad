import CSQLite
import Synchronization

/// The transaction in which a message is marked, for the application's change. Valid until the closure that got it
/// returns; then it is committed, or rolled back if the closure threw.
public final class SQLiteTransaction: Sendable {
    private let store: SQLiteOnceStore
    private let isOver = Atomic(false)

    init(_ store: SQLiteOnceStore) { self.store = store }

    func end() { isOver.store(true, ordering: .releasing) }

    /// Runs one statement, with its parameters in order, and returns how many rows it changed.
    ///
    ///     try await database.execute("UPDATE stock SET left = left - ? WHERE item = ?", [.integer(2), .text("bicycle")])
    @discardableResult
    nonisolated(nonsending) public func execute(
        _ sql: String, _ values: [SQLiteValue] = []
    ) async throws(SQLiteError) -> Int {
        try check(sql)
        return try await store.onQueue { (database) throws(SQLiteError) in
            _ = try database.run(sql, values)
            return database.changes
        }
    }

    /// Runs one statement and returns its rows, all at once: bound them with LIMIT.
    nonisolated(nonsending) public func query(
        _ sql: String, _ values: [SQLiteValue] = []
    ) async throws(SQLiteError) -> [[SQLiteValue]] {
        try check(sql)
        return try await store.onQueue { (database) throws(SQLiteError) in try database.run(sql, values) }
    }

    /// Gives SQLite's own handle (`sqlite3 *`) to other libraries, on the thread of the store. They must neither end
    /// the transaction nor keep the handle.
    nonisolated(nonsending) public func withHandle<R: Sendable>(
        _ work: @escaping @Sendable (OpaquePointer) throws -> R
    ) async throws -> R {
        try check("withHandle")
        return try await store.onQueue { (database) throws(any Error) in try work(database.handle) }
    }

    private func check(_ about: String) throws(SQLiteError) {
        if isOver.load(ordering: .acquiring) {
            throw SQLiteError(code: SQLITE_MISUSE, message: "the transaction has ended", about: about)
        }
    }
}
