import Dispatch
import Glibc
import Synchronization

/// A thread that makes one value.
final class Worker<Value: Sendable>: Sendable {
    private let outcome = Mutex<Value?>(nil)
    private let ended = DispatchGroup()

    init(_ body: @escaping @Sendable () -> Value) throws {
        ended.enter()
        let start = Unmanaged.passRetained(
            Start { [self] in
                let value = body()
                outcome.withLock { $0 = value }
                ended.leave()
            })
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, runStart, start.toOpaque())
        guard code == 0 else {
            start.release()
            ended.leave()
            throw Failure.system("cannot start a thread", code)
        }
        pthread_detach(thread)
    }

    /// Waits for the end of the thread.
    func join() throws -> Value {
        ended.wait()
        guard let value = outcome.withLock({ $0 }) else { throw Failure("a thread ended without a result") }
        return value
    }
}

private final class Start: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

private func runStart(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let argument { Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body() }
    return nil
}
