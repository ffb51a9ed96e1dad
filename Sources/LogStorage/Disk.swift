import Glibc

/// What the engine asks of a file system. All paths are relative to one directory, the store's.
///
/// The real one is `SystemDisk`; tests put one in its place that knows which bytes are synced, can
/// crash at any call and fail any call. Nothing here retries, guesses or hides an error.
public protocol Disk: AnyObject, Sendable {
    /// Makes a directory that only we may enter. One that is there already is no error.
    func makeDirectory(_ path: String) throws(DiskError)
    func open(_ path: String, _ opening: DiskOpening) throws(DiskError) -> any DiskFile
    /// Replaces what is at `target`.
    func rename(_ path: String, to target: String) throws(DiskError)
    /// One more name for a file. Throws if there is something of that name.
    func link(_ path: String, to target: String) throws(DiskError)
    func remove(_ path: String) throws(DiskError)
    func removeDirectory(_ path: String) throws(DiskError)
    /// Names in a directory, in no order; none if the directory is not there.
    func names(in directory: String) throws(DiskError) -> [String]
    /// Makes creations, renames and removals in a directory durable. "" is the store's own.
    func syncDirectory(_ path: String) throws(DiskError)
    /// Makes all files and directories durable at once, which is cheaper than many one by one. False,
    /// having done nothing, where the system cannot do it and report errors.
    func syncEverything() throws(DiskError) -> Bool
    /// Bytes that we may still write.
    func freeBytes() throws(DiskError) -> UInt64
    /// Takes the store for this process until the returned value goes away. Throws with
    /// `isHeld` when another has it.
    func lock(_ path: String) throws(DiskError) -> any DiskLock
    /// 64 random bits: ids and salts.
    func randomWord() -> UInt64
    /// Throws when the store's directory was removed or replaced under us.
    func checkStillThere() throws(DiskError)
}

public enum DiskOpening: Sendable {
    /// Reading and writing a file that is there.
    case existing
    /// Reading a file that is there and may not be ours to write.
    case reading
    /// A new file, or one that is there made empty.
    case create
}

/// One open file. Closed when it goes away.
public protocol DiskFile: AnyObject, Sendable {
    var path: String { get }
    /// Reads from `offset` on until `target` is full or the file ends; returns how many bytes.
    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int
    /// Writes all pieces, one behind the other, or throws.
    func write(_ pieces: [UnsafeRawBufferPointer], at offset: Int) throws(DiskError)
    /// Returns when the bytes, and a changed size, are on the disk.
    func syncData() throws(DiskError)
    /// The same with everything else about the file.
    func sync() throws(DiskError)
    func truncate(to size: Int) throws(DiskError)
    /// Takes the room for the first `size` bytes; those that were never written read as zeros. False, having done
    /// nothing, where the file system cannot.
    func allocate(_ size: Int) throws(DiskError) -> Bool
    /// The next read of these bytes should come from the disk, not from the system's memory. A wish: what is
    /// not synced stays there.
    func dropCache(_ range: Range<Int>)
    func size() throws(DiskError) -> Int
}

/// Held for as long as the store is ours.
public protocol DiskLock: AnyObject, Sendable {}

/// What the disk did wrong: which operation, on which file, with the system's number.
public struct DiskError: Error, Equatable, Sendable, CustomStringConvertible {
    public var operation: String
    public var path: String
    public var code: Int32
    public var detail: String

    public init(_ operation: String, _ path: String, code: Int32, detail: String = "") {
        self.operation = operation
        self.path = path
        self.code = code
        self.detail = detail
    }

    /// No room, or not for us: freeing some helps.
    public var isFull: Bool { code == ENOSPC || code == EDQUOT || code == EFBIG }
    public var isMissing: Bool { code == ENOENT }
    public var isHeld: Bool { code == EWOULDBLOCK }

    public var description: String {
        let reason = detail.isEmpty ? String(cString: strerror(code)) : detail
        return "\(operation) of \(path.isEmpty ? "the data directory" : path) failed: \(reason)"
    }
}

extension Disk {
    /// A file is replaced in one step or not at all.
    func replace(_ path: String, _ draft: String, _ bytes: [UInt8]) throws(DiskError) {
        do throws(DiskError) {
            let file = try open(draft, .create)
            try file.write(bytes, at: 0)
            try file.sync()
        } catch {
            // The draft is worth nothing, and may hold room that is needed.
            if error.isFull { discard(draft) }
            throw error
        }
        try rename(draft, to: path)
        try syncDirectory("")
    }

    /// Takes away what is half made. What went wrong before is what counts: a file that could not even be
    /// begun is not there, and one that cannot be removed is of no use to anybody and harms nobody.
    func discard(_ draft: String) {
        do throws(DiskError) { try remove(draft) } catch { return }
    }
}

extension DiskFile {
    /// Writes one run of bytes.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) {
        try write([bytes], at: offset)
    }

    /// The whole file, if it is not larger than `limit`; otherwise its first `limit` bytes.
    func contents(limit: Int) throws(DiskError) -> [UInt8] {
        let length = min(try size(), limit)
        if length <= 0 { return [] }
        var bytes = [UInt8](repeating: 0, count: length)
        let outcome = bytes.withUnsafeMutableBytes { target -> Result<Int, DiskError> in
            do throws(DiskError) {
                return .success(try read(into: target, at: 0))
            } catch {
                return .failure(error)
            }
        }
        let got = try outcome.get()
        if got < length { bytes.removeLast(length - got) }
        return bytes
    }

    /// Writes an array.
    func write(_ bytes: [UInt8], at offset: Int) throws(DiskError) {
        let outcome = bytes.withUnsafeBytes { source -> Result<Void, DiskError> in
            do throws(DiskError) {
                return .success(try write([source], at: offset))
            } catch {
                return .failure(error)
            }
        }
        try outcome.get()
    }
}

extension DiskFile {
    /// The bytes of `range`, zeros where the file is shorter.
    func bytes(_ range: Range<Int>) throws(DiskError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        let outcome = bytes.withUnsafeMutableBytes { target -> Result<Int, DiskError> in
            do throws(DiskError) {
                return .success(try read(into: target, at: range.lowerBound))
            } catch {
                return .failure(error)
            }
        }
        _ = try outcome.get()
        return bytes
    }
}
