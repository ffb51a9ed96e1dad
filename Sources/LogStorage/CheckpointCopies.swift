import Storage

/// The checkpoint is kept twice, so that one damaged file does not make a store unusable.
///
///     write    checkpoint: beside the old one, synced, renamed over it, directory synced
///              checkpoint.2: the same; only then is anything destroyed that the ones before named
///     start    the newer of those that are undamaged; the other is made the same before anything is destroyed
///
/// So whichever of the two is there, everything that it names is there too.
struct CheckpointCopies {
    static let paths = [StorePath.checkpoint, StorePath.secondCheckpoint]

    enum Copy: Equatable {
        /// Undamaged; what its front says.
        case whole(Checkpoint)
        case missing
        /// Of no use: why, as the end of a sentence.
        case useless(String)
        /// It cannot be read; the disk says why.
        case unreadable(DiskError)
    }

    private(set) var found: [Copy] = []
    private let storeID: UInt64?

    /// Looks at both. Without a store id any store's will do. Throws when one was written by a newer program.
    init(on disk: any Disk, storeID: UInt64?) throws(StorageFailure) {
        self.storeID = storeID
        for path in Self.paths { found.append(try Self.look(at: path, on: disk, storeID)) }
    }

    private static func look(at path: String, on disk: any Disk, _ storeID: UInt64?) throws(StorageFailure) -> Copy {
        let bytes: [UInt8]
        do throws(DiskError) {
            bytes = try disk.open(path, .existing).contents(limit: Checkpoint.sizeLimit)
        } catch {
            return error.isMissing ? .missing : .unreadable(error)
        }
        do throws(Checkpoint.Damage) {
            let checkpoint = try Checkpoint.front(bytes)
            return storeID.map { $0 == checkpoint.storeID } ?? true
                ? .whole(checkpoint) : .useless("is of another store")
        } catch {
            if case .newer = error { throw Opening.sentence(error, about: path) }
            return .useless("is damaged")
        }
    }

    /// The newest that is whole.
    var newest: (index: Int, checkpoint: Checkpoint)? {
        var newest: (index: Int, checkpoint: Checkpoint)?
        for (index, copy) in found.enumerated() {
            guard case .whole(let checkpoint) = copy else { continue }
            if newest.map({ $0.checkpoint.number < checkpoint.number }) ?? true { newest = (index, checkpoint) }
        }
        return newest
    }

    /// The state that the newest holds, with the bytes that it was read from; nil when neither is of any use.
    mutating func decode(on disk: any Disk) throws(StorageFailure) -> (Checkpoint, Ledger, bytes: [UInt8])? {
        while let (index, _) = newest {
            do throws(DiskError) {
                let bytes = try disk.open(Self.paths[index], .existing).contents(limit: Checkpoint.sizeLimit)
                do throws(Checkpoint.Damage) {
                    let (checkpoint, ledger) = try Checkpoint.decode(bytes)
                    return (checkpoint, ledger, bytes)
                } catch {
                    found[index] = .useless("is damaged")
                }
            } catch {
                found[index] = .unreadable(error)
            }
        }
        for case .unreadable(let error) in found { throw Opening.failure(error) }
        return nil
    }

    /// What is wrong with each, as a sentence without an end.
    var problems: [String] {
        zip(Self.paths, found).compactMap { path, copy in
            switch copy {
            case .whole: nil
            case .missing: "\(path) is missing"
            case .useless(let why): "\(path) \(why)"
            case .unreadable(let error): "\(path) cannot be used (\(error))"
            }
        }
    }

    /// Whether both say the same.
    var areEqual: Bool { found[0] == found[1] && newest != nil }

    /// Makes the older or useless one the same as the newest, whose bytes these are. Where there is no room it
    /// is taken away: nothing that it alone names may be relied on from now on. False if that had to be done.
    func makeEqual(to bytes: [UInt8], on disk: any Disk) throws(DiskError) -> Bool {
        guard let (index, _) = newest, !areEqual else { return true }
        let other = 1 - index
        do throws(DiskError) {
            try Self.replace(other, bytes, on: disk)
            return true
        } catch {
            if !error.isFull { throw error }
        }
        if found[other] != .missing {
            try disk.remove(Self.paths[other])
            try disk.syncDirectory("")
        }
        return false
    }

    /// Writes both. When this returns, nothing counts that they named before.
    static func write(_ bytes: [UInt8], on disk: any Disk) throws(DiskError) {
        for index in paths.indices { try replace(index, bytes, on: disk) }
    }

    private static func replace(_ index: Int, _ bytes: [UInt8], on disk: any Disk) throws(DiskError) {
        try disk.replace(paths[index], StorePath.checkpointDraft, bytes)
    }
}
