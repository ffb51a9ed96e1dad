/// Which messages of one queue are done with.
///
///     1 . . . . . head             page             page
///     |  all done  | 0 1 1 0 1 ... | (none set)     | (all set) ...
///
/// Everything below `head` is done; above it one bit a message, in pages of 4096 that exist only
/// where some but not all bits of a page are set. In-order acknowledgement keeps no page at all; ten
/// million messages acknowledged in random order need 1.2 MB.
struct SettledSet: Equatable {
    static let pageSize: UInt64 = 4096
    static let wordsInPage = 64

    /// Either some of the 4096 (then there are words), or none, or all.
    struct Page: Equatable {
        var words: [UInt64] = []
        var count = 0
        var isFull: Bool { count == Int(SettledSet.pageSize) }

        mutating func set(_ low: Int, _ high: Int) -> Int {
            if isFull { return 0 }
            if low == 0, high == Int(SettledSet.pageSize) {
                let added = high - count
                self = Page(words: [], count: high)
                return added
            }
            if words.isEmpty { words = [UInt64](repeating: 0, count: SettledSet.wordsInPage) }
            var added = 0
            var bit = low
            while bit < high {
                let word = bit / 64
                let from = bit % 64
                let to = min(64, from + high - bit)
                let mask = (to == 64 ? UInt64.max : (1 << UInt64(to)) - 1) & ~((1 << UInt64(from)) - 1)
                added += (mask & ~words[word]).nonzeroBitCount
                words[word] |= mask
                bit += to - from
            }
            count += added
            if isFull { words = [] }
            return added
        }

        /// Sets one bit; nil where that takes more, since there are no words or it is the last one.
        @inline(__always) mutating func set(_ bit: Int) -> Bool? {
            if words.isEmpty { return isFull ? false : nil }
            let mask: UInt64 = 1 << UInt64(bit % 64)
            let word = words[bit / 64]
            if word & mask != 0 { return false }
            if count &+ 1 == Int(SettledSet.pageSize) { return nil }
            words[bit / 64] = word | mask
            count &+= 1
            return true
        }

        @inline(__always) func has(_ bit: Int) -> Bool {
            if words.isEmpty { return isFull }
            return words[bit / 64] >> UInt64(bit % 64) & 1 != 0
        }

        /// The first bit from `bit` on that is not set, 4096 if none.
        func firstClear(from bit: Int) -> Int {
            if words.isEmpty { return isFull ? Int(SettledSet.pageSize) : bit }
            var word = bit / 64
            var rest = ~words[word] & ~((1 << UInt64(bit % 64)) - 1)
            while rest == 0 {
                word += 1
                if word == SettledSet.wordsInPage { return Int(SettledSet.pageSize) }
                rest = ~words[word]
            }
            return word * 64 + rest.trailingZeroBitCount
        }
    }

    /// All below are done with.
    private(set) var head: UInt64
    /// `pages[skipped]` holds the bits of `head`; bits below `head` in it are set.
    private var pages: [Page] = []
    private var skipped = 0
    /// Done with and above `head`.
    private(set) var countAbove: UInt64 = 0
    /// Where the head was when nothing was left above it: the page that was kept then knows of nothing since.
    private var keptHead: UInt64 = 0

    init(head: UInt64 = 1) { self.head = head }

    private var firstPage: UInt64 { head / Self.pageSize }

    /// Bytes of memory, about.
    var memory: Int {
        pages.capacity * MemoryLayout<Page>.stride + (pages.count - skipped) * 64
            + pages.reduce(0) { $0 + $1.words.count * 8 }
    }

    @inline(__always) func contains(_ sequence: UInt64) -> Bool {
        if sequence < head { return true }
        if countAbove == 0 { return false }
        let index = skipped + Int(sequence / Self.pageSize - firstPage)
        return index < pages.count && pages[index].has(Int(sequence % Self.pageSize))
    }

    /// Adds `low..<high`; returns how many of them are new. The caller keeps `high` in bounds.
    @inline(__always) mutating func insert(_ low: UInt64, _ high: UInt64) -> UInt64 {
        if low <= head, countAbove == 0 {
            if high <= head { return 0 }
            let added = high - head
            head = high
            return added
        }
        if high &- low == 1, countAbove > 0 { return insertBit(low) }
        return insertBits(max(low, head), high)
    }

    /// One above the head, as two consumers that take turns make them.
    @inline(__always) private mutating func insertBit(_ sequence: UInt64) -> UInt64 {
        if sequence < head { return 0 }
        let index = skipped &+ Int(sequence / Self.pageSize &- firstPage)
        if index >= pages.count { return insertBits(sequence, sequence + 1) }
        guard let isNew = pages[index].set(Int(sequence % Self.pageSize)) else {
            return insertBits(sequence, sequence + 1)
        }
        if !isNew { return 0 }
        countAbove &+= 1
        if sequence == head { advance() }
        return 1
    }

    private mutating func insertBits(_ low: UInt64, _ high: UInt64) -> UInt64 {
        if low >= high { return 0 }
        if countAbove == 0 { beginPages() }
        var added: UInt64 = 0
        var at = low
        while at < high {
            let index = skipped + Int(at / Self.pageSize - firstPage)
            while pages.count <= index { pages.append(Page()) }
            let from = Int(at % Self.pageSize)
            let to = Int(min(Self.pageSize, UInt64(from) + (high - at)))
            added += UInt64(pages[index].set(from, to))
            at += UInt64(to - from)
        }
        countAbove += added
        advance()
        return added
    }

    /// Pages start where the head is now; the bits below it are set, so that a page can fill.
    private mutating func beginPages() {
        if pages.count == 1, keptHead / Self.pageSize == firstPage {
            _ = pages[0].set(Int(keptHead % Self.pageSize), Int(head % Self.pageSize))
            return
        }
        skipped = 0
        pages.removeAll(keepingCapacity: true)
        var first = Page()
        _ = first.set(0, Int(head % Self.pageSize))
        pages.append(head % Self.pageSize == 0 ? Page() : first)
    }

    /// Nothing is left above the head. Its page is kept: consumers that take turns need it at once again.
    private mutating func endPages() {
        let last = skipped < pages.count && !pages[skipped].words.isEmpty ? skipped : nil
        if pages.count == 1, last == 0 {
            keptHead = head
            return
        }
        let kept = last.map { pages[$0] }
        pages = kept.map { [$0] } ?? []
        keptHead = head
        skipped = 0
    }

    /// Lets go of the page that was kept.
    mutating func release() {
        if countAbove == 0, !pages.isEmpty {
            pages = []
            skipped = 0
        }
    }

    /// Moves the head over what is done, and lets go of the pages that it leaves.
    private mutating func advance() {
        let before = head
        while skipped < pages.count {
            let from = Int(head % Self.pageSize)
            let clear = pages[skipped].firstClear(from: from)
            head += UInt64(clear - from)
            if clear < Int(Self.pageSize) { break }
            pages[skipped] = Page()
            skipped += 1
        }
        countAbove -= head - before
        if countAbove == 0 {
            endPages()
        } else if skipped > 64, skipped * 2 > pages.count {
            pages.removeFirst(skipped)
            skipped = 0
        }
    }

    /// The first that is not done with, from `sequence` on.
    func firstLive(from sequence: UInt64) -> UInt64 {
        var at = max(sequence, head)
        if countAbove == 0 { return at }
        while true {
            let index = skipped + Int(at / Self.pageSize - firstPage)
            if index >= pages.count { return at }
            let from = Int(at % Self.pageSize)
            let clear = pages[index].firstClear(from: from)
            at += UInt64(clear - from)
            if clear < Int(Self.pageSize) { return at }
        }
    }

    /// Calls with each page above the head that has bits: its number, and its words, or none if all are set.
    func forEachPage(_ body: (_ number: UInt64, _ words: [UInt64]) -> Void) {
        if countAbove == 0 { return }
        for index in skipped..<max(skipped, pages.count) where pages[index].count > 0 {
            body(firstPage + UInt64(index - skipped), pages[index].words)
        }
    }

    /// Adds the bits of a page as `forEachPage` gave them, as far as they lie in `head..<limit`.
    mutating func insertPage(_ number: UInt64, words: [UInt64], limit: UInt64) {
        let (start, overflow) = number.multipliedReportingOverflow(by: Self.pageSize)
        if overflow || start >= limit { return }
        if words.isEmpty {
            _ = insert(start, min(limit, start.addingReportingOverflow(Self.pageSize).partialValue))
            return
        }
        for (index, word) in words.enumerated() where word != 0 {
            for bit in 0..<64 where word >> UInt64(bit) & 1 != 0 {
                let sequence = start + UInt64(index * 64 + bit)
                if sequence >= head, sequence < limit { _ = insert(sequence, sequence + 1) }
            }
        }
    }

    static func == (a: SettledSet, b: SettledSet) -> Bool {
        if a.head != b.head || a.countAbove != b.countAbove { return false }
        var left: [(UInt64, [UInt64])] = []
        var right: [(UInt64, [UInt64])] = []
        a.forEachPage { left.append(($0, $1)) }
        b.forEachPage { right.append(($0, $1)) }
        return left.count == right.count && zip(left, right).allSatisfy { $0.0 == $1.0 && $0.1 == $1.1 }
    }
}
