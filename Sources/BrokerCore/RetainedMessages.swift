import Base

/// The last value of a topic, which new subscribers get first.
struct Retained: Sendable {
    /// The hidden queue that holds it on disk.
    let queue: Int32
    var sequence: UInt64
    /// The batch that makes it durable; 0 if nobody has to wait for that.
    var batch: UInt64
    /// With `retained:true` in its head. Nil until it is read back after a start.
    var content: Slice?
    var headerBytes: UInt32
    var flags: UInt8
    /// Bytes as stored.
    var bytes: UInt32
    var isLoading = false
    /// It could not be read; the clock tries again.
    var isBroken = false

    var isMissing: Bool { content == nil && !isBroken }
}

/// All that topics retain, in memory, within a bound.
struct RetainedMessages: Sendable {
    /// Subscriptions that wait for retained messages to be read back.
    struct Waiter: Sendable {
        var queue: Int32
        var generation: UInt32
        var topics: [[UInt8]]
        /// Set aside for them, so that they stand in front of what was published since.
        var firstSequence: UInt64
    }

    private(set) var byTopic: [[UInt8]: Retained] = [:]
    /// What they cost together.
    private(set) var bytes = 0
    var waiters: [Waiter] = []
    /// Topics whose message is still to be read back.
    var toLoad: [[UInt8]] = []
    private var arena = Arena()
    /// Bytes put into `arena` since it was begun, and those of them that are still retained.
    private var arenaBytes = 0
    private var liveBytes = 0

    /// Bytes of messages that the memory holds, those included that are not retained any more.
    var memoryBytes: Int { arenaBytes }

    /// What one costs in memory beside its bytes: entries of tables, a queue.
    private static let overhead = 1024

    static func cost(_ bytes: Int, topic: [UInt8]) -> Int { bytes + topic.count + overhead }

    func cost(of topic: [UInt8]) -> Int? { byTopic[topic].map { Self.cost(Int($0.bytes), topic: topic) } }

    mutating func set(_ topic: [UInt8], _ retained: Retained) {
        remove(topic)
        byTopic[topic] = retained
        bytes += Self.cost(Int(retained.bytes), topic: topic)
        liveBytes += Int(retained.content?.count ?? 0)
        if arenaBytes > 2 * liveBytes + (1 << 20) { compact() }
    }

    /// Changes one that is there and costs as much after it.
    mutating func update(_ topic: [UInt8], _ change: (inout Retained) -> Void) {
        guard var retained = byTopic[topic] else { return }
        liveBytes -= Int(retained.content?.count ?? 0)
        change(&retained)
        liveBytes += Int(retained.content?.count ?? 0)
        byTopic[topic] = retained
    }

    mutating func remove(_ topic: [UInt8]) {
        guard let old = byTopic.removeValue(forKey: topic) else { return }
        bytes -= Self.cost(Int(old.bytes), topic: topic)
        liveBytes -= Int(old.content?.count ?? 0)
    }

    /// A copy that does not keep anything else in memory for long.
    mutating func keep(_ content: [UInt8]) -> Slice {
        arenaBytes += content.count
        return content.withUnsafeBufferPointer { arena.append($0) }
    }

    /// Memory is shared by neighbours: what is retained is copied together when most of it is not any more.
    private mutating func compact() {
        arena = Arena()
        arenaBytes = liveBytes
        for topic in byTopic.keys {
            guard let content = byTopic[topic]?.content else { continue }
            byTopic[topic]?.content = arena.append(content.bytes)
        }
    }

    /// The topics that match, in order of name.
    func topics(matching topic: [UInt8]) -> [[UInt8]] {
        guard !byTopic.isEmpty, let pattern = try? TopicPattern(topic) else { return [] }
        if !pattern.hasWildcard { return byTopic[topic] == nil ? [] : [topic] }
        return byTopic.keys.filter { pattern.matches(TopicPattern.split($0)) }.sorted {
            $0.lexicographicallyPrecedes($1)
        }
    }
}
