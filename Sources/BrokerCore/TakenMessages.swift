/// Sequences of one lane that were taken out from between others: a bit each, in pages of 4096 that exist
/// only where there is one. A million of them take 130 kB.
struct TakenMessages: Sendable {
    private static let pageBits: UInt64 = 4096

    private var pages: [UInt64: [UInt64]] = [:]
    /// No page is lower.
    private var lowest: UInt64 = 0

    var isEmpty: Bool { pages.isEmpty }

    func contains(_ sequence: UInt64) -> Bool {
        guard let page = pages[sequence / Self.pageBits] else { return false }
        let bit = sequence % Self.pageBits
        return page[Int(bit / 64)] >> (bit % 64) & 1 != 0
    }

    mutating func insert(_ sequence: UInt64) {
        let number = sequence / Self.pageBits
        let bit = sequence % Self.pageBits
        if pages.isEmpty || number < lowest { lowest = number }
        pages[number, default: [UInt64](repeating: 0, count: Int(Self.pageBits / 64))][Int(bit / 64)] |=
            1 << (bit % 64)
    }

    /// Nobody asks for lower ones any more; they may be forgotten.
    mutating func forget(below sequence: UInt64) {
        let number = sequence / Self.pageBits
        if pages.isEmpty || number <= lowest { return }
        if number - lowest > UInt64(pages.count) {
            pages = pages.filter { $0.key >= number }
        } else {
            for page in lowest..<number { pages[page] = nil }
        }
        lowest = number
    }
}
