import BrokerClient
import BrokerClientSQLite
import BrokerTesting
import CSQLite
import Synchronization
import Testing

/// A consumer that is killed between any two of its steps, and started again: each message has its effect once.
///
/// Killed: the database is, for the consumer that follows, what its files are at that moment, and the connection breaks
/// with the message unacknowledged.
@Suite(.timeLimit(.minutes(2))) struct KilledConsumerTests {
    enum Step: String, CaseIterable {
        case begun, changed, committing, committed
    }

    /// A store whose process dies at one step of its first message.
    private struct DyingStore: OnceStore {
        let store: SQLiteOnceStore
        let step: Step
        let die: @Sendable () throws -> Void

        func once<R: Sendable>(
            _ key: MessageKey, _ change: (SQLiteTransaction) async throws -> R
        ) async throws -> R? {
            let result = try await store.once(key) { database in
                if step == .begun { try die() }
                let result = try await change(database)
                if step == .changed { try die() }
                if step == .committing { try await dieAtCommit(database) }
                return result
            }
            if step == .committed { try die() }
            return result
        }

        /// SQLite calls this when all is written to the journal's side and it is about to commit. What it returns makes
        /// a roll-back of the commit, which is nothing to the copy.
        private func dieAtCommit(_ database: SQLiteTransaction) async throws {
            let box = Unmanaged.passRetained(Hook(die))
            let address = UInt(bitPattern: box.toOpaque())
            try await database.withHandle { handle in
                _ = sqlite3_commit_hook(
                    handle,
                    { context in
                        guard let context else { return 0 }
                        let hook = Unmanaged<Hook>.fromOpaque(context).takeRetainedValue()
                        do { try hook.die() } catch { return 1 }
                        return 0
                    }, UnsafeMutableRawPointer(bitPattern: address))
            }
        }

        private final class Hook: Sendable {
            let die: @Sendable () throws -> Void
            init(_ die: @escaping @Sendable () throws -> Void) { self.die = die }
        }
    }

    private struct Killed: Error {}

    @Test(arguments: Step.allCases, ["DELETE", "WAL"]) func eachMessageHasItsEffectOnce(
        step: Step, journal: String
    ) async throws {
        let directory = try Directory()
        let broker = TestBroker()
        let sender = try await broker.connect()
        for text in ["a", "b"] { try await sender.send(text, to: "/queue/orders") }
        let store = try await SQLiteOnceStore(path: directory.path("before"))
        try await directory.makeTable(in: store)
        try await setJournal(journal, of: directory.path("before"))

        let killed = Atomic(0)
        let dying = DyingStore(store: store, step: step) {
            killed.add(1, ordering: .relaxed)
            try directory.copy("before", to: "after")
            throw Killed()
        }
        let first = try await broker.connect()
        let orders = try await first.subscribe(to: "/queue/orders")
        let message = try #require(try await orders.next())
        await #expect(throws: (any Error).self) {
            try await message.once(as: "billing", in: dying) { database in
                try await database.execute(Directory.insert, [.text(message.text)])
            }
        }
        #expect(killed.load(ordering: .relaxed) == 1)
        await broker.cutConnections()
        #expect(await broker.queue("/queue/orders").ready == 2)

        let next = try await SQLiteOnceStore(path: directory.path("after"))
        #expect(try await directory.effects(in: next) == (step == .committed ? ["a"] : []))
        let second = try await broker.connect()
        let again = try await second.subscribe(to: "/queue/orders")
        var outcomes: [Bool] = []
        for _ in 0..<2 {
            let message = try #require(try await again.next())
            let outcome = try await message.once(as: "billing", in: next) { database in
                try await database.execute(Directory.insert, [.text(message.text)])
            }
            outcomes.append(outcome == .done(1))
        }
        try await broker.until("/queue/orders") { $0.messages == 0 }
        #expect(try await directory.effects(in: next) == ["a", "b"])
        #expect(outcomes == [step != .committed, true])
    }

    /// It stays with the file.
    private func setJournal(_ mode: String, of path: String) async throws {
        var handle: OpaquePointer?
        #expect(sqlite3_open(path, &handle) == SQLITE_OK)
        #expect(sqlite3_exec(handle, "PRAGMA journal_mode = \(mode)", nil, nil, nil) == SQLITE_OK)
        sqlite3_close_v2(handle)
    }
}
