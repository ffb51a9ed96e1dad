import Synchronization

/// Lets a test wait for its script: open once, from then on passed by everybody.
final class Reached: Sendable {
    private struct State {
        var isMarked = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func mark() {
        let waiters = state.withLock { state in
            state.isMarked = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Also when the test has failed and its other parts are cancelled: nobody will mark it then.
    func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isMarked = state.withLock { state in
                    if !state.isMarked { state.waiters.append(continuation) }
                    return state.isMarked
                }
                if isMarked { continuation.resume() }
            }
        } onCancel: {
            mark()
        }
    }
}
