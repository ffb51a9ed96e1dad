/// A directory of a disk as a disk of its own.
final class FolderDisk: Disk {
    private let disk: any Disk
    private let folder: String

    init(_ disk: any Disk, _ folder: String) {
        self.disk = disk
        self.folder = folder
    }

    private func full(_ path: String) -> String { path.isEmpty ? folder : "\(folder)/\(path)" }

    func makeDirectory(_ path: String) throws(DiskError) { try disk.makeDirectory(full(path)) }
    func open(_ path: String, _ opening: DiskOpening) throws(DiskError) -> any DiskFile {
        try disk.open(full(path), opening)
    }
    func rename(_ path: String, to target: String) throws(DiskError) { try disk.rename(full(path), to: full(target)) }
    func link(_ path: String, to target: String) throws(DiskError) { try disk.link(full(path), to: full(target)) }
    func remove(_ path: String) throws(DiskError) { try disk.remove(full(path)) }
    func removeDirectory(_ path: String) throws(DiskError) { try disk.removeDirectory(full(path)) }
    func names(in directory: String) throws(DiskError) -> [String] { try disk.names(in: full(directory)) }
    func syncDirectory(_ path: String) throws(DiskError) { try disk.syncDirectory(full(path)) }
    func syncEverything() throws(DiskError) -> Bool { try disk.syncEverything() }
    func freeBytes() throws(DiskError) -> UInt64 { try disk.freeBytes() }
    func lock(_ path: String) throws(DiskError) -> any DiskLock { try disk.lock(full(path)) }
    func randomWord() -> UInt64 { disk.randomWord() }
    func checkStillThere() throws(DiskError) { try disk.checkStillThere() }
}
