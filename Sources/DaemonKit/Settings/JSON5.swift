/// Reads a configuration file: JSON5 (https://spec.json5.org) with one object at the top.
///
/// The answer is flat: each value with its dotted name and the line of its key, in the order of the
/// file, so that whoever finds fault with a value can say where it stands. Foundation's reader
/// knows no places and takes the last of two equal keys in silence.
struct JSON5Reader {
    struct Entry: Equatable {
        let name: String
        let value: SettingValue
        let line: Int
    }

    struct Failure: Error, Equatable {
        let line: Int
        let column: Int
        /// Completes "the file is not JSON5: …".
        let text: String
    }

    /// Objects inside objects. Settings need three.
    private static let depthLimit = 16

    private let text: [Unicode.Scalar]
    private var at = 0
    private var line = 1
    private var lineStart = 0
    private var entries: [Entry] = []

    static func read(_ text: String) throws(Failure) -> [Entry] {
        var reader = JSON5Reader(text: Array(text.unicodeScalars))
        try reader.file()
        return reader.entries
    }

    private init(text: [Unicode.Scalar]) { self.text = text }

    private mutating func file() throws(Failure) {
        try skipBlank()
        guard take("{") else { throw failure("the file must hold one object, { … }") }
        try members(of: "", depth: 1)
        try skipBlank()
        if at < text.count { throw failure("something stands behind the closing brace") }
    }

    // MARK: Objects and values

    /// After the opening brace, through the closing one.
    private mutating func members(of name: String, depth: Int) throws(Failure) {
        if depth > Self.depthLimit { throw failure("more than \(Self.depthLimit) objects inside each other") }
        while true {
            try skipBlank()
            if take("}") { return }
            let keyLine = line
            let key = try key()
            try skipBlank()
            guard take(":") else { throw failure("':' is missing after \(quoted(key))") }
            try skipBlank()
            try member(name.isEmpty ? key : name + "." + key, line: keyLine, depth: depth)
            try skipBlank()
            if take(",") { continue }
            if take("}") { return }
            throw failure("',' or '}' is missing")
        }
    }

    private mutating func member(_ name: String, line: Int, depth: Int) throws(Failure) {
        guard take("{") else {
            entries.append(Entry(name: name, value: try value(depth: depth), line: line))
            return
        }
        let before = entries.count
        try members(of: name, depth: depth + 1)
        if entries.count == before { entries.append(Entry(name: name, value: .other("an object"), line: line)) }
    }

    private mutating func key() throws(Failure) -> String {
        if let quote = peek, quote == "\"" || quote == "'" { return try string() }
        let word = word()
        if word.isEmpty { throw failure("a name is missing") }
        return word
    }

    private mutating func value(depth: Int) throws(Failure) -> SettingValue {
        switch peek {
        case "\"", "'": return .text(try string())
        case "[":
            at += 1
            return try list(depth: depth)
        case nil: throw failure("a value is missing")
        default: return try bareValue()
        }
    }

    /// After the opening bracket, through the closing one.
    private mutating func list(depth: Int) throws(Failure) -> SettingValue {
        if depth > Self.depthLimit { throw failure("more than \(Self.depthLimit) lists inside each other") }
        var texts: [String] = []
        var hasOther = false
        while true {
            try skipBlank()
            if take("]") { break }
            if peek == "{" { throw failure("a list of this file holds texts, not objects") }
            if case .text(let text) = try value(depth: depth + 1) { texts.append(text) } else { hasOther = true }
            try skipBlank()
            if take(",") { continue }
            if take("]") { break }
            throw failure("',' or ']' is missing")
        }
        return hasOther ? .other("a list with something else than texts") : .list(texts)
    }

    /// `true`, `false`, `null` and numbers: what stands between punctuation.
    private mutating func bareValue() throws(Failure) -> SettingValue {
        let sign = take("-") ? "-" : ""
        if sign.isEmpty, take("+") {}
        let word = word(alsoIn: ".+-")
        switch word {
        case "": throw failure("a value is missing")
        case "true" where sign.isEmpty: return .flag(true)
        case "false" where sign.isEmpty: return .flag(false)
        case "null" where sign.isEmpty: return .other("null")
        default: return try number(sign: sign, word)
        }
    }

    private func number(sign: String, _ word: String) throws(Failure) -> SettingValue {
        let lower = word.lowercased()
        if lower.hasPrefix("0x"), lower.dropFirst(2).allSatisfy(\.isHexDigit),
            let number = Int(sign + lower.dropFirst(2), radix: 16)
        {
            return .number(number)
        }
        if word.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) {
            if word.count > 1, word.hasPrefix("0") { throw failure("a number with a 0 in front") }
            return Int(sign + word).map(SettingValue.number) ?? .other("the number " + sign + word)
        }
        let digits = word.utf8.contains { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        if word == "Infinity" || word == "NaN" || (digits && Double(word) != nil) { return .other(sign + word) }
        throw failure("\(quoted(String(word.prefix(40)))) is no value; texts stand between quotation marks")
    }

    // MARK: Texts

    /// From its quotation mark, through the other one.
    private mutating func string() throws(Failure) -> String {
        let quote = text[at]
        at += 1
        var result = String.UnicodeScalarView()
        while let next = peek {
            at += 1
            if next == quote { return String(result) }
            if next == "\n" || next == "\r" {
                at -= 1
                throw failure("a text ends with its line; a closing \(quote) is missing")
            }
            if next == "\\" {
                if let meant = try escape() { result.append(meant) }
            } else {
                result.append(next)
            }
        }
        throw failure("the file ends inside a text")
    }

    /// After the backslash. nil for a line that goes on in the next one.
    private mutating func escape() throws(Failure) -> Unicode.Scalar? {
        guard let letter = peek else { throw failure("the file ends inside a text") }
        at += 1
        switch letter {
        case "n": return "\n"
        case "t": return "\t"
        case "r": return "\r"
        case "b": return "\u{8}"
        case "f": return "\u{c}"
        case "v": return "\u{b}"
        case "0": return "\0"
        case "x": return try scalar(try hex(2))
        case "u": return try unicodeEscape()
        case "\n", "\u{2028}", "\u{2029}":
            startLine()
            return nil
        case "\r":
            _ = take("\n")
            startLine()
            return nil
        case "1"..."9": throw failure("a backslash before a digit means nothing")
        default: return letter
        }
    }

    private mutating func unicodeEscape() throws(Failure) -> Unicode.Scalar {
        let first = try hex(4)
        guard (0xD800...0xDBFF).contains(first) else { return try scalar(first) }
        guard take("\\"), take("u") else { throw failure("half a surrogate pair") }
        let second = try hex(4)
        guard (0xDC00...0xDFFF).contains(second) else { throw failure("half a surrogate pair") }
        return try scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    }

    private func scalar(_ code: UInt32) throws(Failure) -> Unicode.Scalar {
        guard let scalar = Unicode.Scalar(code) else { throw failure("half a surrogate pair") }
        return scalar
    }

    private mutating func hex(_ count: Int) throws(Failure) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<count {
            guard let digit = peek.flatMap({ Character($0).hexDigitValue }) else {
                throw failure("\(count) hexadecimal digits are wanted")
            }
            code = code << 4 | UInt32(digit)
            at += 1
        }
        return code
    }

    /// Letters, digits, `_`, `$` and what `alsoIn` names; may be empty.
    private mutating func word(alsoIn others: String = "") -> String {
        var word = String.UnicodeScalarView()
        while let next = peek,
            next == "_" || next == "$" || next.properties.isIDContinue
                || others.unicodeScalars.contains(next)
        {
            word.append(next)
            at += 1
        }
        return String(word)
    }

    // MARK: Between the words

    private mutating func skipBlank() throws(Failure) {
        while let next = peek {
            if next == "/" {
                try skipComment()
            } else if next == "\n" || next == "\u{2028}" || next == "\u{2029}" {
                at += 1
                startLine()
            } else if next == "\u{feff}" || next.properties.isWhitespace {
                at += 1
            } else {
                return
            }
        }
    }

    private mutating func skipComment() throws(Failure) {
        at += 1
        if take("/") {
            while let next = peek, next != "\n" { at += 1 }
        } else if take("*") {
            while let next = peek {
                at += 1
                if next == "\n" { startLine() }
                if next == "*", take("/") { return }
            }
            throw failure("the file ends inside a comment")
        } else {
            throw failure("a single '/'")
        }
    }

    private var peek: Unicode.Scalar? { at < text.count ? text[at] : nil }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == scalar else { return false }
        at += 1
        return true
    }

    private mutating func startLine() {
        line += 1
        lineStart = at
    }

    private func failure(_ text: String) -> Failure {
        Failure(line: line, column: at - lineStart + 1, text: text)
    }
}
