/// Makes text from outside harmless: whatever a client or a file may have put in, it cannot start a
/// line of its own, move a cursor, or change the direction in which the rest is read.
public enum Escaping {
    enum Style {
        /// As in Swift source: `\n`, `\u{1b}`.
        case text
        /// As in JSON: `\n`, `\u001b`.
        case json
    }

    /// `text` as it may stand on a terminal, cut after `limit` bytes.
    public static func safe(_ text: String, limit: Int = 512) -> String {
        var line: [UInt8] = []
        append(text, style: .text, limit: limit, to: &line)
        return String(decoding: line, as: UTF8.self)
    }

    /// Appends `text`, escaped. After `limit` bytes, at the end of a character, it says how many
    /// bytes of the text are left out.
    static func append(_ text: String, style: Style, limit: Int, to line: inout [UInt8]) {
        if text.utf8.count <= limit, text.utf8.allSatisfy(isPlain) {
            line.append(contentsOf: text.utf8)
            return
        }
        let start = line.count
        var read = 0
        for scalar in text.unicodeScalars {
            if line.count - start >= limit {
                line.append(contentsOf: "…(\(text.utf8.count - read) more bytes)".utf8)
                return
            }
            append(scalar, style: style, to: &line)
            read += UTF8.width(scalar)
        }
    }

    /// ASCII that means itself in every style: most bytes of most texts.
    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte < 0x7f && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    private static func append(_ scalar: Unicode.Scalar, style: Style, to line: inout [UInt8]) {
        switch scalar {
        case "\n": line.append(contentsOf: #"\n"#.utf8)
        case "\r": line.append(contentsOf: #"\r"#.utf8)
        case "\t": line.append(contentsOf: #"\t"#.utf8)
        case "\\": line.append(contentsOf: #"\\"#.utf8)
        case "\"": line.append(contentsOf: #"\""#.utf8)
        case _ where isHarmless(scalar): line.append(contentsOf: String(scalar).utf8)
        default: appendCode(scalar, style: style, to: &line)
        }
    }

    /// False for control characters (C0, DEL, C1), for what sets the direction or cannot be seen,
    /// and for the two separators that some programs take for the end of a line.
    private static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.value < 0x7f { return scalar.value >= 0x20 }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned: return false
        default: return true
        }
    }

    private static func appendCode(_ scalar: Unicode.Scalar, style: Style, to line: inout [UInt8]) {
        let digits = String(scalar.value, radix: 16)
        switch style {
        case .text:
            line.append(contentsOf: "\\u{\(digits)}".utf8)
        case .json:
            // Beyond the basic plane JSON wants a surrogate pair.
            for unit in String(scalar).utf16 {
                let digits = String(unit, radix: 16)
                line.append(contentsOf: "\\u".utf8)
                line.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: 4 - digits.utf8.count))
                line.append(contentsOf: digits.utf8)
            }
        }
    }
}
