import Glibc
import LogStorage

/// A directory of the real file system that goes with the test.
final class TemporaryDirectory {
    let path = "/tmp/brokerd-test-\(getpid())-\(UInt64.random(in: .min ... .max))"

    init() throws(DiskError) { _ = try SystemDisk(directory: path) }

    deinit { Self.remove(path) }

    private static func remove(_ path: String) {
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
            let names = try? SystemDisk(directory: path, mustExist: true).names(in: "")
        {
            for name in names { remove("\(path)/\(name)") }
        }
        _ = Glibc.remove(path)
    }
}
