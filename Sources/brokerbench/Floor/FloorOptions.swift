/// What `brokerbench floor` is to do.
struct FloorOptions: Sendable, Equatable {
    enum Storing: Sendable, Equatable {
        /// A second thread writes and syncs while the first goes on reading.
        case beside
        /// The one thread does it all: best for one client that waits for each answer.
        case inline
        /// Written, never synced.
        case unsynced
    }

    var port: UInt16 = 0
    var directory = ""
    var storing = Storing.beside
    /// The file is full of zeros at the start and written over, so that a sync has no metadata to write.
    var preallocatedMiB: UInt64 = 0

    /// Enough for every workload.
    static let openFiles = 16_384

    init() {}

    /// The words behind `floor`.
    init(parsing words: [String]) throws {
        var rest = OptionWords(words)
        var isInline = false
        var isSynced = true
        while let name = rest.next() {
            switch name {
            case "--port": port = try rest.number(of: name, in: 1...UInt16.max)
            case "--dir": directory = try rest.value(of: name)
            case "--inline": isInline = true
            case "--prealloc": preallocatedMiB = try rest.number(of: name, in: 1...65_536)
            case "--no-sync": isSynced = false
            default: throw Options.Misuse(line: "unknown option '\(name)'; see --help")
            }
        }
        guard port > 0, !directory.isEmpty else { throw Options.Misuse(line: "floor needs --port and --dir") }
        if !isSynced {
            guard !isInline else { throw Options.Misuse(line: "--inline says how to sync, --no-sync not to") }
            storing = .unsynced
        } else if isInline {
            storing = .inline
        }
    }
}
