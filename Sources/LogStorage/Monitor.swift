import CSystem
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

/// A thread of our own: blocking disk operations must not sit on a shared pool.
enum OwnThread {
    private final class Work: Sendable {
        let name: String
        let body: @Sendable () -> Void
        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Runs `body` on a new thread that takes no signals. False if there can be none.
    static func run(_ name: String, _ body: @escaping @Sendable () -> Void) -> Bool {
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        defer { pthread_attr_destroy(&attributes) }
        let work = Unmanaged.passRetained(Work(name, body))
        var thread = pthread_t()
        let entry: @convention(c) @Sendable (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { pointer in
            guard let pointer else { return nil }
            let work = Unmanaged<Work>.fromOpaque(pointer).takeRetainedValue()
            OwnThread.setName(work.name)
            work.body()
            return nil
        }
        if pthread_create(&thread, &attributes, entry, work.toOpaque()) != 0 {
            work.release()
            return false
        }
        return true
    }

    /// For who looks at the process with `top -H`. Without /proc the thread just has no name.
    private static func setName(_ name: String) {
        let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        if descriptor < 0 { return }
        _ = write(descriptor, name, name.utf8.count)
        close(descriptor)
    }
}
