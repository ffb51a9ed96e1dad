import Base
import Synchronization

/// The one copy of the store that may be set aside at a time, and until when somebody wants it.
final class BackupLease: Sendable {
    /// How long a copy stays without being renewed.
    static let seconds: UInt64 = 60

    private struct State {
        var backup: API.Backup?
        /// nil while it is being made or removed.
        var deadline: Instant?
    }

    private let state = Mutex(State())

    /// An id for a copy that can be made now; nil while there is one.
    func reserve() -> String? {
        let id = String(UInt64.random(in: .min ... .max), radix: 16)
        return state.withLock { state in
            if state.backup != nil { return nil }
            state.backup = API.Backup()
            state.backup?.id = id
            return id
        }
    }

    /// The copy is there.
    func begin(_ backup: API.Backup, now: Instant) {
        state.withLock { state in
            state.backup = backup
            state.deadline = now.adding(milliseconds: Self.seconds * 1000)
        }
    }

    /// nil if there is none of that id.
    func renew(_ id: String, now: Instant) -> API.Backup? {
        state.withLock { state in
            guard let backup = state.backup, backup.id == id, state.deadline != nil else { return nil }
            state.deadline = now.adding(milliseconds: Self.seconds * 1000)
            return backup
        }
    }

    /// Who gets it has to remove the copy, and to `clear` then. With an id: of that copy only.
    func end(_ id: String?, ifOverBy now: Instant? = nil) -> API.Backup? {
        state.withLock { state in
            guard let backup = state.backup, let deadline = state.deadline else { return nil }
            if let id, backup.id != id { return nil }
            if let now, now < deadline { return nil }
            state.deadline = nil
            return backup
        }
    }

    func clear() { state.withLock { $0 = State() } }
}
