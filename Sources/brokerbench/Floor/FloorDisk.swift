import Base
import CSystem
import Glibc
import Synchronization

/// A thread that writes and syncs one batch after the other. At most one is on its way.
final class FloorDisk: Sendable {
    /// Becomes readable when the batch is on the disk.
    let done: Int32
    private let call: Int32
    private let batch = Mutex(Buffer())
    private let file: Mutex<FloorFile>

    /// The file is made here, so that a directory that cannot be used is told before the start.
    init(_ options: FloorOptions) throws {
        done = csystem_watch_bell(0)
        call = csystem_watch_bell(1)
        file = Mutex(try FloorFile(options))
        guard done >= 0, call >= 0 else { throw Failure.system("eventfd") }
        _ = try Worker { [self] in serve() }
    }

    /// Takes the batch and leaves an empty buffer. To be called again only when `done` was heard.
    func hand(_ bytes: inout Buffer) throws(Failure) {
        batch.withLock { swap(&$0, &bytes) }
        guard csystem_watch_ring(call) == 0 else { throw Failure.system("eventfd") }
    }

    private func serve() {
        csystem_name_thread("disk")
        do {
            var bytes = Buffer()
            while true {
                while csystem_watch_hear(call) != 0 {
                    guard errno == EINTR else { throw Failure.system("eventfd") }
                }
                batch.withLock { swap(&$0, &bytes) }
                try file.withLock { try $0.append(UnsafeRawBufferPointer(bytes.readable)) }
                bytes.clear()
                guard csystem_watch_ring(done) == 0 else { throw Failure.system("eventfd") }
            }
        } catch {
            // Nobody would ever be answered again.
            Bench.complain((error as? Failure)?.line ?? "\(error)")
            exit(1)
        }
    }
}
