import Base
import Glibc

/// The one file that all is appended to. Nothing is ever read from it.
final class FloorFile {
    private let descriptor: Int32
    /// Where it begins again from the front; nil: it grows.
    private let end: Int?
    private let isSynced: Bool
    private var at = 0

    init(_ options: FloorOptions) throws(Failure) {
        guard mkdir(options.directory, 0o755) == 0 || errno == EEXIST else {
            throw Failure.system("cannot make \(options.directory)")
        }
        let path = options.directory + "/log"
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Failure.system("cannot open \(path)") }
        end = options.preallocatedMiB > 0 ? Int(options.preallocatedMiB) << 20 : nil
        isSynced = options.storing != .unsynced
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        for piece in 0..<Int(options.preallocatedMiB) { try write(zeros.withUnsafeBytes { $0 }, at: piece << 20) }
        guard fsync(descriptor) == 0 else { throw Failure.system("cannot sync \(path)") }
    }

    deinit { close(descriptor) }

    /// Afterwards the bytes are on the disk, unless nothing is to be synced.
    func append(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
        if let end, at + bytes.count > end { at = 0 }
        try write(bytes, at: at)
        at += bytes.count
        if isSynced, fdatasync(descriptor) != 0 { throw Failure.system("cannot sync") }
    }

    private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(Failure) {
        guard let base = bytes.baseAddress else { return }
        var done = 0
        while done < bytes.count {
            let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset + done))
            if count > 0 {
                done += count
            } else if errno != EINTR {
                throw Failure.system("cannot write")
            }
        }
    }
}
