import Glibc

/// State that threads share and wait on: a lock and a bell.
final class Monitor<State>: @unchecked Sendable {  // Sendable: `state` is only reached with the lock held
    private var state: State
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let bell: UnsafeMutablePointer<pthread_cond_t>

    init(_ state: State) {
        self.state = state
        lock = .allocate(capacity: 1)
        bell = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(bell, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(bell)
        pthread_mutex_destroy(lock)
        bell.deallocate()
        lock.deallocate()
    }

    func withLock<Result>(_ body: (inout State) -> Result) -> Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return body(&state)
    }

    /// Wakes who waits.
    func ring() { pthread_cond_broadcast(bell) }

    /// Waits until `body` gives something, or `milliseconds` passed; then nil. It is asked first at
    /// once, then after each `ring`.
    func wait<Result>(milliseconds: Int? = nil, _ body: (inout State) -> Result?) -> Result? {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        var deadline = timespec()
        if let milliseconds {
            clock_gettime(CLOCK_MONOTONIC, &deadline)
            deadline.tv_nsec += (milliseconds % 1000) * 1_000_000
            deadline.tv_sec += milliseconds / 1000 + deadline.tv_nsec / 1_000_000_000
            deadline.tv_nsec %= 1_000_000_000
        }
        while true {
            if let result = body(&state) { return result }
            if milliseconds == nil {
                pthread_cond_wait(bell, lock)
            } else if pthread_cond_timedwait(bell, lock, &deadline) == ETIMEDOUT {
                return body(&state)
            }
        }
    }
}
