/// A `dedup-id` as it is remembered: 128 bits of keyed hash, and the second (since 1970) it came.
public struct DedupEntry: Hashable, Sendable {
    public var high: UInt64
    public var low: UInt64
    public var second: UInt32

    public init(high: UInt64, low: UInt64, second: UInt32) {
        self.high = high
        self.low = low
        self.second = second
    }
}
