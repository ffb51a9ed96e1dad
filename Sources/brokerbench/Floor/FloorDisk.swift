import Base
import CSystem
import Dispatch
import Glibc
import Synchronization

/// A thread that writes and syncs one batch after the other. At most one is on its way.
final class FloorDisk: Sendable {
    /// Rings when the batch is on the disk.
    let done: Int32
    private let call = DispatchSemaphore(value: 0)
    private let batch = Mutex(Buffer())
    private let file: Mutex<FloorFile>

    /// The file is made here, so that a directory that cannot be used is told before the start.
    init(_ options: FloorOptions, ringing epoll: Int32) throws {
        done = csystem_bell_create(epoll)
        file = Mutex(try FloorFile(options))
        guard done >= 0 else { throw Failure.system("eventfd") }
        _ = try Worker { [self] in serve() }
    }

    /// Takes the batch and leaves an empty buffer. To be called again only when `done` was heard.
    func hand(_ bytes: inout Buffer) {
        batch.withLock { swap(&$0, &bytes) }
        call.signal()
    }

    private func serve() {
        csystem_name_thread("disk")
        do {
            var bytes = Buffer()
            while true {
                call.wait()
                batch.withLock { swap(&$0, &bytes) }
                try file.withLock { try $0.append(UnsafeRawBufferPointer(bytes.readable)) }
                bytes.clear()
                csystem_bell_ring(done)
            }
        } catch {
            // Nobody would ever be answered again.
            Bench.complain((error as? Failure)?.line ?? "\(error)")
            exit(1)
        }
    }
}
