import Base
import Glibc
import LogStorage
import Storage

extension BrokerBackend {
    func beginBackup() async throws(AdminError) -> API.Backup {
        guard let id = service.backups.reserve() else {
            throw AdminError(.inUse, "another copy is set aside; it goes when it is done, or after a minute")
        }
        let made = await withCheckedContinuation { done in
            service.engine.beginBackup { done.resume(returning: $0) }
        }
        switch made {
        case .failure(let failure):
            service.backups.clear()
            throw AdminError(.failed, failure.description)
        case .success(let hold):
            var backup = API.Backup()
            backup.id = id
            backup.directory = Self.absolute(service.configuration.data)
            (backup.files, backup.bytes) = (hold.files, hold.bytes)
            backup.leaseSeconds = BackupLease.seconds
            service.backups.begin(backup, now: .now)
            return backup
        }
    }

    func renewBackup(id: String) async throws(AdminError) -> API.Backup {
        guard let backup = service.backups.renew(id, now: .now) else { throw Self.noBackup }
        return backup
    }

    func endBackup(id: String) async throws(AdminError) -> API.Backup {
        guard let backup = service.backups.end(id) else { throw Self.noBackup }
        let problem = await withCheckedContinuation { done in
            service.engine.endBackup { done.resume(returning: $0) }
        }
        service.backups.clear()
        if let problem { throw AdminError(.failed, problem.description) }
        return backup
    }

    private static var noBackup: AdminError {
        AdminError(.notFound, "there is no copy of that id; it may have been removed since nobody renewed it")
    }

    private static func absolute(_ path: String) -> String {
        guard let full = realpath(path, nil) else { return path }
        defer { free(full) }
        return String(cString: full)
    }
}

extension Service {
    /// Removes a copy that nobody wants any more.
    func endForgottenBackup() {
        guard backups.end(nil, ifOverBy: .now) != nil else { return }
        log.warning("a copy of the store that was set aside is removed: nobody renewed it")
        engine.endBackup { [backups, log] problem in
            if let problem { log.warning("a copy of the store stays", ["reason": .text(problem.description)]) }
            backups.clear()
        }
    }
}
