/// Counts of durations in nanoseconds, kept within 0.8 % of each value: 128 steps for each power of
/// two, the idea of Gil Tene's HdrHistogram.
struct Histogram: Sendable {
    private static let stepBits = 7
    private static let steps = 1 << stepBits

    private var counts = [UInt64](repeating: 0, count: (64 - stepBits + 1) * steps)
    private(set) var count: UInt64 = 0
    private(set) var largest: UInt64 = 0
    private var sum = 0.0

    mutating func record(_ nanoseconds: UInt64) {
        counts[Self.slot(of: nanoseconds)] &+= 1
        count &+= 1
        sum += Double(nanoseconds)
        if nanoseconds > largest { largest = nanoseconds }
    }

    mutating func merge(_ other: Histogram) {
        for index in counts.indices { counts[index] &+= other.counts[index] }
        count &+= other.count
        sum += other.sum
        largest = max(largest, other.largest)
    }

    var mean: Double { count == 0 ? 0 : sum / Double(count) }

    /// The least recorded value that `share` (0 to 1) of all are not above, rounded up to its step; 0 when empty.
    func quantile(_ share: Double) -> UInt64 {
        guard count > 0 else { return 0 }
        let rank = min(max(UInt64((Double(count) * share).rounded(.up)), 1), count)
        var seen: UInt64 = 0
        for (index, times) in counts.enumerated() {
            seen += times
            if seen >= rank { return min(Self.upperEdge(of: index), largest) }
        }
        return largest
    }

    static func slot(of value: UInt64) -> Int {
        if value < UInt64(steps) { return Int(value) }
        let shift = 63 - value.leadingZeroBitCount - stepBits
        return shift * steps + Int(value >> UInt64(shift))
    }

    static func upperEdge(of slot: Int) -> UInt64 {
        if slot < 2 * steps { return UInt64(slot) }
        let shift = UInt64(slot / steps - 1)
        let mantissa = UInt64(slot % steps + steps)
        return (mantissa << shift) + ((1 << shift) - 1)
    }
}
