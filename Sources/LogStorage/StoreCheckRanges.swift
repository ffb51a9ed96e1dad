/// Sequences of one queue as ranges, rising. Keeps a bounded number of them: beyond that, neighbours
/// become one range, which then says more than is true and is known to.
public struct SequenceRanges: Equatable, Sendable {
    public private(set) var ranges: [ClosedRange<UInt64>] = []
    /// Some of what lies in the last range may not belong to it.
    public private(set) var isCoarse = false

    static let countMax = 10_000

    public init() {}

    public var isEmpty: Bool { ranges.isEmpty }
    public var first: UInt64? { ranges.first?.lowerBound }

    /// How many sequences there are; `.max` if more than a number can say.
    public var count: UInt64 {
        var sum: UInt64 = 0
        for range in ranges {
            let (size, isWhole) = (range.upperBound - range.lowerBound).addingReportingOverflow(1)
            let (next, overflow) = sum.addingReportingOverflow(size)
            if isWhole || overflow { return .max }
            sum = next
        }
        return sum
    }

    public func contains(_ sequence: UInt64) -> Bool {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < sequence { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(sequence)
    }

    /// Adds a range; usually it lies behind all others.
    mutating func insert(_ range: ClosedRange<UInt64>) {
        if let last = ranges.last, range.lowerBound <= last.upperBound || range.lowerBound - last.upperBound == 1 {
            if range.lowerBound >= last.lowerBound {
                ranges[ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                insertBefore(range)
            }
        } else if ranges.count >= Self.countMax, let last = ranges.popLast() {
            ranges.append(last.lowerBound...range.upperBound)
            isCoarse = true
        } else {
            ranges.append(range)
        }
    }

    private mutating func insertBefore(_ range: ClosedRange<UInt64>) {
        var merged = range
        var kept: [ClosedRange<UInt64>] = []
        for other in ranges {
            let touches = other.upperBound < merged.lowerBound && merged.lowerBound - other.upperBound == 1
            let isTouched = other.lowerBound > merged.upperBound && other.lowerBound - merged.upperBound == 1
            if other.overlaps(merged) || touches || isTouched {
                merged = min(other.lowerBound, merged.lowerBound)...max(other.upperBound, merged.upperBound)
            } else {
                kept.append(other)
            }
        }
        kept.append(merged)
        ranges = kept.sorted { $0.lowerBound < $1.lowerBound }
    }

    /// Takes `range` away.
    mutating func remove(_ range: ClosedRange<UInt64>) {
        guard ranges.contains(where: { $0.overlaps(range) }) else { return }
        var left: [ClosedRange<UInt64>] = []
        for other in ranges {
            guard other.overlaps(range) else {
                left.append(other)
                continue
            }
            if other.lowerBound < range.lowerBound { left.append(other.lowerBound...range.lowerBound - 1) }
            if other.upperBound > range.upperBound { left.append(range.upperBound + 1...other.upperBound) }
        }
        ranges = left
    }

    /// `5, 7-12`, the first few of them.
    public func text(limit: Int = 20) -> String {
        let shown = ranges.prefix(limit).map { range in
            range.lowerBound == range.upperBound
                ? String(range.lowerBound) : "\(range.lowerBound)-\(range.upperBound)"
        }
        let more = ranges.count > limit ? " and \(ranges.count - limit) more ranges" : ""
        return shown.joined(separator: ", ") + more + (isCoarse ? " (not each of the last ones)" : "")
    }
}
