import Base
import BrokerCore

/// What the frames of one read ask of the core. One is reused for all reads of a loop.
public struct CommandBatch: ~Copyable {
    /// What to undo and to say when the core refuses a command.
    struct Mark {
        /// Length of the staged answers before the frame of this command.
        var stagedBefore: Int32
        /// The RECEIPT of the frame is what was staged there.
        var hasReceipt: Bool
    }

    public internal(set) var commands: [Command] = []
    public internal(set) var extras = CommandExtras()
    var marks: [Mark] = []
    /// Holds what had to be written anew (escapes, older versions) until the core has copied it.
    var rewritten = Arena()
    var held: [Slice] = []

    public init() {
        commands.reserveCapacity(1024)
        marks.reserveCapacity(1024)
    }

    public var isEmpty: Bool { commands.isEmpty }

    public mutating func clear() {
        commands.removeAll(keepingCapacity: true)
        marks.removeAll(keepingCapacity: true)
        if !extras.sends.isEmpty { extras.sends.removeAll(keepingCapacity: true) }
        if !extras.subscribes.isEmpty { extras.subscribes.removeAll() }
        if !held.isEmpty {
            held.removeAll(keepingCapacity: true)
            rewritten.drop()
        }
    }

    /// A copy of `bytes` that stays in place until `clear`.
    mutating func hold(_ bytes: UnsafeBufferPointer<UInt8>) -> Bytes {
        let slice = rewritten.append(bytes)
        held.append(slice)
        return slice.bytes
    }
}
