/// What is in a data directory, what of it is damaged, and what follows.
public struct StoreReport: Sendable, Equatable {
    /// A queue as far as it can be read.
    public struct Queue: Sendable, Equatable {
        public var id: UInt32
        public var name: [UInt8]
        public var messages: UInt64
        public var bytes: UInt64
        public var files: Int
        public var fileBytes: UInt64
    }

    public struct Segment: Sendable, Equatable {
        public var path: String
        public var batches: Int
        /// Sequence of the first batch; 0 if there is none.
        public var firstBatch: UInt64
        /// Bytes up to the end of the last batch.
        public var bytes: Int
    }

    /// A place that is not as it was written.
    public struct Damage: Sendable, Equatable {
        public var path: String
        /// nil where the whole file is meant.
        public var offset: Int?
        public var sentence: String
    }

    /// Messages of one queue that a repair would lose, or that would come again.
    public struct Loss: Sendable, Equatable {
        public enum Kind: String, Sendable {
            /// Cannot be read anywhere.
            case lost
            /// Waits, but may have been acknowledged in what cannot be read.
            case mayReturn
            /// Whatever came after these sequences, if anything did, cannot be read: its record is gone too.
            case unknownFrom
        }

        public var kind: Kind
        public var queue: UInt32
        public var name: [UInt8]
        public var sequences: SequenceRanges
    }

    /// What starting the broker would do.
    public enum Start: Sendable, Equatable {
        /// It goes on; the sentences are what it would say about the storage.
        case goesOn([String])
        case refuses(String)
    }

    public var formatVersion: UInt32?
    public var storeID: UInt64?
    public var queues: [Queue] = []
    public var segments: [Segment] = []
    public var queueFiles = 0
    public var queueFileBytes: UInt64 = 0
    /// Files that no store has, and files that the next start removes.
    public var otherFiles: [String] = []
    public var start = Start.goesOn([])
    public var damages: [Damage] = []
    /// Damages beyond these are counted only.
    public var furtherDamages = 0
    public var losses: [Loss] = []
    /// What a repair changes beside messages: names, notes, ids that were remembered.
    public var consequences: [String] = []

    static let damagesMax = 1000

    public init() {}

    /// Nothing is damaged, and a start goes on.
    public var isWhole: Bool {
        if case .refuses = start { return false }
        return damages.isEmpty
    }

    mutating func note(_ path: String, _ offset: Int?, _ sentence: String) {
        if damages.count >= Self.damagesMax {
            furtherDamages += 1
        } else {
            damages.append(Damage(path: path, offset: offset, sentence: sentence))
        }
    }
}
