/// The version of the form of a body: MAJOR.MINOR.PATCH, as in semantic versioning.
///
/// * MAJOR changes when who knows the old form would misunderstand the new one. A consumer says which ones it
///   understands.
/// * MINOR changes when something is added that an older consumer may leave out.
/// * PATCH changes when only words are: a comment, a description.
public struct SchemaVersion: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// Differs between forms that must not be taken for each other.
    public var major: UInt32
    /// Grows when something is added.
    public var minor: UInt32
    /// Grows when only words change.
    public var patch: UInt32

    /// `SchemaVersion(2)` is 2.0.0.
    public init(_ major: UInt32, _ minor: UInt32 = 0, _ patch: UInt32 = 0) {
        self.major = major
        self.minor = minor
        self.patch = patch
    }

    /// Of `1.2.3`: three decimal numbers of at most nine digits, without signs, blanks or zeros in front. nil if it is
    /// anything else.
    public init?(_ text: String) {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        var numbers: [UInt32] = []
        for part in parts {
            guard (1...9).contains(part.count), part.allSatisfy({ (48...57).contains($0) }) else { return nil }
            if part.count > 1, part.first == UInt8(ascii: "0") { return nil }
            numbers.append(part.reduce(0) { $0 * 10 + UInt32($1 - 48) })
        }
        self.init(numbers[0], numbers[1], numbers[2])
    }

    /// MAJOR.MINOR.PATCH, as the header has it.
    public var description: String { "\(major).\(minor).\(patch)" }

    /// By major, then minor, then patch.
    public static func < (a: SchemaVersion, b: SchemaVersion) -> Bool {
        (a.major, a.minor, a.patch) < (b.major, b.minor, b.patch)
    }
}
