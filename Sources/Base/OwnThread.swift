import Glibc

/// A thread of our own: what blocks, or serves sockets for life, must not sit on a shared pool.
public enum OwnThread {
    private final class Work: Sendable {
        let name: String
        let body: @Sendable () -> Void
        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Runs `body` on a new thread that takes no signals. False if there can be none.
    public static func run(_ name: String, _ body: @escaping @Sendable () -> Void) -> Bool {
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
