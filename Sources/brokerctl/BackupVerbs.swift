import Base
import DaemonKit
import LogStorage
import Storage

/// Copies of a store: out of a running broker, and back into a data directory.
enum BackupVerbs {
    @Sendable static func backup(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let client = try AdminClient(call, console)
        let held = try client.ask(API.Backup.self, "POST", "/v1/backup")
        let path = "/v1/backup/\(percentEncoded(held.id))"
        let manifest: BackupManifest
        do throws(CtlFailure) {
            manifest = try copy(held, to: call.argument(0), client, path, console)
        } catch {
            // The copy is not finished; what the broker has set aside goes now or after a minute.
            _ = try? client.ask(API.Backup.self, "DELETE", path)
            throw error
        }
        console.endProgress()
        do throws(CtlFailure) { _ = try client.ask(API.Backup.self, "DELETE", path) } catch {
            // The copy is whole and was confirmed: this is about room in the data directory only.
            console.complain(
                harmless(
                    "brokerctl: the copy is finished, but the broker was not told to remove what it had set aside "
                        + "(\(error.message)); it does so after \(held.leaseSeconds) seconds"))
        }
        if call.wantsJSON { return try console.printJSON(try encoded(CopyValue(manifest))) }
        try console.print(
            "\(counted(UInt64(manifest.entries.count), "file")), \(humanBytes(manifest.bytes)), copied to "
                + harmless(call.argument(0)) + ".")
    }

    private static func copy(
        _ held: API.Backup, to target: String, _ client: AdminClient, _ path: String, _ console: Console
    ) throws(CtlFailure) -> BackupManifest {
        func renew() throws(StorageFailure) {
            do throws(CtlFailure) { _ = try client.ask(API.Backup.self, "POST", "\(path)/renew") } catch {
                throw StorageFailure("the broker does not keep the copy any more (\(error.message))")
            }
        }
        var renewed = Instant.now
        return try StoreVerbs.attempt { () throws(StorageFailure) in
            try BackupCopy.run(
                from: held.directory, to: target,
                progress: { (done) throws(StorageFailure) in
                    if Instant.now.milliseconds(since: renewed) < held.leaseSeconds * 1000 / 6 { return }
                    renewed = .now
                    try renew()
                    console.progress("\(humanBytes(done)) of \(humanBytes(held.bytes))")
                },
                confirm: { () throws(StorageFailure) in try renew() })
        }
    }

    @Sendable static func restore(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let (source, target) = (call.argument(0), call.argument(1))
        let outcome: BackupRestore.Outcome
        do throws(StorageFailure) {
            var told = Instant.now
            outcome = try BackupRestore.run(from: source, to: target) { done in
                if Instant.now.milliseconds(since: told) < 1000 { return }
                told = .now
                console.progress("\(humanBytes(done)) copied")
            }
        } catch {
            throw StoreVerbs.failure(error)
        }
        console.endProgress()
        if call.wantsJSON {
            try console.printJSON(try encoded(StoreReportValue(outcome.report)))
        } else {
            try console.print(outcome.report.text(directory: target))
        }
        if !outcome.report.isWhole {
            throw CtlFailure(.damaged, "\(target) can be started, but was damaged already when it was copied")
        }
    }

    /// What `backup --json` prints.
    struct CopyValue: APISchema {
        var files = 0
        var bytes: UInt64 = 0
        var storeID = ""
        var formatVersion: UInt32 = 0

        static let summary = "A finished copy."
        static let notes = [
            "files": "how many", "bytes": "of all", "store_id": "16 hexadecimal digits",
            "format_version": "of the files",
        ]

        init() {}

        init(_ manifest: BackupManifest) {
            (files, bytes) = (manifest.entries.count, manifest.bytes)
            (storeID, formatVersion) = (sixteenDigits(manifest.storeID), manifest.formatVersion)
        }
    }
}
