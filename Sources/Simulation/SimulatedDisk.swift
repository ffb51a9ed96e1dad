import Base
import Glibc
import LogStorage
import Synchronization

/// A disk in memory that knows what is synced. Its faults:
///
///     power cut       of each file: its synced bytes and any part of what was written since, in sectors of 512
///                     bytes and in any order (lost, reordered, torn); a size that grew without its bytes (zero
///                     tail). Of each directory: its synced entries and the first so many changes since
///     kill            everything that was written stays, synced or not
///     recycled file   holds what an earlier use left behind, as any file does here
///     EIO             of any operation, once or from then on. A write that fails has done a part of its work. A
///                     sync that fails may lose what it was to write, which the kernel then takes for clean: it
///                     is read back until the power is cut, and a second sync says that all is well
///     full            writes beyond `capacity` do the part for which there is room, and fail with ENOSPC
///     slow            is the simulator's to decide: nothing here takes time
///
/// Nothing is lost that was synced, unless a test damages it by hand.
package final class SimulatedDisk: Disk {
    package enum Kind: Sendable {
        case open, create, read, write, sync, truncate, rename, link, remove, makeDirectory, syncDirectory, list
    }

    package struct Operation: Sendable {
        package var index: Int
        package var kind: Kind
        package var path: String
    }

    package struct Inode: Sendable {
        package var bytes: [UInt8] = []
        package var synced: [UInt8] = []
        package var pending: [Change] = []

        package enum Change: Sendable {
            case write(Int, [UInt8])
            case truncate(Int)
        }

        package mutating func apply(_ change: Change) {
            switch change {
            case .truncate(let size):
                if size < bytes.count { bytes.removeLast(bytes.count - size) }
                if size > bytes.count { bytes.append(contentsOf: repeatElement(0, count: size - bytes.count)) }
            case .write(let offset, let run):
                if bytes.count < offset + run.count {
                    bytes.append(contentsOf: repeatElement(0, count: offset + run.count - bytes.count))
                }
                bytes.replaceSubrange(offset..<offset + run.count, with: run)
            }
        }
    }

    package enum NameChange: Sendable {
        case link(String, Int)
        case unlink(String)
        case rename(String, String)
    }

    /// All that there is; a value, so that a crash is a copy.
    package struct Image: Sendable {
        package var inodes: [Int: Inode] = [:]
        package var names: [String: Int] = [:]
        package var syncedNames: [String: Int] = [:]
        package var pendingNames: [String: [NameChange]] = [:]
        package var nextInode = 1
        /// Files of which the kernel takes some bytes for written that are not.
        package var forgetful: Set<Int> = []
        package var capacity = 1 << 40

        package init() {}

        package static let directory = 0

        package var used: Int { Set(names.values).reduce(0) { $0 + (inodes[$1]?.bytes.count ?? 0) } }

        package static func parent(_ path: String) -> String {
            path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
        }

        package mutating func change(_ change: NameChange, in directory: String) {
            Self.apply(change, to: &names)
            pendingNames[directory, default: []].append(change)
        }

        package static func apply(_ change: NameChange, to names: inout [String: Int]) {
            switch change {
            case .link(let path, let inode): names[path] = inode
            case .unlink(let path): names[path] = nil
            case .rename(let from, let to):
                if let inode = names.removeValue(forKey: from) { names[to] = inode }
            }
        }

        package mutating func syncDirectory(_ directory: String) {
            for change in pendingNames[directory] ?? [] { Self.apply(change, to: &syncedNames) }
            pendingNames[directory] = nil
        }

        /// What a power cut leaves; `keep` 0 nothing that was not synced, 1 all of it, else by dice.
        package func afterPowerCut(_ keep: Int, _ dice: inout SplitMix64) -> Image {
            var after = Image()
            after.capacity = capacity
            after.nextInode = nextInode
            var left = syncedNames
            for directory in pendingNames.keys.sorted() {
                let changes = pendingNames[directory] ?? []
                let count = keep == 0 ? 0 : keep == 1 ? changes.count : dice.roll(0..<changes.count + 1)
                for change in changes[..<count] { Self.apply(change, to: &left) }
            }
            for path in left.keys.sorted() {
                var parent = Self.parent(path)
                var isReachable = true
                while !parent.isEmpty {
                    if left[parent] == nil { isReachable = false }
                    parent = Self.parent(parent)
                }
                guard isReachable, let id = left[path] else { continue }
                after.names[path] = id
                if id == Self.directory || after.inodes[id] != nil { continue }
                guard let inode = inodes[id] else { continue }
                let bytes = Self.cut(inode, keep, &dice)
                after.inodes[id] = Inode(bytes: bytes, synced: bytes)
            }
            after.syncedNames = after.names
            return after
        }

        private static func cut(_ inode: Inode, _ keep: Int, _ dice: inout SplitMix64) -> [UInt8] {
            if keep == 1 { return inode.bytes }
            var left = Inode(bytes: inode.synced)
            if keep == 0 { return left.bytes }
            let way = dice.roll(0..<5)
            if way == 0 { return left.bytes }
            if way == 1 { return inode.bytes }
            let prefix = way == 2 ? dice.roll(0..<inode.pending.count + 1) : inode.pending.count
            for change in inode.pending[..<prefix] {
                guard way > 2, case .write(let offset, let run) = change else {
                    left.apply(change)
                    continue
                }
                var at = 0
                while at < run.count {
                    let sector = 512 - (offset + at) % 512
                    let end = min(run.count, at + sector)
                    // The size may be there without the bytes: then zeros are.
                    if dice.oneIn(2) {
                        left.apply(.write(offset + at, Array(run[at..<end])))
                    } else if way == 4, left.bytes.count < offset + end {
                        left.apply(.truncate(offset + end))
                    }
                    at = end
                }
            }
            return left.bytes
        }
    }

    package let image: Mutex<Image>
    private let counter = Atomic<Int>(0)
    /// In a struct: a closure that is itself the value of a `Mutex` is wrapped once more at each access,
    /// until calling it overflows the stack.
    package struct Hooks: Sendable {
        /// Asked before each operation: an error number makes it fail.
        package var fault: (@Sendable (Operation) -> Int32?)?
        /// Told before each operation; may use the disk and the store.
        package var watch: (@Sendable (Operation) -> Void)?
        /// A sync that fails may lose what it was to write.
        package var losesWhenSyncFails = false
    }

    package let hooks = Mutex(Hooks())
    /// What the free space is said to be.
    package let free = Mutex<UInt64>(1 << 40)
    private let isLocked = Mutex(false)

    private let words: Mutex<SplitMix64>

    package init(_ image: Image = Image(), seed: UInt64 = .random(in: .min ... .max)) {
        self.image = Mutex(image)
        words = Mutex(SplitMix64(seed: seed))
    }

    package var operations: Int { counter.load(ordering: .relaxed) }

    package func copy() -> Image { image.withLock { $0 } }

    /// Changes the synced bytes of a file, as damage does.
    package func damage(_ path: String, _ change: (inout [UInt8]) -> Void) {
        image.withLock { image in
            guard let id = image.names[path] else { return }
            var inode = image.inodes[id] ?? Inode()
            change(&inode.bytes)
            image.inodes[id] = Inode(bytes: inode.bytes, synced: inode.bytes)
        }
    }

    package func bytes(_ path: String) -> [UInt8]? {
        image.withLock { image in image.names[path].flatMap { image.inodes[$0]?.bytes } }
    }

    package func put(_ path: String, _ bytes: [UInt8]) {
        image.withLock { image in
            let id = image.nextInode
            image.nextInode += 1
            image.inodes[id] = SimulatedDisk.Inode(bytes: bytes, synced: bytes)
            image.names[path] = id
            image.syncedNames[path] = id
        }
    }

    package func drop(_ path: String) {
        image.withLock { image in
            image.names[path] = nil
            image.syncedNames[path] = nil
        }
    }

    package var paths: [String] { image.withLock { $0.names.keys.sorted() } }

    fileprivate func begin(_ kind: Kind, _ path: String) throws(DiskError) {
        let index = counter.add(1, ordering: .relaxed).newValue
        let operation = Operation(index: index, kind: kind, path: path)
        let hooks = hooks.withLock { $0 }
        hooks.watch?(operation)
        if let code = hooks.fault?(operation) {
            throw DiskError("\(kind)", path, code: code)
        }
    }

    // MARK: Disk

    package func makeDirectory(_ path: String) throws(DiskError) {
        try begin(.makeDirectory, path)
        let hasParent = image.withLock { image in
            let parent = Image.parent(path)
            if !parent.isEmpty, image.names[parent] == nil { return false }
            if image.names[path] == nil { image.change(.link(path, Image.directory), in: parent) }
            return true
        }
        if !hasParent { throw DiskError("makeDirectory", path, code: ENOENT) }
    }

    package func open(_ path: String, _ opening: DiskOpening) throws(DiskError) -> any DiskFile {
        if case .create = opening { try begin(.create, path) } else { try begin(.open, path) }
        let id = image.withLock { image -> Int? in
            if let id = image.names[path] {
                if case .create = opening {
                    image.inodes[id]?.apply(.truncate(0))
                    image.inodes[id]?.pending.append(.truncate(0))
                }
                return id
            }
            guard case .create = opening else { return nil }
            let parent = Image.parent(path)
            if !parent.isEmpty, image.names[parent] == nil { return nil }
            let id = image.nextInode
            image.nextInode += 1
            image.inodes[id] = Inode()
            image.change(.link(path, id), in: parent)
            return id
        }
        guard let id else { throw DiskError("open", path, code: ENOENT) }
        return SimulatedFile(self, path, id)
    }

    package func rename(_ path: String, to target: String) throws(DiskError) {
        try begin(.rename, path)
        let isThere = image.withLock { image in
            let isThere = image.names[path] != nil
            if isThere { image.change(.rename(path, target), in: Image.parent(path)) }
            return isThere
        }
        if !isThere { throw DiskError("rename", path, code: ENOENT) }
    }

    package func link(_ path: String, to target: String) throws(DiskError) {
        try begin(.link, target)
        let code = image.withLock { image -> Int32 in
            guard let id = image.names[path], id != Image.directory else { return ENOENT }
            if image.names[target] != nil { return EEXIST }
            let parent = Image.parent(target)
            if !parent.isEmpty, image.names[parent] == nil { return ENOENT }
            image.change(.link(target, id), in: parent)
            return 0
        }
        if code != 0 { throw DiskError("link", path, code: code) }
    }

    package func remove(_ path: String) throws(DiskError) {
        try begin(.remove, path)
        let isThere = image.withLock { image in
            let isThere = image.names[path] != nil
            if isThere { image.change(.unlink(path), in: Image.parent(path)) }
            return isThere
        }
        if !isThere { throw DiskError("remove", path, code: ENOENT) }
    }

    package func removeDirectory(_ path: String) throws(DiskError) {
        try begin(.remove, path)
        let code = image.withLock { image -> Int32 in
            if image.names[path] == nil { return ENOENT }
            if image.names.keys.contains(where: { $0.hasPrefix(path + "/") }) { return ENOTEMPTY }
            image.change(.unlink(path), in: Image.parent(path))
            return 0
        }
        if code != 0 { throw DiskError("remove", path, code: code) }
    }

    package func names(in directory: String) throws(DiskError) -> [String] {
        try begin(.list, directory)
        let prefix = directory.isEmpty ? "" : directory + "/"
        return image.withLock { image in
            image.names.keys.filter { $0.hasPrefix(prefix) && !$0.dropFirst(prefix.count).contains("/") }
                .map { String($0.dropFirst(prefix.count)) }
        }
    }

    package func syncDirectory(_ path: String) throws(DiskError) {
        try begin(.syncDirectory, path)
        image.withLock { $0.syncDirectory(path) }
    }

    package func syncEverything() throws(DiskError) -> Bool {
        try begin(.sync, "")
        image.withLock { image in
            for (id, inode) in image.inodes {
                image.inodes[id] = SimulatedDisk.Inode(bytes: inode.bytes, synced: inode.bytes)
            }
            for directory in image.pendingNames.keys.sorted() { image.syncDirectory(directory) }
        }
        return true
    }

    package func randomWord() -> UInt64 { words.withLock { $0.next() } }

    package func freeBytes() throws(DiskError) -> UInt64 { free.withLock { $0 } }

    package func lock(_ path: String) throws(DiskError) -> any DiskLock {
        let isHeld = isLocked.withLock { isLocked in
            defer { isLocked = true }
            return isLocked
        }
        if isHeld { throw DiskError("locking", path, code: EWOULDBLOCK, detail: "process 1 has it") }
        return SimulatedLock(self)
    }

    package func checkStillThere() throws(DiskError) {}

    /// The kernel gives up on some of what it was to write, and takes it for clean.
    fileprivate func loseUnsynced(_ id: Int) {
        if !hooks.withLock({ $0.losesWhenSyncFails }) { return }
        var dice = SplitMix64(seed: randomWord())
        image.withLock { image in
            guard var inode = image.inodes[id], !inode.pending.isEmpty else { return }
            let before = inode.pending.count
            inode.pending.removeAll { change in
                if case .write = change { return dice.oneIn(2) }
                return false
            }
            if inode.pending.count < before { image.forgetful.insert(id) }
            image.inodes[id] = inode
        }
    }

    fileprivate func unlock() { isLocked.withLock { $0 = false } }
}

private final class SimulatedLock: DiskLock {
    private let disk: SimulatedDisk
    init(_ disk: SimulatedDisk) { self.disk = disk }
    deinit { disk.unlock() }
}

private final class SimulatedFile: DiskFile {
    let path: String
    private let disk: SimulatedDisk
    private let id: Int

    init(_ disk: SimulatedDisk, _ path: String, _ id: Int) {
        self.disk = disk
        self.path = path
        self.id = id
    }

    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        try disk.begin(.read, path)
        return disk.image.withLock { image in
            guard let bytes = image.inodes[id]?.bytes, offset < bytes.count else { return 0 }
            let count = min(target.count, bytes.count - offset)
            bytes.withUnsafeBytes {
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + count]))
            }
            return count
        }
    }

    func write(_ pieces: [UnsafeRawBufferPointer], at offset: Int) throws(DiskError) {
        var run: [UInt8] = []
        for piece in pieces { run.append(contentsOf: piece) }
        do throws(DiskError) {
            try disk.begin(.write, path)
        } catch {
            // A write that fails may have done a part of its work.
            keep(Array(run[..<(run.count / 2)]), at: offset)
            throw error
        }
        if !keep(run, at: offset) { throw DiskError("write", path, code: ENOSPC) }
    }

    /// False when there is no room for all of it.
    @discardableResult private func keep(_ run: [UInt8], at offset: Int) -> Bool {
        disk.image.withLock { image in
            let size = image.inodes[id]?.bytes.count ?? 0
            let growth = max(0, offset + run.count - size)
            let room = growth == 0 ? 0 : max(0, image.capacity - image.used)
            let kept = growth <= room ? run : Array(run[..<max(0, run.count - (growth - room))])
            if !kept.isEmpty {
                image.inodes[id]?.apply(.write(offset, kept))
                image.inodes[id]?.pending.append(.write(offset, kept))
            }
            return kept.count == run.count
        }
    }

    func syncData() throws(DiskError) {
        do throws(DiskError) {
            try disk.begin(.sync, path)
        } catch {
            disk.loseUnsynced(id)
            throw error
        }
        disk.image.withLock { image in
            guard var inode = image.inodes[id] else { return }
            // Only what the kernel holds for dirty goes to the disk.
            var written = SimulatedDisk.Inode(bytes: inode.synced)
            let isAll = image.forgetful.contains(id) == false
            if isAll { written.bytes = inode.bytes } else { for change in inode.pending { written.apply(change) } }
            inode.synced = written.bytes
            inode.pending = []
            image.inodes[id] = inode
        }
    }

    func sync() throws(DiskError) { try syncData() }

    func truncate(to size: Int) throws(DiskError) {
        try disk.begin(.truncate, path)
        disk.image.withLock { image in
            image.inodes[id]?.apply(.truncate(size))
            image.inodes[id]?.pending.append(.truncate(size))
        }
    }

    func allocate(_ size: Int) throws(DiskError) -> Bool {
        try disk.begin(.write, path)
        let hasRoom = disk.image.withLock { image in
            let growth = size - (image.inodes[id]?.bytes.count ?? 0)
            if growth <= 0 { return true }
            if image.capacity - image.used < growth { return false }
            image.inodes[id]?.apply(.truncate(size))
            image.inodes[id]?.pending.append(.truncate(size))
            return true
        }
        if !hasRoom { throw DiskError("allocate", path, code: ENOSPC) }
        return true
    }

    func dropCache(_ range: Range<Int>) {}

    func size() throws(DiskError) -> Int { disk.image.withLock { $0.inodes[id]?.bytes.count ?? 0 } }
}
