import Base

extension SplitMix64 {
    /// True `percent` times out of a hundred.
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }

    mutating func pick<T>(_ from: [T]) -> T? { from.isEmpty ? nil : from[below(from.count)] }
}
