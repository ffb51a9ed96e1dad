import Glibc
import Synchronization

/// A disk on which a start can be tried. Reading goes through to the one below; what would be changed is
/// remembered by name only, and no byte of it is written.
///
/// So what `brokerctl store check` says about a start is said by the start itself.
final class TrialDisk: Disk {
    private struct State {
        /// Files and directories that would have been made.
        var made: Set<String> = []
        /// Names that would have gone.
        var gone: Set<String> = []
        /// New names of files that are there.
        var moved: [String: String] = [:]
    }

    private let disk: any Disk
    private let state = Mutex(State())

    init(_ disk: any Disk) { self.disk = disk }

    /// Where the bytes of `path` are: in a file below, or nowhere.
    private enum Place {
        case below(String)
        case made
        case gone
    }

    private func place(_ path: String) -> Place {
        state.withLock { state in
            if state.made.contains(path) { return .made }
            if let below = state.moved[path] { return .below(below) }
            return state.gone.contains(path) ? .gone : .below(path)
        }
    }

    func makeDirectory(_ path: String) throws(DiskError) { state.withLock { _ = $0.made.insert(path) } }

    func open(_ path: String, _ opening: DiskOpening) throws(DiskError) -> any DiskFile {
        if case .create = opening {
            state.withLock { _ = $0.made.insert(path) }
            return TrialFile(path, nil)
        }
        switch place(path) {
        case .made: return TrialFile(path, nil)
        case .gone: throw DiskError("opening", path, code: ENOENT)
        case .below(let below): return TrialFile(path, try disk.open(below, .existing))
        }
    }

    func rename(_ path: String, to target: String) throws(DiskError) {
        let place = place(path)
        try state.withLock { (state) throws(DiskError) in
            switch place {
            case .made:
                state.made.remove(path)
                state.made.insert(target)
            case .below(let below):
                state.moved[path] = nil
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
            state.made.remove(path)
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
            for path in state.made.union(state.moved.keys) where path.hasPrefix(prefix) {
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

private final class TrialFile: DiskFile {
    let path: String
    /// nil for a file that would have been made.
    private let file: (any DiskFile)?

    init(_ path: String, _ file: (any DiskFile)?) {
        self.path = path
        self.file = file
    }

    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        try file?.read(into: target, at: offset) ?? 0
    }

    func write(_ pieces: [UnsafeRawBufferPointer], at offset: Int) throws(DiskError) {}
    func syncData() throws(DiskError) {}
    func sync() throws(DiskError) {}
    func truncate(to size: Int) throws(DiskError) {}
    func dropCache(_ range: Range<Int>) { file?.dropCache(range) }
    func size() throws(DiskError) -> Int { try file?.size() ?? 0 }
}
