import BrokerClient
import BrokerClientSQLite
import Foundation

/// A directory for the databases of one test, which goes with it.
final class Directory: Sendable {
    private let root: URL

    init() throws {
        root = FileManager.default.temporaryDirectory.appendingPathComponent("brokerclient-sqlite-\(UUID())")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: root) }

    func path(_ name: String) -> String { root.appendingPathComponent(name).path }

    /// What a process that is killed at this moment leaves: the files as they are, of a database and its journals.
    func copy(_ name: String, to copy: String) throws {
        for suffix in ["", "-journal", "-wal", "-shm"] where FileManager.default.fileExists(atPath: path(name + suffix))
        {
            try FileManager.default.copyItem(atPath: path(name + suffix), toPath: path(copy + suffix))
        }
    }

    static let insert = "INSERT INTO effects (text) VALUES (?)"

    func makeTable(in store: SQLiteOnceStore) async throws {
        _ = try await store.once(Self.own) { try await $0.execute("CREATE TABLE IF NOT EXISTS effects (text TEXT)") }
    }

    func effects(in store: SQLiteOnceStore) async throws -> [String] {
        let rows = try await store.once(Self.own) { try await $0.query("SELECT text FROM effects ORDER BY rowid") }
        return (rows ?? []).compactMap { row in
            if case .text(let text)? = row.first { return text }
            return nil
        }
    }

    private static var own: MessageKey { MessageKey(consumer: "test", destination: "", id: "\(UUID())") }
}
