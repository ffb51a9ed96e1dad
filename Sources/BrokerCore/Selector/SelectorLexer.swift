/// The words of a selector.
enum SelectorToken: Equatable {
    case end
    /// A header name. Keywords are one only in double quotes.
    case name([UInt8])
    case string([UInt8])
    case integer(UInt64)
    case real(Double)
    case keyword(Keyword)
    case symbol(Symbol)

    enum Keyword: String, CaseIterable {
        case and, or, not, between, like, escape, `in`, `is`, null, `true`, `false`
    }

    enum Symbol: String {
        case equal = "="
        case notEqual = "<>"
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
        case plus = "+"
        case minus = "-"
        case times = "*"
        case divide = "/"
        case open = "("
        case close = ")"
        case comma = ","
    }
}

/// Cuts the text of a selector into words.
struct SelectorLexer {
    struct Lexeme {
        var token: SelectorToken
        /// Bytes of the text.
        var range: Range<Int>
    }

    let text: [UInt8]
    private var at = 0

    init(_ text: [UInt8]) {
        self.text = text
        // ActiveMQ wants to be told to take text for numbers, which is always done here.
        let prefix = "convert_string_expressions:"
        if text.starts(with: prefix.utf8) { at = prefix.utf8.count }
    }

    mutating func next() throws(SelectorError) -> Lexeme {
        while at < text.count, text[at] == 0x20 || (0x09...0x0D).contains(text[at]) { at += 1 }
        let start = at
        let token = try word()
        return Lexeme(token: token, range: start..<at)
    }

    private func byte(_ ahead: Int = 0) -> UInt8 { at + ahead < text.count ? text[at + ahead] : 0 }

    private mutating func word() throws(SelectorError) -> SelectorToken {
        guard at < text.count else { return .end }
        switch text[at] {
        case UInt8(ascii: "'"): return .string(try quoted(UInt8(ascii: "'"), "string"))
        case UInt8(ascii: "\""):
            let start = at
            let name = try quoted(UInt8(ascii: "\""), "header name")
            if name.isEmpty { throw SelectorError(at: start, of: text, "found an empty header name") }
            return .name(name)
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        case UInt8(ascii: ".") where Self.isDigit(byte(1)): return try number()
        case let first where Self.startsName(first): return nameOrKeyword()
        default: return .symbol(try symbol())
        }
    }

    // MARK: Names and strings

    private static func startsName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"),
            UInt8(ascii: "$"):
            true
        default: false
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func continuesName(_ byte: UInt8) -> Bool {
        startsName(byte) || isDigit(byte) || byte == UInt8(ascii: ".")
    }

    private mutating func nameOrKeyword() -> SelectorToken {
        var start = at
        while Self.continuesName(byte()) { at += 1 }
        // Artemis' way to write a name with hyphens.
        if byte() == UInt8(ascii: ":"), text[start..<at].elementsEqual("hyphenated_props".utf8),
            Self.startsName(byte(1))
        {
            start = at + 1
            at = start
            while Self.continuesName(byte()) || byte() == UInt8(ascii: "-") { at += 1 }
            return .name(Array(text[start..<at]))
        }
        let word = text[start..<at]
        if let keyword = SelectorToken.Keyword(rawValue: String(decoding: word, as: UTF8.self).lowercased()) {
            return .keyword(keyword)
        }
        return .name(Array(word))
    }

    /// What stands between two of `quote`; two of them together are one.
    private mutating func quoted(_ quote: UInt8, _ what: String) throws(SelectorError) -> [UInt8] {
        let start = at
        var plain: [UInt8] = []
        at += 1
        while at < text.count {
            if text[at] == quote {
                at += 1
                if byte() != quote { return plain }
            }
            plain.append(text[at])
            at += 1
        }
        throw SelectorError(
            at: text.count, of: text,
            "found the end, expected \(Character(Unicode.Scalar(quote))) at the end of the \(what) that begins at character "
                + "\(SelectorError(at: start, of: text, "").column)")
    }

    // MARK: Numbers

    /// `57`, `0x1F`, `57L`, `5.7`, `.5`, `5.`, `5e-7`, `5.7F`, `5D`.
    private mutating func number() throws(SelectorError) -> SelectorToken {
        let start = at
        var radix = 10
        var digits = start
        if byte() == UInt8(ascii: "0"), byte(1) | 0x20 == UInt8(ascii: "x") {
            radix = 16
            at += 2
            digits = at
            while Self.hexDigits.contains(byte()) { at += 1 }
        } else {
            while Self.isDigit(byte()) { at += 1 }
        }
        let isWhole = radix == 16 || !takeFraction()
        let end = at
        let suffix = byte() | 0x20
        let hasSuffix = suffix == UInt8(ascii: "l") && isWhole || radix == 10 && Self.realSuffixes.contains(suffix)
        if hasSuffix { at += 1 }
        if Self.continuesName(byte()) || end == digits {
            while Self.continuesName(byte()) { at += 1 }
            throw SelectorError(at: start, of: text, "found \(Self.show(text[start..<at])), which is no number")
        }
        let written = String(decoding: text[digits..<end], as: UTF8.self)
        if !isWhole || hasSuffix && suffix != UInt8(ascii: "l") {
            guard let value = Double(written), value.isFinite else {
                throw SelectorError(
                    at: start, of: text, "found \(Self.show(text[start..<at])), which is too large a number")
            }
            return .real(value)
        }
        // Java takes it for an octal number, most people do not.
        if radix == 10, written.utf8.count > 1, written.hasPrefix("0") {
            throw SelectorError(
                at: start, of: text,
                "found \(Self.show(text[start..<at])), expected a number that does not begin with 0")
        }
        guard let value = UInt64(written, radix: radix), value <= UInt64(Int64.max) + 1 else {
            throw SelectorError(
                at: start, of: text, "found \(Self.show(text[start..<at])), which is too large for a whole number")
        }
        return .integer(value)
    }

    private static let hexDigits = Set("0123456789abcdefABCDEF".utf8)
    private static let realSuffixes = Set("fd".utf8)

    /// Passes over a decimal point with its digits and an exponent; false if neither is there.
    private mutating func takeFraction() -> Bool {
        let start = at
        if byte() == UInt8(ascii: ".") {
            at += 1
            while Self.isDigit(byte()) { at += 1 }
        }
        if byte() | 0x20 == UInt8(ascii: "e") {
            let sign = byte(1) == UInt8(ascii: "+") || byte(1) == UInt8(ascii: "-") ? 1 : 0
            if Self.isDigit(byte(1 + sign)) {
                at += 1 + sign
                while Self.isDigit(byte()) { at += 1 }
            }
        }
        return at > start
    }

    // MARK: Signs

    private mutating func symbol() throws(SelectorError) -> SelectorToken.Symbol {
        for length in [2, 1] where at + length <= text.count {
            if let symbol = SelectorToken.Symbol(rawValue: String(decoding: text[at..<at + length], as: UTF8.self)) {
                at += length
                return symbol
            }
        }
        let start = at
        repeat { at += 1 } while byte() & 0xC0 == 0x80
        if text[start] == UInt8(ascii: "!"), byte() == UInt8(ascii: "=") {
            throw SelectorError(at: start, of: text, "found \"!=\", expected \"<>\"")
        }
        throw SelectorError(
            at: start, of: text,
            "found \(Self.show(text[start..<at])), which means nothing here; "
                + "header names with such characters stand in double quotes")
    }

    /// At most 40 characters of the text, in quotes.
    static func show(_ part: ArraySlice<UInt8>) -> String {
        let all = String(decoding: part, as: UTF8.self)
        return all.count > 40 ? "\"\(all.prefix(40))...\"" : "\"\(all)\""
    }
}
