import BrokerClient
import BrokerClientSQLite
import BrokerTesting
import Foundation
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct SQLiteOnceTests {
    let directory: Directory

    init() throws { directory = try Directory() }

    private func key(_ id: String) -> MessageKey { MessageKey(consumer: "c", destination: "/queue/q", id: id) }

    private struct Refused: Error, Equatable {}

    @Test func theChangeAndTheMarkAreOne() async throws {
        let store = try await SQLiteOnceStore(path: directory.path("app"))
        try await directory.makeTable(in: store)
        for id in ["1", "2", "1"] {
            _ = try await store.once(key(id)) { try await $0.execute(Directory.insert, [.text(id)]) }
        }
        await #expect(throws: Refused.self) {
            try await store.once(key("3")) { database in
                try await database.execute(Directory.insert, [.text("3")])
                throw Refused()
            }
        }
        #expect(try await directory.effects(in: store) == ["1", "2"])
        #expect(try await store.once(key("3")) { try await $0.execute(Directory.insert, [.text("3")]) } == 1)
        #expect(try await directory.effects(in: store) == ["1", "2", "3"])
    }

    @Test func marksOutliveTheProcess() async throws {
        let path = directory.path("app")
        #expect(try await SQLiteOnceStore(path: path).once(key("1")) { _ in 1 } == 1)
        #expect(try await SQLiteOnceStore(path: path).once(key("1")) { _ in 1 } == nil)
    }

    @Test func aStatementThatFailsRollsBackAndTheNextOneWorks() async throws {
        let store = try await SQLiteOnceStore(path: directory.path("app"))
        try await directory.makeTable(in: store)
        await #expect(throws: SQLiteError.self) {
            try await store.once(key("1")) { database in
                try await database.execute(Directory.insert, [.text("1")])
                try await database.execute("INSERT INTO nowhere VALUES (1)")
            }
        }
        #expect(try await directory.effects(in: store) == [])
        #expect(try await store.once(key("1")) { _ in 1 } == 1)
    }

    @Test func marksAreForgottenByAge() async throws {
        let clock = Atomic<Int64>(1000)
        let store = try await SQLiteOnceStore(
            path: directory.path("app"), keep: .seconds(100), most: 1000, busy: .zero
        ) { clock.load(ordering: .relaxed) }
        _ = try await store.once(key("1")) { _ in }
        clock.store(1100, ordering: .relaxed)
        #expect(try await store.once(key("1")) { _ in } == nil)
        clock.store(1101, ordering: .relaxed)
        #expect(try await store.once(key("1")) { _ in 1 } == 1)
    }

    @Test func onlySoManyMarksAreKept() async throws {
        let store = try await SQLiteOnceStore(
            path: directory.path("app"), keep: .seconds(100), most: 3, busy: .zero
        ) { 0 }
        for number in 1...10 { _ = try await store.once(key("\(number)")) { _ in } }
        let kept = try await store.once(key("look")) {
            try await $0.query("SELECT id FROM brokerclient_seen ORDER BY number")
        }
        #expect(kept == ["8", "9", "10", "look"].map { [.text($0)] })
    }

    @Test(arguments: [
        (Duration.milliseconds(1500), Int32(1500)), (.microseconds(1), 1), (.seconds(-1), 0),
        (.seconds(Int64.max), .max),
    ])
    func otherWritersAreWaitedForAsLongAsIsSaid(busy: Duration, milliseconds: Int32) async throws {
        let store = try await SQLiteOnceStore(path: directory.path("app"), busy: busy)
        let set = try await store.once(key("look")) { try await $0.query("PRAGMA busy_timeout") }
        #expect(set == [[.integer(Int64(milliseconds))]])
    }

    /// A change waits for no more than a bounded part of what has gathered.
    @Test func forgettingIsDoneInParts() async throws {
        let clock = Atomic<Int64>(0)
        let store = try await SQLiteOnceStore(
            path: directory.path("app"), keep: .seconds(1), most: 1000, busy: .zero
        ) { clock.load(ordering: .relaxed) }
        for number in 1...150 { _ = try await store.once(key("\(number)")) { _ in } }
        clock.store(10, ordering: .relaxed)
        func count() async throws -> [[SQLiteValue]]? {
            try await store.once(key("\(UUID())")) { try await $0.query("SELECT count(*) FROM brokerclient_seen") }
        }
        #expect(try await count() == [[.integer(51)]])
        #expect(try await count() == [[.integer(2)]])
    }

    @Test func valuesComeBackAsTheyWere() async throws {
        let store = try await SQLiteOnceStore(path: directory.path("app"))
        let values: [SQLiteValue] = [
            .null, .integer(.min), .real(0.5), .text(""), .text("naïve\u{0}text"), .blob([]), .blob([0, 255]),
        ]
        let rows = try await store.once(key("1")) { try await $0.query("SELECT ?, ?, ?, ?, ?, ?, ?", values) }
        #expect(rows == [values])
    }

    @Test func whatIsNotOneStatementIsRefused() async throws {
        let store = try await SQLiteOnceStore(path: directory.path("app"))
        for (sql, values) in [("SELECT 1; SELECT 2", []), ("SELECT ?", []), ("", []), ("SELECT 1", [SQLiteValue.null])]
        {
            await #expect(throws: SQLiteError.self, "\(sql)") {
                try await store.once(key("1")) { try await $0.query(sql, values) }
            }
        }
        #expect(try await store.once(key("1")) { try await $0.query("SELECT 1 ; \n") } == [[.integer(1)]])
    }

    @Test func aTransactionThatHasEndedDoesNothing() async throws {
        let store = try await SQLiteOnceStore(path: directory.path("app"))
        let kept = try #require(try await store.once(key("1")) { $0 })
        await #expect(throws: SQLiteError.self) { try await kept.execute("CREATE TABLE t (x)") }
    }

    @Test func othersWhoWriteAreWaitedForOnlySoLong() async throws {
        let path = directory.path("app")
        let other = try await SQLiteOnceStore(path: path)
        let store = try await SQLiteOnceStore(path: path, busy: .zero)
        let error = try await other.once(key("1")) { _ in
            await #expect(throws: SQLiteError.self) { try await store.once(key("2")) { _ in } }
        }
        #expect(error != nil)
        #expect(try await store.once(key("2")) { _ in 2 } == 2)
    }

    @Test func aPathThatCannotBeOpenedSaysSo() async throws {
        let path = directory.path("missing/app")
        let error = await #expect(throws: SQLiteError.self) { try await SQLiteOnceStore(path: path) }
        #expect(error?.about == path)
    }
}
