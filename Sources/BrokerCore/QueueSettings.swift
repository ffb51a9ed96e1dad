/// How one destination behaves: what its policies and its own settings come to. Each is a line of the
/// table `QueueSetting.all` (docs/policies.md), with its range and reason.
public struct QueueSettings: Sendable, Equatable {
    public enum Overflow: String, Sendable, CaseIterable {
        /// SEND is answered by ERROR.
        case reject
        /// The oldest messages make room.
        case dropHead = "drop-head"
        /// The sender is not read from until there is room, for `blockSeconds`; then as `reject`.
        case block
    }

    public enum Expired: String, Sendable, CaseIterable {
        case drop
        case deadLetter = "dead-letter"
    }

    public enum SlowSubscriber: String, Sendable, CaseIterable {
        case disconnect
        case dropOldest = "drop-oldest"
        case dropNewest = "drop-newest"
    }

    // Redelivery
    /// Deliveries of one message, after which it is dead. 0: no limit.
    public var deliveryLimit: UInt32 = 10
    /// The wait before a refused message is delivered again: the first, by how much each further one is
    /// longer, the longest, and how much of it is left to chance. Milliseconds; percent.
    public var redeliveryDelay: UInt64 = 1000
    public var redeliveryMultiplierPercent: UInt64 = 200
    public var redeliveryDelayMost: UInt64 = 60_000
    public var redeliveryJitterPercent: UInt64 = 20
    /// Where dead messages go: the canonical name of a queue. Nil: `NAME.dlq`. Empty: nowhere.
    public var deadLetterQueue: [UInt8]?

    // Time
    /// The longest that a message lives here, in milliseconds. 0: no limit.
    public var timeToLive: UInt64 = 0
    public var expired = Expired.drop

    // Size
    /// Messages and bytes that a queue may hold. 0: no limit.
    public var lengthMost: UInt64 = 0
    public var bytesMost: UInt64 = 0
    public var overflow = Overflow.reject
    public var blockSeconds: UInt64 = 30

    // Duplicates
    /// How long and how many `dedup-id`s are remembered. 0 seconds: none.
    public var dedupSeconds: UInt64 = 600
    public var dedupCount: UInt64 = 100_000

    // Coming and going
    /// A queue comes to be when it is named.
    public var autoCreate = true
    /// An empty queue that nobody has used for so long is deleted. 0: never.
    public var autoDeleteSeconds: UInt64 = 0
    /// One consumer at a time gets everything; the others stand by.
    public var exclusiveConsumer = false

    // Topics
    public var slowSubscriber = SlowSubscriber.disconnect
    /// A durable subscription that nobody has used for so long is deleted with what is in it. 0: never.
    public var subscriptionExpirySeconds: UInt64 = 0

    public init() {}
}

/// Settings that any number of queues have together: most have the same.
final class SharedSettings: Sendable {
    let value: QueueSettings

    init(_ value: QueueSettings) { self.value = value }

    static let standard = SharedSettings(QueueSettings())
}

/// The settings that queues were given lately, each once.
struct SettingsPool: Sendable {
    private var recent: [SharedSettings] = []

    /// More than a broker usually has policies for queues; one that is not found costs memory only.
    private static let most = 16

    /// These settings; the same ones that others have, where they are known. What is found moves to the front.
    mutating func shared(_ settings: QueueSettings) -> SharedSettings {
        if let first = recent.first, first.value == settings { return first }
        let at = recent.firstIndex { $0.value == settings }
        let found = at.map { recent.remove(at: $0) } ?? SharedSettings(settings)
        if recent.count >= Self.most { recent.removeLast() }
        recent.insert(found, at: 0)
        return found
    }
}
