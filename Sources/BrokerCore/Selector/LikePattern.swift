/// The pattern of a LIKE: `_` is one character, `%` any number of them, be it none.
struct LikePattern: Equatable, Sendable {
    enum Item: Equatable, Sendable {
        case byte(UInt8)
        case one
        case many
    }

    private let items: [Item]

    /// `escape`: the character behind which `_`, `%` and itself mean themselves. Nil if nothing stands behind
    /// the last one.
    init?(_ text: [UInt8], escape: [UInt8]? = nil) {
        var items: [Item] = []
        var at = 0
        while at < text.count {
            if let escape, text[at...].starts(with: escape) {
                at += escape.count
                if at == text.count { return nil }
                items.append(.byte(text[at]))
            } else if text[at] == UInt8(ascii: "_") {
                items.append(.one)
            } else if text[at] == UInt8(ascii: "%") {
                if items.last != .many { items.append(.many) }
            } else {
                items.append(.byte(text[at]))
            }
            at += 1
        }
        self.items = items
    }

    /// Whether all of `text` fits. Nil if that takes more than `steps`, which loses what was used.
    ///
    /// Only the last `%` is ever tried again: what fits before it can stay as it is. So there are at most
    /// (bytes of the text) x (bytes of the pattern) steps.
    func matches(_ text: Bytes, steps: inout Int) -> Bool? {
        var at = 0
        var item = 0
        var lastMany = -1
        var triedFrom = 0
        while at < text.count || item < items.count {
            steps -= 1
            if steps < 0 { return nil }
            if item < items.count {
                switch items[item] {
                case .many:
                    if item == items.count - 1 { return true }
                    lastMany = item
                    triedFrom = at
                    item += 1
                    continue
                case .one where at < text.count:
                    at = Self.character(after: at, in: text)
                    item += 1
                    continue
                case .byte(let byte) where at < text.count && text[at] == byte:
                    at += 1
                    item += 1
                    continue
                case .one, .byte: break
                }
            }
            // Later tries have less text, which cannot help if there was too little.
            if lastMany < 0 || at == text.count { return false }
            triedFrom = Self.character(after: triedFrom, in: text)
            at = triedFrom
            item = lastMany + 1
        }
        return true
    }

    private static func character(after at: Int, in text: Bytes) -> Int {
        var next = at + 1
        while next < text.count, text[next] & 0xC0 == 0x80 { next += 1 }
        return next
    }
}
