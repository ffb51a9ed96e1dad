import Base
import Dispatch
import Glibc
import Synchronization

/// Ends a process, and its group, when its time is over.
final class Watchdog: Sendable {
    enum Reason: Sendable {
        case time
        case interruption
        /// It writes more than is kept.
        case flood
    }

    private struct State {
        var isReaped = false
        var reason: Reason?
    }

    private let id: pid_t
    private let state = Mutex(State())

    init(of id: pid_t, at deadline: Instant) {
        self.id = id
        let milliseconds = Int(clamping: deadline.milliseconds(since: .now))
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(milliseconds)) { [weak self] in
            self?.bite(because: .time)
        }
    }

    /// Why it was ended; nil if it ended by itself.
    var reason: Reason? { state.withLock { $0.reason } }

    /// Not when it has ended: the number may be that of another process by then.
    func bite(because reason: Reason) {
        state.withLock { state in
            if state.isReaped || state.reason != nil { return }
            state.reason = reason
            kill(-id, SIGKILL)
        }
    }

    /// Waits for the end, and returns the status as shells say it.
    func awaitEnd() -> Int32 {
        var information = siginfo_t()
        while waitid(P_PID, id_t(id), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        return state.withLock { state in
            var status: Int32 = 0
            var reaped = waitpid(id, &status, 0)
            while reaped < 0, errno == EINTR { reaped = waitpid(id, &status, 0) }
            state.isReaped = true
            // How it ended is not known, so it is not known to have succeeded.
            if reaped != id { return 255 }
            return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + (status & 0x7F)
        }
    }
}
