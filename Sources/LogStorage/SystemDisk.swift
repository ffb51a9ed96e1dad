import CSystem
import Glibc

/// The file system below one directory. Every name is looked up from the descriptor of that
/// directory, links are not followed, and descriptors do not leak into other programs.
public final class SystemDisk: Disk {
    private let root: String
    private let directory: Int32
    private let device: dev_t
    private let inode: ino_t

    /// Opens the directory, and makes it (not its parents) where it is missing, unless it must exist.
    public init(directory root: String, mustExist: Bool = false) throws(DiskError) {
        if !mustExist {
            if mkdir(root, 0o700) == 0 {
                try Self.syncDirectory(above: root)
            } else if errno != EEXIST {
                throw DiskError("making", root, code: errno)
            }
        }
        let descriptor = Glibc.open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        if descriptor < 0 {
            let code = errno
            let isLink = code == ELOOP || code == ENOTDIR
            throw DiskError("opening", root, code: code, detail: isLink ? "it is not a directory of its own" : "")
        }
        var status = stat()
        if fstat(descriptor, &status) != 0 {
            let code = errno
            close(descriptor)
            throw DiskError("looking at", root, code: code)
        }
        self.root = root
        self.directory = descriptor
        device = status.st_dev
        inode = status.st_ino
    }

    deinit { close(directory) }

    /// A new directory is there after a crash only when the one above it says so.
    private static func syncDirectory(above root: String) throws(DiskError) {
        let descriptor = Glibc.open("\(root)/..", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if descriptor < 0 { throw DiskError("opening", "\(root)/..", code: errno) }
        defer { close(descriptor) }
        if fsync(descriptor) != 0 { throw DiskError("syncing", "\(root)/..", code: errno) }
    }

    public func makeDirectory(_ path: String) throws(DiskError) {
        if mkdirat(directory, path, 0o700) != 0, errno != EEXIST { throw DiskError("making", path, code: errno) }
    }

    public func open(_ path: String, _ opening: DiskOpening) throws(DiskError) -> any DiskFile {
        var flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW
        switch opening {
        case .existing: break
        case .create: flags |= O_CREAT | O_TRUNC
        // Whatever has that name: opening does not wait for anybody.
        case .reading: flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
        }
        return try SystemFile(path: path, descriptor: descriptor(of: path, flags))
    }

    private func descriptor(of path: String, _ flags: Int32) throws(DiskError) -> Int32 {
        while true {
            let descriptor = openat(directory, path.isEmpty ? "." : path, flags, 0o600)
            if descriptor >= 0 { return descriptor }
            if errno != EINTR { throw DiskError("opening", path, code: errno) }
        }
    }

    public func rename(_ path: String, to target: String) throws(DiskError) {
        if renameat(directory, path, directory, target) != 0 { throw DiskError("renaming", path, code: errno) }
    }

    public func link(_ path: String, to target: String) throws(DiskError) {
        if linkat(directory, path, directory, target, 0) != 0 { throw DiskError("linking", path, code: errno) }
    }

    public func remove(_ path: String) throws(DiskError) {
        if unlinkat(directory, path, 0) != 0 { throw DiskError("removing", path, code: errno) }
    }

    public func removeDirectory(_ path: String) throws(DiskError) {
        if unlinkat(directory, path, AT_REMOVEDIR) != 0 { throw DiskError("removing", path, code: errno) }
    }

    public func names(in path: String) throws(DiskError) -> [String] {
        let descriptor: Int32
        do throws(DiskError) {
            descriptor = try self.descriptor(of: path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        } catch {
            if error.isMissing { return [] }
            throw error
        }
        guard let stream = fdopendir(descriptor) else {
            let code = errno
            close(descriptor)
            throw DiskError("listing", path, code: code)
        }
        defer { closedir(stream) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
            errno = 0
        }
        if errno != 0 { throw DiskError("listing", path, code: errno) }
        return names
    }

    public func syncDirectory(_ path: String) throws(DiskError) {
        if path.isEmpty {
            if fsync(directory) != 0 { throw DiskError("syncing", path, code: errno) }
            return
        }
        let descriptor = try descriptor(of: path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        defer { close(descriptor) }
        if fsync(descriptor) != 0 { throw DiskError("syncing", path, code: errno) }
    }

    public func syncEverything() throws(DiskError) -> Bool {
        if !Self.syncfsReportsErrors { return false }
        if csystem_syncfs(directory) != 0 { throw DiskError("syncing", "", code: errno) }
        return true
    }

    /// `syncfs` says when a file could not be written since Linux 5.8.
    private static let syncfsReportsErrors: Bool = {
        var name = utsname()
        if uname(&name) != 0 { return false }
        let release = withUnsafeBytes(of: &name.release) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        let parts = release.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
        return parts.count == 2 && (parts[0] > 5 || parts[0] == 5 && parts[1] >= 8)
    }()

    public func randomWord() -> UInt64 { .random(in: .min ... .max) }

    public func freeBytes() throws(DiskError) -> UInt64 {
        var status = statvfs()
        while fstatvfs(directory, &status) != 0 {
            if errno != EINTR { throw DiskError("asking for the free space", "", code: errno) }
        }
        let (bytes, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        return overflow ? .max : bytes
    }

    public func lock(_ path: String) throws(DiskError) -> any DiskLock {
        let descriptor = try descriptor(of: path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW)
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            if code == EINTR { continue }
            let holder = code == EWOULDBLOCK ? "process \(SystemLock.holder(descriptor)) has it" : ""
            close(descriptor)
            throw DiskError("locking", path, code: code, detail: holder)
        }
        let held = SystemLock(descriptor: descriptor)
        let text = Array("\(getpid())\n".utf8)
        if ftruncate(descriptor, 0) != 0 { throw DiskError("writing", path, code: errno) }
        if pwrite(descriptor, text, text.count, 0) != text.count { throw DiskError("writing", path, code: errno) }
        return held
    }

    public func checkStillThere() throws(DiskError) {
        var status = stat()
        if lstat(root, &status) != 0 { throw DiskError("looking at", root, code: errno) }
        if status.st_dev != device || status.st_ino != inode {
            throw DiskError("looking at", root, code: ESTALE, detail: "another directory has taken its place")
        }
    }
}

private final class SystemLock: DiskLock {
    private let descriptor: Int32

    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// The process that wrote its number into the lock file.
    static func holder(_ descriptor: Int32) -> String {
        var text = [UInt8](repeating: 0, count: 16)
        let count = pread(descriptor, &text, text.count, 0)
        let digits = text.prefix(max(0, count)).filter { $0 >= 48 && $0 <= 57 }
        return digits.isEmpty ? "?" : String(decoding: digits, as: UTF8.self)
    }
}

private final class SystemFile: DiskFile {
    let path: String
    private let descriptor: Int32

    /// `IOV_MAX` of Linux: what one call takes.
    private static let vectorsMax = 1024

    init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        guard let base = target.baseAddress else { return 0 }
        var done = 0
        while done < target.count {
            let count = pread(descriptor, base + done, target.count - done, off_t(offset + done))
            if count == 0 { break }
            if count > 0 {
                done += count
            } else if errno != EINTR {
                throw DiskError("reading", path, code: errno)
            }
        }
        return done
    }

    func write(_ pieces: [UnsafeRawBufferPointer], at offset: Int) throws(DiskError) {
        var at = offset
        var next = 0
        let most = min(pieces.count, Self.vectorsMax)
        if most == 0 { return }
        let outcome = withUnsafeTemporaryAllocation(of: iovec.self, capacity: most) { vectors -> DiskError? in
            while next < pieces.count {
                let count = min(most, pieces.count - next)
                for index in 0..<count {
                    let piece = pieces[next + index]
                    let base = UnsafeMutableRawPointer(mutating: piece.baseAddress)
                    vectors[index] = iovec(iov_base: base, iov_len: piece.count)
                }
                if let error = writeAll(UnsafeMutableBufferPointer(rebasing: vectors[0..<count]), at: &at) {
                    return error
                }
                next += count
            }
            return nil
        }
        if let outcome { throw outcome }
    }

    /// One call where the kernel takes everything; goes on where it did not.
    private func writeAll(_ vectors: UnsafeMutableBufferPointer<iovec>, at offset: inout Int) -> DiskError? {
        var first = 0
        while first < vectors.count {
            if vectors[first].iov_len == 0 {
                first += 1
                continue
            }
            let base = vectors.baseAddress.unsafelyUnwrapped + first
            let written = pwritev(descriptor, base, Int32(vectors.count - first), off_t(offset))
            if written < 0 {
                if errno == EINTR { continue }
                return DiskError("writing", path, code: errno)
            }
            if written == 0 { return DiskError("writing", path, code: EIO, detail: "nothing was taken") }
            offset += written
            var rest = written
            while rest > 0 {
                let length = vectors[first].iov_len
                if rest >= length {
                    rest -= length
                    first += 1
                } else {
                    vectors[first].iov_base += rest
                    vectors[first].iov_len -= rest
                    rest = 0
                }
            }
        }
        return nil
    }

    func syncData() throws(DiskError) {
        // Not even after EINTR: whatever went wrong, the kernel may have dropped the pages.
        if fdatasync(descriptor) != 0 { throw DiskError("syncing", path, code: errno) }
    }

    func sync() throws(DiskError) {
        if fsync(descriptor) != 0 { throw DiskError("syncing", path, code: errno) }
    }

    func truncate(to size: Int) throws(DiskError) {
        while ftruncate(descriptor, off_t(size)) != 0 {
            if errno != EINTR { throw DiskError("cutting", path, code: errno) }
        }
    }

    func allocate(_ size: Int) throws(DiskError) -> Bool {
        while csystem_allocate(descriptor, Int64(size)) != 0 {
            // What is not supported is so by the file system, or by the kernel.
            if errno == EOPNOTSUPP || errno == ENOSYS { return false }
            if errno != EINTR { throw DiskError("allocating", path, code: errno) }
        }
        return true
    }

    func dropCache(_ range: Range<Int>) {
        // It may be refused without harm: then less is found.
        _ = posix_fadvise(descriptor, off_t(range.lowerBound), off_t(range.count), POSIX_FADV_DONTNEED)
    }

    func size() throws(DiskError) -> Int {
        var status = stat()
        if fstat(descriptor, &status) != 0 { throw DiskError("looking at", path, code: errno) }
        return Int(status.st_size)
    }
}
