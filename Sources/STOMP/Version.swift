import Base

/// A version of the protocol.
public enum Version: UInt8, Comparable, Sendable, CaseIterable {
    case v10, v11, v12

    /// As it is written in `accept-version` and `version`.
    public var text: StaticString {
        switch self {
        case .v10: "1.0"
        case .v11: "1.1"
        case .v12: "1.2"
        }
    }

    @inlinable public static func < (a: Version, b: Version) -> Bool { a.rawValue < b.rawValue }

    /// The highest version that we and the writer of this `accept-version` both know, whatever the order of
    /// the list. No header at all means 1.0; nil means that there is no common version. Spaces around an
    /// item are tolerated, since clients in use write them.
    public static func negotiate(acceptVersion: UnsafeBufferPointer<UInt8>?) -> Version? {
        guard let list = acceptVersion else { return .v10 }
        var best: Version?
        for item in list.split(separator: .comma) {
            guard let known = Version(UnsafeBufferPointer(rebasing: item).trimmingBlanks()) else { continue }
            best = max(best ?? known, known)
        }
        return best
    }

    private init?(_ item: UnsafeBufferPointer<UInt8>) {
        if item.equals("1.2") {
            self = .v12
        } else if item.equals("1.1") {
            self = .v11
        } else if item.equals("1.0") {
            self = .v10
        } else {
            return nil
        }
    }
}
