import Synchronization

/// Something that happens once. Who waits for it passes when it has happened.
final class Milestone: Sendable {
    private enum Waiter {
        /// On the way to its continuation: it may give up, or be given up, before it gets there.
        case coming
        case waiting(CheckedContinuation<Bool, Never>)
    }

    private struct State {
        var isReached = false
        /// Those who have not given up.
        var waiters: [UInt64: Waiter] = [:]
        var lastWaiter: UInt64 = 0
    }

    private let state = Mutex(State())

    func reach() {
        let waiters = state.withLock { state in
            state.isReached = true
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for case .waiting(let continuation) in waiters { continuation.resume(returning: true) }
    }

    /// False if the task was cancelled before it was reached, or the time passed.
    nonisolated(nonsending) func wait(for duration: Duration? = nil, by clock: ClientClock) async -> Bool {
        let number = state.withLock { state in
            state.lastWaiter += 1
            state.waiters[state.lastWaiter] = .coming
            return state.lastWaiter
        }
        let alarm = duration.map { duration in
            Task {
                // Cancelled: nobody needs it any more.
                do { try await clock.sleep(for: duration) } catch { return }
                self.giveUp(number)
            }
        }
        defer { alarm?.cancel() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLock { state in
                    if state.isReached {
                        state.waiters[number] = nil
                        return true
                    }
                    // A short time can be over by now.
                    if state.waiters[number] == nil { return false }
                    state.waiters[number] = .waiting(continuation)
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            giveUp(number)
        }
    }

    private func giveUp(_ number: UInt64) {
        let waiter = state.withLock { $0.waiters.removeValue(forKey: number) }
        if case .waiting(let continuation) = waiter { continuation.resume(returning: false) }
    }
}
