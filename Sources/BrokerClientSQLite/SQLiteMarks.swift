import BrokerClient
import CSQLite

/// The table of messages that were seen, inside of whatever transaction is open.
enum SQLiteMarks {
    /// What may be forgotten.
    struct Limits: Sendable {
        /// Marks from before, in seconds since 1970.
        var oldest: Int64
        /// All but so many of the newest.
        var most: Int64
    }

    /// Marks that one change forgets at most: somebody waits for it. More than one, or it would never catch up.
    static let forgottenAtOnce = 100

    /// `number` grows with each mark, so the oldest are found without looking through the others.
    static func createTable(in database: SQLiteDatabase) throws(SQLiteError) {
        _ = try database.run(
            """
            CREATE TABLE IF NOT EXISTS brokerclient_seen (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                consumer TEXT NOT NULL,
                destination TEXT NOT NULL,
                id TEXT NOT NULL,
                seen INTEGER NOT NULL,
                UNIQUE (consumer, destination, id)
            )
            """)
    }

    /// False if it was there.
    static func mark(
        _ key: MessageKey, at seconds: Int64, in database: SQLiteDatabase
    ) throws(SQLiteError) -> Bool {
        _ = try database.run(
            """
            INSERT INTO brokerclient_seen (consumer, destination, id, seen) VALUES (?, ?, ?, ?)
            ON CONFLICT DO NOTHING
            """,
            [.text(key.consumer), .text(key.destination), .text(key.id), .integer(seconds)])
        return database.changes == 1
    }

    static func forget(_ limits: Limits, in database: SQLiteDatabase) throws(SQLiteError) {
        _ = try database.run(
            """
            DELETE FROM brokerclient_seen WHERE number IN (
                SELECT number
                FROM (SELECT number, seen FROM brokerclient_seen ORDER BY number LIMIT ?)
                WHERE seen < ? OR number <= (SELECT max(number) FROM brokerclient_seen) - ?
            )
            """,
            [.integer(Int64(forgottenAtOnce)), .integer(limits.oldest), .integer(limits.most)])
    }
}
