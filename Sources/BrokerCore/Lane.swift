/// A queue has further stored queues of its own, each in order, so that a backlog on disk can be taken
/// from in another order than it came: one for each priority but the usual one, one for each of 64
/// buckets of message groups, one for each stretch of time in which delayed messages fall due.
///
///     /queue/orders            the queue itself: priority 4, no group
///     /queue/orders \u{1} p7   priority 7
///     /queue/orders \u{1} g17  groups whose hash is 17 modulo 64
///     /queue/orders \u{1} d2-1792713472000   due in the stretch of level 2 that begins then
///
/// A destination cannot contain U+0001, so nobody else can name a lane.
enum Lane: Hashable, Sendable {
    case main
    case priority(UInt8)
    case group(UInt8)
    case delayed(DelayBucket)
    /// The last value of a topic.
    case retained

    static let separator: UInt8 = 1
    static let groups: UInt64 = 64
    static let usualPriority: UInt8 = 4

    var suffix: String {
        switch self {
        case .main: ""
        case .priority(let priority): "p\(priority)"
        case .group(let group): "g\(group)"
        case .delayed(let bucket): "d\(bucket.level)-\(bucket.start)"
        case .retained: "r"
        }
    }

    init?(suffix: ArraySlice<UInt8>) {
        let text = String(decoding: suffix.dropFirst(), as: UTF8.self)
        switch suffix.first {
        case UInt8(ascii: "p"):
            guard let priority = UInt8(text), priority <= 9 else { return nil }
            self = .priority(priority)
        case UInt8(ascii: "g"):
            guard let group = UInt8(text), UInt64(group) < Self.groups else { return nil }
            self = .group(group)
        case UInt8(ascii: "d"):
            let parts = text.split(separator: "-")
            guard parts.count == 2, let level = Int(parts[0]), let start = UInt64(parts[1]),
                level >= 0, level < DelayBucket.levels
            else { return nil }
            self = .delayed(DelayBucket(level: level, start: start))
        case UInt8(ascii: "r"): self = .retained
        default: return nil
        }
    }

    /// Takes the name of a stored queue apart.
    static func split(_ name: [UInt8]) -> (queue: [UInt8], lane: Lane)? {
        guard let at = name.lastIndex(of: separator) else { return (name, .main) }
        guard let lane = Lane(suffix: name[(at + 1)...]) else { return nil }
        return (Array(name[..<at]), lane)
    }

    /// Where in the order of delivery: higher goes first. Groups stand with the usual priority.
    var rank: UInt8 {
        if case .priority(let priority) = self { return priority }
        return Self.usualPriority
    }

    /// The same group always falls into the same lane (FNV-1a, 64 bits).
    static func ofGroup(_ name: some Sequence<UInt8>) -> Lane {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in name { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        hash ^= hash >> 32
        return .group(UInt8(truncatingIfNeeded: hash % groups))
    }
}

/// A stretch of time in which delayed messages fall due. Near ones are short, far ones long; when a far one
/// begins, its messages are filed into nearer ones, so that each is written a few times at most and none has
/// to be in memory before its second. (Hashed and hierarchical timing wheels, Varghese and Lauck 1987; here
/// each slot is a file.)
///
///     level      0     1      2      3      4      5     6
///     length    1 s   16 s   4 min  68 min 18 h   12 d  194 d
struct DelayBucket: Hashable, Sendable {
    var level: Int
    /// Milliseconds since 1970, a multiple of the length.
    var start: UInt64

    static let levels = 7
    /// Slots of one level that can be in use: what lies further ahead goes to the next.
    static let slots: UInt64 = 16

    var length: UInt64 { Self.length(level) }
    var end: UInt64 { start &+ length }

    static func length(_ level: Int) -> UInt64 { 1000 << (4 * UInt64(level)) }

    /// The bucket for a message that is due at `due`.
    static func holding(due: UInt64, now: UInt64) -> DelayBucket {
        let ahead = due > now ? due - now : 0
        var level = 0
        while level < levels - 1, ahead >= slots * length(level) { level += 1 }
        let length = length(level)
        return DelayBucket(level: level, start: due / length * length)
    }
}
