import Glibc

/// A value behind a lock for short critical sections that several threads want all the time.
///
/// The standard library's `Mutex` is a priority-inheriting futex on Linux: when it is contended it is handed over to
/// the sleeping waiter, so that nobody holds it for the time of a wake-up (50 µs were seen), and all who come
/// meanwhile queue up behind. This one (glibc's adaptive mutex) spins for a moment, and whoever runs may take it.
// Sendable: `value` is under `lock`
public final class SpinningLock<Value: ~Copyable & Sendable>: @unchecked Sendable {
    private var value: Value
    private let lock: UnsafeMutablePointer<pthread_mutex_t>

    public init(_ value: consuming Value) {
        self.value = value
        lock = .allocate(capacity: 1)
        var attributes = pthread_mutexattr_t()
        pthread_mutexattr_init(&attributes)
        pthread_mutexattr_settype(&attributes, Int32(PTHREAD_MUTEX_ADAPTIVE_NP))
        pthread_mutex_init(lock, &attributes)
        pthread_mutexattr_destroy(&attributes)
    }

    deinit {
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    @inline(__always)
    public func withLock<Result: ~Copyable>(_ body: (inout Value) -> Result) -> Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return body(&value)
    }
}
