import BrokerCore

/// Which messages of a queue, and how much of each.
public struct BrowseQuery: Equatable, Sendable {
    public static let limits = 1...1000
    public static let standardLimit = 20
    public static let previewLimits = 0...(1 << 20)
    public static let standardPreview = 256
    /// The answer holds at least one message and ends once it holds this many bytes of bodies.
    public static let answerBytes = 4 << 20

    /// Where to begin.
    public var from: QueuePlace?
    /// Most messages.
    public var limit: Int
    /// Most bytes of each body.
    public var bodyBytes: Int
    /// Only those that fit.
    public var selector: Selector?

    public init(
        from: QueuePlace? = nil, limit: Int = BrowseQuery.standardLimit,
        bodyBytes: Int = BrowseQuery.standardPreview, selector: Selector? = nil
    ) {
        (self.from, self.limit, self.bodyBytes, self.selector) = (from, limit, bodyBytes, selector)
    }
}

/// On which messages of a queue something is done.
public struct MessageChoice: Equatable, Sendable {
    /// Most messages.
    public var limit: UInt64
    /// Only those that fit.
    public var selector: Selector?
    public var from: QueuePlace?

    public init(limit: UInt64 = .max, selector: Selector? = nil, from: QueuePlace? = nil) {
        (self.limit, self.selector, self.from) = (limit, selector, from)
    }

    /// Errors: `invalid` for a number of 0 and for what is no selector or no place.
    public init(limit: UInt64?, selector: String?, from: String?) throws(AdminError) {
        guard limit != 0 else { throw AdminError(.invalid, "`limit` must be 1 or more, or absent for all") }
        self.limit = limit ?? .max
        self.selector = try Self.selector(selector)
        self.from = try from.map { text throws(AdminError) in try QueuePlace(text) }
    }

    /// Errors: `invalid`, with the place of the mistake.
    static func selector(_ text: String?) throws(AdminError) -> Selector? {
        guard let text else { return nil }
        do throws(SelectorError) {
            return try Selector(Array(text.utf8))
        } catch {
            throw AdminError(
                .invalid, "the selector is wrong at character \(error.column): \(error.reason)")
        }
    }
}

/// Where in a queue somebody has got to: `LANE:SEQUENCE`, and `:END:LAST` behind it if what has come since the
/// beginning is to be left out, or just `SEQUENCE` for the first lane. Lanes go by number.
public struct QueuePlace: Equatable, Sendable, CustomStringConvertible {
    /// 0: the first.
    public var lane: UInt32
    public var sequence: UInt64
    /// Sequences of `lane` from here on are left out.
    public var end: UInt64?
    /// Later lanes are left out.
    public var lastLane: UInt32?

    public init(lane: UInt32, sequence: UInt64, end: UInt64? = nil, lastLane: UInt32? = nil) {
        (self.lane, self.sequence, self.end, self.lastLane) = (lane, sequence, end, lastLane)
    }

    /// Errors: `invalid`.
    public init(_ text: String) throws(AdminError) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { UInt64($0) }
        guard numbers.count == parts.count, [1, 2, 4].contains(numbers.count),
            numbers.count == 1 || numbers[0] <= UInt64(UInt32.max),
            numbers.count < 4 || numbers[3] <= UInt64(UInt32.max)
        else {
            throw AdminError(.invalid, "`from` must be a `place`, or the `next` of an earlier answer")
        }
        lane = numbers.count == 1 ? 0 : UInt32(numbers[0])
        sequence = numbers.count == 1 ? numbers[0] : numbers[1]
        if numbers.count == 4 { (end, lastLane) = (numbers[2], UInt32(numbers[3])) }
    }

    public var description: String {
        if let end, let lastLane { return "\(lane):\(sequence):\(end):\(lastLane)" }
        return "\(lane):\(sequence)"
    }
}
