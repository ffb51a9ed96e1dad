import Base

/// What a run is decided with.
extension SplitMix64 {
    package mutating func roll(_ range: Range<Int>) -> Int { Int.random(in: range, using: &self) }
    /// True once in `n` times.
    package mutating func oneIn(_ n: Int) -> Bool { roll(0..<n) == 0 }
}
