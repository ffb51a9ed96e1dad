import Synchronization

/// Something that happens once. Who waits for it passes when it has happened.
final class Milestone: Sendable {
    private struct State {
        var isReached = false
        var waiters: [UInt64: CheckedContinuation<Bool, Never>] = [:]
        var lastWaiter: UInt64 = 0
    }

    private let state = Mutex(State())

    var isReached: Bool { state.withLock { $0.isReached } }

    func reach() {
        let waiters = state.withLock { state in
            state.isReached = true
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume(returning: true) }
    }

    /// False if the task was cancelled before it was reached, or the time passed.
    nonisolated(nonsending) func wait(for duration: Duration? = nil, by clock: ClientClock) async -> Bool {
        let number = state.withLock { state in
            state.lastWaiter += 1
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
                    if state.isReached { return true }
                    if Task.isCancelled { return false }
                    state.waiters[number] = continuation
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            giveUp(number)
        }
    }

    private func giveUp(_ number: UInt64) {
        state.withLock { $0.waiters.removeValue(forKey: number) }?.resume(returning: false)
    }
}
