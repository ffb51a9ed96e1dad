import BrokerClient
import CSQLite
import Dispatch
import Glibc
import Synchronization

/// Remembers messages in the application's own SQLite database, so that the mark of a message and the change it causes
/// are one transaction: after any crash both are there or neither.
///
///     let store = try await SQLiteOnceStore(path: "shop.sqlite")
///     for try await order in orders {
///         try await order.once(as: "billing", in: store) { database in
///             try await database.execute("INSERT INTO invoices (customer) VALUES (?)", [.text(order.text)])
///         }
///     }
///
/// It has a connection of its own to the file, and a thread that waits for the disk in place of the caller. One change
/// runs at a time, since SQLite has one writer; other connections and processes may use the file meanwhile.
///
/// Marks are in the table `brokerclient_seen`, which it makes. Those older than `keep`, and all but the newest `most`,
/// are forgotten, up to 100 at each change. A message that comes again after that has its effect again: `keep` must be
/// longer than a message can wait in a queue, a dead-letter queue or an operator's drawer.
public final class SQLiteOnceStore: OnceStore {
    private let database: SQLiteDatabase
    private let queue: DispatchQueue
    private let turns = Turns<Bool>()
    private let keepSeconds: Int64
    private let most: Int64
    private let now: @Sendable () -> Int64

    /// Opens the database, or makes it. `busy`: how long a change waits for other writers before it fails with
    /// `SQLITE_BUSY`. Throws `SQLiteError`.
    public convenience init(
        path: String, keep: Duration = .seconds(7 * 86_400), most: Int = 1_000_000, busy: Duration = .seconds(10)
    ) async throws(SQLiteError) {
        try await self.init(path: path, keep: keep, most: most, busy: busy) { Int64(time(nil)) }
    }

    /// `now`: seconds since 1970.
    package init(
        path: String, keep: Duration, most: Int, busy: Duration, now: @escaping @Sendable () -> Int64
    ) async throws(SQLiteError) {
        keepSeconds = max(0, keep.components.seconds)
        self.most = Int64(max(1, most))
        self.now = now
        let milliseconds = Int32(clamping: busy.wholeMilliseconds)
        let queue = DispatchQueue(label: "brokerclient.sqlite")
        self.queue = queue
        let opened = await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: Self.open(path, milliseconds)) }
        }
        database = try opened.get()
    }

    private static func open(_ path: String, _ busyMilliseconds: Int32) -> Result<SQLiteDatabase, SQLiteError> {
        do throws(SQLiteError) {
            let database = try SQLiteDatabase(path: path, busyMilliseconds: busyMilliseconds)
            // A change that is acknowledged must survive the machine, too.
            _ = try database.run("PRAGMA synchronous = FULL")
            try SQLiteMarks.createTable(in: database)
            return .success(database)
        } catch {
            return .failure(error)
        }
    }

    /// Runs `change` and marks the key in one transaction of the database; nil, and nothing done, if the key is marked already.
    /// `Message.once` and `Subscription.once` call this.
    ///
    /// Changes wait for each other, in the order in which they came. Throws what `change` threw, `SQLiteError` when the database
    /// does not do what it should (`SQLITE_BUSY`, 5, when others have it for longer than `busy`), and `CancellationError` when
    /// the task is cancelled while it waits for its turn. Nothing is changed then, and nothing marked.
    nonisolated(nonsending) public func once<R: Sendable>(
        _ key: MessageKey, _ change: (SQLiteTransaction) async throws -> R
    ) async throws -> R? {
        try await turns.enter(true)
        defer { turns.leave(true) }
        let time = now()
        let limits = SQLiteMarks.Limits(oldest: time.subtractingReportingOverflow(keepSeconds).partialValue, most: most)
        let isNew = try await onQueue { (database) throws(SQLiteError) in
            // IMMEDIATE: who only finds out at its first write that others write too cannot wait for them.
            _ = try database.run("BEGIN IMMEDIATE")
            do throws(SQLiteError) {
                try SQLiteMarks.forget(limits, in: database)
                if try SQLiteMarks.mark(key, at: time, in: database) { return true }
                // What was forgotten may stay so.
                _ = try database.run("COMMIT")
                return false
            } catch {
                Self.rollBack(database)
                throw error
            }
        }
        if !isNew { return nil }
        let transaction = SQLiteTransaction(self)
        do {
            let result = try await change(transaction)
            transaction.end()
            try await onQueue { (database) throws(SQLiteError) in _ = try database.run("COMMIT") }
            return result
        } catch {
            transaction.end()
            await onQueue { database in Self.rollBack(database) }
            throw error
        }
    }

    /// SQLite has rolled back by itself after some errors, and then says that there is nothing to roll back: so whether
    /// there is, is asked first. Should it fail, the next BEGIN says so.
    private static func rollBack(_ database: SQLiteDatabase) {
        if sqlite3_get_autocommit(database.handle) == 0 { sqlite3_exec(database.handle, "ROLLBACK", nil, nil, nil) }
    }

    /// On the store's thread; the caller's waits for nothing.
    nonisolated(nonsending) func onQueue<R: Sendable, E: Error>(
        _ work: @escaping @Sendable (SQLiteDatabase) throws(E) -> R
    ) async throws(E) -> R {
        let result: Result<R, E> = await withCheckedContinuation { continuation in
            queue.async { [database] in
                do throws(E) {
                    continuation.resume(returning: .success(try work(database)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}
