import Foundation
import Synchronization

/// Sleep for a moment again and again, and note how late they wake: so late the machine was. One is a thread, one a task
/// among the tasks of the clients.
final class Sleepers: Sendable {
    private struct Late: Sendable {
        let due: ContinuousClock.Instant
        let woke: ContinuousClock.Instant
    }

    private struct State {
        var isOver = false
        var thread: [Late] = []
        var task: [Late] = []
        var worstThread = Duration.zero
        var worstTask = Duration.zero
    }

    private static let step = Duration.milliseconds(5)
    /// Later than that by less is not worth a note.
    private static let noted = Duration.milliseconds(3)
    /// Storms are over before so many more are noted.
    private static let kept = 5_000
    private let state = Mutex(State())

    func begin() {
        Thread.detachNewThread {
            while !self.isOver {
                let due = ContinuousClock.now + Self.step
                usleep(5_000)
                self.note(due, \.thread, \.worstThread)
            }
        }
        Task.detached {
            while !self.isOver {
                let due = ContinuousClock.now + Self.step
                // Nobody cancels it.
                _ = try? await Task.sleep(until: due, clock: .continuous)
                self.note(due, \.task, \.worstTask)
            }
        }
    }

    func end() { state.withLock { $0.isOver = true } }

    private var isOver: Bool { state.withLock { $0.isOver } }

    private func note(
        _ due: ContinuousClock.Instant, _ list: any WritableKeyPath<State, [Late]> & Sendable,
        _ worst: any WritableKeyPath<State, Duration> & Sendable
    ) {
        let woke = ContinuousClock.now
        if woke <= due + Self.noted { return }
        state.withLock { state in
            state[keyPath: list].append(Late(due: due, woke: woke))
            if state[keyPath: list].count > 2 * Self.kept { state[keyPath: list].removeFirst(Self.kept) }
            state[keyPath: worst] = max(state[keyPath: worst], due.duration(to: woke))
        }
    }

    /// How late the machine was for threads, and for tasks, at worst, in the course of an overrun. Asked a while later:
    /// who sleeps just then notes it when it wakes.
    func lateness(during overrun: StormLedger.Overrun) -> (thread: Duration, task: Duration) {
        state.withLock { state in
            (Self.worst(state.thread, overrun), Self.worst(state.task, overrun))
        }
    }

    /// By how much the machine was late at the most.
    var worst: (thread: Duration, task: Duration) { state.withLock { ($0.worstThread, $0.worstTask) } }

    private static func worst(_ list: [Late], _ overrun: StormLedger.Overrun) -> Duration {
        list.filter { $0.due < overrun.ended && $0.woke > overrun.due }
            .reduce(.zero) { $0 + (max($1.due, overrun.due).duration(to: min($1.woke, overrun.ended))) }
    }
}
