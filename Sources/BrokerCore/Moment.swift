import Base

/// Now, by both clocks that the core is told. `wall` is the broker's own time in milliseconds since
/// 1970: it follows the wall clock slowly and never jumps while the broker runs (see docs/protocol.md,
/// "Time"). Expiry and delays are measured in it; nothing else is.
public struct Moment: Sendable, Equatable {
    public var monotonic: Instant
    public var wall: UInt64

    @inlinable public init(_ monotonic: Instant, wall: UInt64) {
        self.monotonic = monotonic
        self.wall = wall
    }
}
