/// Sizes in bytes as people write them: `512`, `16 MiB`, `4GiB`.
public enum ByteSize {
    private static let units: [(name: String, shift: Int)] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)]

    /// The largest unit that leaves a whole number: `16 MiB`, `1 KiB`, `1000`.
    public static func text(_ bytes: Int) -> String {
        for unit in units where bytes >= 1 << unit.shift && bytes % (1 << unit.shift) == 0 {
            return "\(bytes >> unit.shift) \(unit.name)"
        }
        return String(bytes)
    }

    /// nil for anything that is not digits with at most one of the four units behind them.
    public static func parse(_ text: String) -> Int? {
        for unit in units where text.hasSuffix(unit.name) {
            guard let count = digits(trimmed(String(text.dropLast(unit.name.count)))) else { return nil }
            let (bytes, overflow) = count.multipliedReportingOverflow(by: 1 << unit.shift)
            return overflow ? nil : bytes
        }
        return digits(text)
    }

    private static func digits(_ text: String) -> Int? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(text) : nil
    }
}

/// Without blanks at both ends.
public func trimmed(_ text: String) -> String {
    let blank: (Character) -> Bool = { $0 == " " || $0 == "\t" }
    let start = text.drop(while: blank)
    return String(start.reversed().drop(while: blank).reversed())
}
