/// Headers of the command line whose values change from one message (or consumer) to the next: in a value
/// `{1..9}` counts, `{a,b}` goes through the words (an empty value leaves the header out), and
/// `{now+MS}` is one time for the whole run, in milliseconds since 1970.
struct HeaderCycle: Sendable {
    /// How long a message must not come.
    enum Hold: Sendable, Equatable {
        case none
        /// Nanoseconds from when it was sent.
        case after(UInt64)
        /// Milliseconds since 1970.
        case at(UInt64)
    }

    /// More would take much memory: a head is kept for each.
    static let most = 131_072

    /// After so many they come again in the same way.
    let count: Int
    private let items: [Item]

    private struct Item: Sendable {
        let name: String
        let values: [String]
    }

    /// Throws `Options.Misuse` for a range that is none, or cycles too long.
    init(_ lines: [Options.HeaderLine], now milliseconds: UInt64) throws {
        items = try lines.map { Item(name: $0.name, values: try Self.values(of: $0, milliseconds)) }
        var count = 1
        for item in items {
            count = Self.leastCommonMultiple(count, item.values.count)
            guard count <= Self.most else {
                throw Options.Misuse(line: "changing headers: more than \(Self.most) different messages")
            }
        }
        self.count = count
    }

    private init(items: [Item]) {
        self.items = items
        count = 1
    }

    static let none = HeaderCycle(items: [])

    func lines(at index: Int) -> [Options.HeaderLine] {
        items.compactMap { item in
            let value = item.values[index % item.values.count]
            return value.isEmpty && item.values.count > 1 ? nil : Options.HeaderLine(name: item.name, value: value)
        }
    }

    /// All values that this header has, in turn.
    func values(of name: String) -> [String] { items.first { $0.name == name }?.values ?? [] }

    /// One `none` for each kind of message.
    var noHolds: [Hold] { Array(repeating: .none, count: count) }

    func hold(at index: Int) -> Hold {
        for line in lines(at: index) {
            switch line.name {
            case "delay", "AMQ_SCHEDULED_DELAY", "x-delay":
                if let value = UInt64(line.value), value < 1 << 40 { return .after(value * 1_000_000) }
            case "deliver-at", "AMQ_SCHEDULED_TIME", "_AMQ_SCHED_DELIVERY":
                if let value = UInt64(line.value), value < 1 << 42 { return .at(value) }
            default: break
            }
        }
        return .none
    }

    /// At least one.
    private static func values(of line: Options.HeaderLine, _ now: UInt64) throws -> [String] {
        guard let open = line.value.firstIndex(of: "{"), let close = line.value[open...].firstIndex(of: "}") else {
            return [line.value]
        }
        let inside = String(line.value[line.value.index(after: open)..<close])
        let front = String(line.value[..<open])
        let rest = String(line.value[line.value.index(after: close)...])
        if inside.hasPrefix("now+"), let ahead = UInt64(inside.dropFirst(4)), ahead < 1 << 40 {
            return [front + String(now + ahead) + rest]
        }
        if let range = try numbers(in: inside, of: line.name) { return range.map { front + String($0) + rest } }
        let words = inside.split(separator: ",", omittingEmptySubsequences: false)
        guard words.count > 1, words.count <= most else { return [line.value] }
        return words.map { $0.isEmpty ? "" : front + String($0) + rest }
    }

    private static func numbers(in text: String, of name: String) throws -> ClosedRange<UInt64>? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[1].isEmpty, let first = UInt64(parts[0]), let last = UInt64(parts[2]) else {
            return nil
        }
        guard first <= last, last - first < UInt64(most) else {
            throw Options.Misuse(line: "header \(name): '{\(text)}' is not up to \(most) numbers")
        }
        return first...last
    }

    private static func leastCommonMultiple(_ a: Int, _ b: Int) -> Int {
        var (x, y) = (a, b)
        while y != 0 { (x, y) = (y, x % y) }
        return a / x * b  // both are at most `most`
    }
}
