/// A set of known headers, one bit each.
@frozen
public struct HeaderSet: Sendable, Equatable, ExpressibleByArrayLiteral {
    // Two words and not one of 128 bits: shifting that costs the parser more for each header than it saves.
    @usableFromInline var low: UInt64 = 0
    @usableFromInline var high: UInt64 = 0

    @inlinable public init() {}

    @inlinable public init(arrayLiteral headers: KnownHeader...) {
        for header in headers { insert(header) }
    }

    @inline(__always) @inlinable
    public func contains(_ known: KnownHeader) -> Bool {
        (known.rawValue < 64 ? low : high) & Self.bit(known) != 0
    }

    @inline(__always) @inlinable
    public func isDisjoint(with other: HeaderSet) -> Bool { low & other.low | high & other.high == 0 }

    @inline(__always) @inlinable
    public mutating func insert(_ known: KnownHeader) {
        if known.rawValue < 64 { low |= Self.bit(known) } else { high |= Self.bit(known) }
    }

    @inlinable public static func | (left: HeaderSet, right: HeaderSet) -> HeaderSet {
        var union = left
        union.low |= right.low
        union.high |= right.high
        return union
    }

    @inlinable public func intersection(_ other: HeaderSet) -> HeaderSet {
        var common = self
        common.low &= other.low
        common.high &= other.high
        return common
    }

    @inline(__always) @inlinable
    static func bit(_ known: KnownHeader) -> UInt64 { 1 &<< UInt64(known.rawValue) }
}
