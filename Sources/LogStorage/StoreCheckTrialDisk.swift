import Glibc
import Synchronization

/// A disk on which a start can be tried. Reading goes through to the one below; what would be changed there is
/// forgotten, and no byte of it is written. Files that would be made are kept in memory, as far as a start reads
/// them again: their first `TrialBytes.keptMax` bytes.
///
/// So what `brokerctl store check` says about a start is said by the start itself.
final class TrialDisk: Disk {
    private struct State {
        /// Files and directories that would have been made.
        var made: [String: TrialBytes] = [:]
        /// Names that would have gone.
        var gone: Set<String> = []
        /// New names of files that are there.
        var moved: [String: String] = [:]
    }

    private let disk: any Disk
    private let state = Mutex(State())

    init(_ disk: any Disk) { self.disk = disk }

    /// Where the bytes of `path` are: in a file below, in memory, or nowhere.
    private enum Place {
        case below(String)
        case made(TrialBytes)
        case gone
    }

    private func place(_ path: String) -> Place {
        state.withLock { state in
            if let made = state.made[path] { return .made(made) }
            if let below = state.moved[path] { return .below(below) }
            return state.gone.contains(path) ? .gone : .below(path)
        }
    }

    func makeDirectory(_ path: String) throws(DiskError) { state.withLock { $0.made[path] = TrialBytes() } }

    func open(_ path: String, _ opening: DiskOpening) throws(DiskError) -> any DiskFile {
        if case .create = opening {
            let made = TrialBytes()
            state.withLock { $0.made[path] = made }
            return MadeFile(path, made)
        }
        switch place(path) {
        case .made(let made): return MadeFile(path, made)
        case .gone: throw DiskError("opening", path, code: ENOENT)
        case .below(let below): return TrialFile(path, try disk.open(below, .existing))
        }
    }

    func rename(_ path: String, to target: String) throws(DiskError) {
        let place = place(path)
        try state.withLock { (state) throws(DiskError) in
            switch place {
            case .made(let made):
                state.made[path] = nil
                state.made[target] = made
            case .below(let below):
                state.moved[path] = nil
                state.made[target] = nil
                state.moved[target] = below
            case .gone: throw DiskError("renaming", path, code: ENOENT)
            }
            state.gone.insert(path)
        }
    }

    func link(_ path: String, to target: String) throws(DiskError) {
        if case .below(let below) = place(path) { state.withLock { $0.moved[target] = below } }
    }

    func remove(_ path: String) throws(DiskError) {
        state.withLock { state in
            state.made[path] = nil
            state.moved[path] = nil
            state.gone.insert(path)
        }
    }

    func removeDirectory(_ path: String) throws(DiskError) { try remove(path) }

    func names(in directory: String) throws(DiskError) -> [String] {
        let prefix = directory.isEmpty ? "" : directory + "/"
        let below = try disk.names(in: directory)
        return state.withLock { state in
            var names = Set(below.filter { !state.gone.contains(prefix + $0) })
            for path in Set(state.made.keys).union(state.moved.keys) where path.hasPrefix(prefix) {
                let rest = path.dropFirst(prefix.count)
                if !rest.contains("/") { names.insert(String(rest)) }
            }
            return names.sorted()
        }
    }

    func syncDirectory(_ path: String) throws(DiskError) {}
    func syncEverything() throws(DiskError) -> Bool { true }
    func freeBytes() throws(DiskError) -> UInt64 { try disk.freeBytes() }
    /// Whoever tries a start has the lock already.
    func lock(_ path: String) throws(DiskError) -> any DiskLock { TrialLock() }
    func randomWord() -> UInt64 { disk.randomWord() }
    func checkStillThere() throws(DiskError) { try disk.checkStillThere() }
}

private final class TrialLock: DiskLock {}

/// A file below, of which only reading is meant.
private final class TrialFile: DiskFile {
    let path: String
    private let file: any DiskFile

    init(_ path: String, _ file: any DiskFile) {
        self.path = path
        self.file = file
    }

    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        try file.read(into: target, at: offset)
    }

    func write(_ pieces: [UnsafeRawBufferPointer], at offset: Int) throws(DiskError) {}
    func syncData() throws(DiskError) {}
    func sync() throws(DiskError) {}
    func truncate(to size: Int) throws(DiskError) {}
    func allocate(_ size: Int) throws(DiskError) -> Bool { true }
    func dropCache(_ range: Range<Int>) { file.dropCache(range) }
    func size() throws(DiskError) -> Int { try file.size() }
}

/// What is in a file that would have been made, whatever its name becomes. Behind what is kept it reads as zeros,
/// which is what a new segment has there.
private final class TrialBytes: Sendable {
    struct State {
        var kept: [UInt8] = []
        var size = 0
    }

    static let keptMax = 64 << 10
    let state = Mutex(State())
}

/// A file that would have been made.
private final class MadeFile: DiskFile {
    let path: String
    private let made: TrialBytes

    init(_ path: String, _ made: TrialBytes) {
        self.path = path
        self.made = made
    }

    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        let (kept, size) = made.state.withLock { ($0.kept, $0.size) }
        let count = min(target.count, size - offset)
        if count <= 0 { return 0 }
        let known = max(0, min(count, kept.count - offset))
        if known > 0 { target.copyBytes(from: kept[offset..<offset + known]) }
        UnsafeMutableRawBufferPointer(rebasing: target[known..<count]).initializeMemory(as: UInt8.self, repeating: 0)
        return count
    }

    func write(_ pieces: [UnsafeRawBufferPointer], at offset: Int) throws(DiskError) {
        made.state.withLock { state in
            var at = offset
            for piece in pieces {
                Self.keep(piece, at, &state.kept)
                at += piece.count
            }
            state.size = max(state.size, at)
        }
    }

    private static func keep(_ piece: UnsafeRawBufferPointer, _ offset: Int, _ kept: inout [UInt8]) {
        let end = min(TrialBytes.keptMax, offset + piece.count)
        if end <= offset { return }
        if kept.count < end { kept += [UInt8](repeating: 0, count: end - kept.count) }
        kept.replaceSubrange(offset..<end, with: piece[..<(end - offset)])
    }

    func syncData() throws(DiskError) {}
    func sync() throws(DiskError) {}

    func truncate(to size: Int) throws(DiskError) {
        made.state.withLock { state in
            state.size = size
            if state.kept.count > size { state.kept.removeLast(state.kept.count - size) }
        }
    }

    func allocate(_ size: Int) throws(DiskError) -> Bool {
        made.state.withLock { $0.size = max($0.size, size) }
        return true
    }

    func dropCache(_ range: Range<Int>) {}
    func size() throws(DiskError) -> Int { made.state.withLock { $0.size } }
}
