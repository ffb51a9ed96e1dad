/// Names of the files of a store, relative to its directory.
enum StorePath {
    static let lock = "lock"
    static let store = "store"
    static let checkpoint = "checkpoint"
    /// The same once more.
    static let secondCheckpoint = "checkpoint.2"
    static let checkpointDraft = "checkpoint.tmp"
    static let storeDraft = "store.tmp"
    static let reserve = "reserve"
    static let journal = "journal"
    static let queues = "queues"
    /// A segment on its way to be made; never holds anything that counts.
    static let segmentDraft = "journal/draft"

    /// Numbers from here on are never given: 64 MiB each, that is 250 petabytes.
    static let segmentNumberLimit = UInt32.max - 64

    static func segment(_ number: UInt32) -> String { "journal/\(digits(UInt64(number), width: 8)).seg" }
    static func spare(_ number: UInt32) -> String { "journal/\(digits(UInt64(number), width: 8)).spare" }
    static func torn(_ number: UInt32, _ copy: Int) -> String {
        "journal/\(digits(UInt64(number), width: 8))\(copy == 1 ? "" : "-\(copy)").torn"
    }
    static func queue(_ id: UInt32) -> String { "queues/\(id)" }
    static func queueFile(_ id: UInt32, first: UInt64) -> String { "queues/\(id)/\(digits(first, width: 20)).log" }
}
