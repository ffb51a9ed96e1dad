import Storage

extension LogEngine {
    /// Sets a copy of the store aside in its directory, see `BackupHold`; `then` is called on the keeper's
    /// thread. Until `endBackup` room is taken that a running broker would give back.
    public func beginBackup(then: @escaping @Sendable (Result<BackupHold, StorageFailure>) -> Void) {
        runByKeeper { store in
            guard let store else { return then(.failure(Self.isClosed)) }
            do throws(StorageFailure) { then(.success(try store.beginBackup())) } catch { then(.failure(error)) }
        }
    }

    /// Removes it.
    public func endBackup(then: @escaping @Sendable (StorageFailure?) -> Void) {
        runByKeeper { store in
            guard let store else { return then(Self.isClosed) }
            do throws(StorageFailure) {
                try store.endBackup()
                then(nil)
            } catch {
                then(error)
            }
        }
    }

    private static let isClosed = StorageFailure("the storage is closed", .unavailable)
}
