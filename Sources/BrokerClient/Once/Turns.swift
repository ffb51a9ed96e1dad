import Base
import Synchronization

/// One at a time for each key; who comes later waits, first come first served, without blocking a thread.
package final class Turns<Key: Hashable & Sendable>: Sendable {
    private typealias Waiter = (id: UInt64, continuation: CheckedContinuation<Bool, Never>)

    private struct State {
        /// Keys that somebody has, and who waits for them.
        var taken: [Key: [Waiter]] = [:]
        var lastID: UInt64 = 0
    }

    private let state = Mutex(State())

    package init() {}

    /// Returns when it is the caller's turn; `leave` must follow. Throws when the task is cancelled before.
    package nonisolated(nonsending) func enter(_ key: Key) async throws(CancellationError) {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        let isOurs = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver: Bool? = state.withLock { state in
                    // Cancelled before this: the handler found nothing. After it: it waits for the lock and finds us.
                    if Task.isCancelled { return false }
                    if state.taken[key] == nil {
                        state.taken[key] = []
                        return true
                    }
                    state.taken[key]?.append((id, continuation))
                    return nil
                }
                if let isOver { continuation.resume(returning: isOver) }
            }
        } onCancel: {
            cancel(id, key)
        }
        if !isOurs { throw CancellationError() }
    }

    package func leave(_ key: Key) {
        let next = state.withLock { state -> Waiter? in
            guard var waiters = state.taken[key], !waiters.isEmpty else {
                state.taken[key] = nil
                return nil
            }
            let next = waiters.removeFirst()
            state.taken[key] = waiters
            return next
        }
        next?.continuation.resume(returning: true)
    }

    private func cancel(_ id: UInt64, _ key: Key) {
        let waiter = state.withLock { state -> Waiter? in
            guard let at = state.taken[key]?.firstIndex(where: { $0.id == id }) else { return nil }
            return state.taken[key]?.remove(at: at)
        }
        waiter?.continuation.resume(returning: false)
    }
}
