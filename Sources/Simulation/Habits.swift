import Base
import BrokerCore
import LogStorage

/// What can happen next.
package enum StepKind: String, CaseIterable, Sendable {
    /// A client does something.
    case act
    /// Bytes arrive at the broker, or at a client.
    case arrive, read
    /// Threads of the broker get their turn.
    case commit, mark, keep, page, mailbox
    case time
    /// A connection is reset, or closed on one side.
    case vanish
    case halfClose = "half-close"
    /// The broker ends: with all that the kernel has, without, at an operation of the disk, or politely.
    case kill
    case powerCut = "power-cut"
    case crashAtOperation = "crash-at-operation"
    case stop
    case diskError = "disk-error"
    case diskFull = "disk-full"
    /// Of a copy of all that is on disk a bit is changed, and that copy is started from.
    case damage
    case memory
    case operate
    case audit
}

/// What kind of run a seed is. Each leaves some things out and does others often: what all runs do alike finds only
/// what all runs can find. (Swarm testing, Groce and others 2012.)
struct Habits: Sendable {
    private var weights: [Int]
    private let total: Int
    let clients: Int
    let storage: LogSettings
    let core: CoreLimits
    let defaults: QueueSettings
    /// Live copies above which clients send no more.
    let backlog: Int
    private let strides: [UInt64]

    init(_ dice: inout SplitMix64) {
        weights = StepKind.allCases.map { kind in Self.weight(of: kind, &dice) }
        total = weights.reduce(0, +)
        clients = dice.roll(2..<7)
        backlog = [20, 80, 250][dice.roll(0..<3)]
        strides = dice.oneIn(2) ? [1, 5, 40, 300] : [5, 100, 1000, 20_000]
        storage = Self.storage(&dice)
        core = Self.core(&dice)
        var settings = QueueSettings()
        settings.redeliveryDelay = [0, 50, 1000][dice.roll(0..<3)]
        settings.deliveryLimit = [0, 3, 10][dice.roll(0..<3)]
        settings.expired = dice.oneIn(3) ? .deadLetter : .drop
        // Longer than any run: frames can be on their way for long here.
        settings.dedupSeconds = 86_400
        defaults = settings
    }

    private static func weight(of kind: StepKind, _ dice: inout SplitMix64) -> Int {
        let usual =
            switch kind {
            case .act: 500
            case .arrive: 260
            case .read: 160
            case .commit: 120
            case .mailbox: 90
            case .page: 60
            case .keep: 40
            case .mark: 15
            case .time: 60
            case .vanish: 5
            case .halfClose: 2
            case .kill: 3
            case .powerCut: 4
            case .crashAtOperation: 6
            case .stop: 2
            case .diskError: 3
            case .diskFull: 4
            case .damage: 6
            case .memory: 10
            case .operate: 2
            case .audit: 8
            }
        switch kind {
        case .act, .arrive, .read, .commit, .mailbox, .page, .keep, .time:
            return usual * [1, 2, 4, 8][dice.roll(0..<4)] / 3
        default:
            return dice.oneIn(3) ? 0 : usual * [1, 2, 4][dice.roll(0..<3)] / 2
        }
    }

    func choose(_ dice: inout SplitMix64) -> StepKind {
        var left = dice.roll(0..<total)
        for (kind, weight) in zip(StepKind.allCases, weights) {
            left -= weight
            if left < 0 { return kind }
        }
        return .act
    }

    func stride(_ dice: inout SplitMix64) -> UInt64 { strides[dice.roll(0..<strides.count)] }

    private static func storage(_ dice: inout SplitMix64) -> LogSettings {
        var settings = LogSettings()
        settings.segmentBytes = [16, 20, 32][dice.roll(0..<3)] << 10
        settings.journalSegments = dice.roll(1..<4)
        settings.journalSegmentsMax = settings.journalSegments + dice.roll(1..<4)
        settings.queueFileBytes = [4, 8, 16][dice.roll(0..<3)] << 10
        settings.checkpointBytes = [8, 30, 1000][dice.roll(0..<3)] << 10
        settings.reserveBytes = dice.oneIn(3) ? 0 : 16 << 10
        settings.filesSyncedSingly = dice.roll(1..<6)
        settings.commitBytes = [4, 16, 1000][dice.roll(0..<3)] << 10
        settings.lowWatermark = 1 << 20
        settings.highWatermark = 2 << 20
        return settings
    }

    private static func core(_ dice: inout SplitMix64) -> CoreLimits {
        var limits = CoreLimits()
        limits.windowBytes = [400, 4000, 1 << 20][dice.roll(0..<3)]
        limits.idleWindowBytes = [0, 300, 64 << 10][dice.roll(0..<3)]
        limits.pageCount = [2, 10, 100][dice.roll(0..<3)]
        limits.pageBytes = [300, 4000, 20_000][dice.roll(0..<3)]
        limits.unflushedBytes = [2000, 20_000][dice.roll(0..<2)]
        limits.transactionBytes = 8000
        limits.transactionOperations = 40
        limits.batchBytes = [1000, 8000][dice.roll(0..<2)]
        limits.holdSeconds = dice.oneIn(2) ? 0 : 2
        limits.diskShortBytes = 5000
        return limits
    }
}
