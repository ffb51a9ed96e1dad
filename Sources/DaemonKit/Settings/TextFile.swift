import Base
import Glibc

/// Reads a small file whole.
enum TextFile {
    struct Failure: Error, Equatable {
        let sentence: String
    }

    /// The bytes of the file, which has at most `limit`. Anything but a regular file is refused: a
    /// pipe could keep the caller waiting for ever.
    static func read(_ path: String, limit: Int) throws(Failure) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw unreadable() }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw unreadable() }
        guard status.st_mode & S_IFMT == S_IFREG else { throw Failure(sentence: "it is not a regular file") }
        return try bytes(of: descriptor, limit: limit)
    }

    private static func bytes(of descriptor: Int32, limit: Int) throws(Failure) -> [UInt8] {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(descriptor, &piece, piece.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw unreadable()
            }
            bytes += piece[..<count]
            if bytes.count > limit { throw Failure(sentence: "the file is larger than \(ByteSize.text(limit))") }
        }
    }

    private static func unreadable() -> Failure {
        Failure(sentence: "the file cannot be read: \(String(cString: strerror(errno)))")
    }
}
