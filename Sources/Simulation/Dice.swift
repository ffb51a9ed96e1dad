/// A small random generator that can be repeated from its seed (SplitMix64).
package struct Dice: RandomNumberGenerator, Sendable {
    package var state: UInt64
    package init(_ seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    package mutating func roll(_ range: Range<Int>) -> Int { Int.random(in: range, using: &self) }
    /// True once in `n` times.
    package mutating func oneIn(_ n: Int) -> Bool { roll(0..<n) == 0 }
}
