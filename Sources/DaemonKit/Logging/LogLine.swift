import Glibc

/// Writes one line of the log, in one of its three forms. No state, no I/O.
enum LogLine {
    enum Form {
        case text
        /// Text without the time and with `<priority>` in front: journald takes both from there.
        case journald
        case json
    }

    /// Longest message and longest value, in bytes as written.
    static let textLimit = 512

    /// Appends the line with its line feed. `milliseconds` since 1970.
    static func append(
        _ message: String, _ fields: LogFields, level: LogLevel, milliseconds: UInt64, form: Form,
        to line: inout [UInt8]
    ) {
        switch form {
        case .text:
            appendTime(milliseconds, to: &line)
            line.append(contentsOf: " \(level.rawValue.padded(to: 7)) ".utf8)
            appendText(message, fields, to: &line)
        case .journald:
            line.append(contentsOf: "<\(level.priority)>".utf8)
            appendText(message, fields, to: &line)
        case .json:
            line.append(contentsOf: #"{"time":""#.utf8)
            appendTime(milliseconds, to: &line)
            line.append(contentsOf: #"","level":"\#(level.rawValue)","message":""#.utf8)
            Escaping.append(message, style: .json, limit: textLimit, to: &line)
            line.append(UInt8(ascii: "\""))
            for (key, value) in fields.pairs { appendJSON(key, value, to: &line) }
            line.append(UInt8(ascii: "}"))
        }
        line.append(UInt8(ascii: "\n"))
    }

    private static func appendText(_ message: String, _ fields: LogFields, to line: inout [UInt8]) {
        // The message is a sentence of ours: quotation marks in it are no business of a parser's.
        Escaping.append(message, style: .text, limit: textLimit, to: &line)
        for (key, value) in fields.pairs {
            line.append(UInt8(ascii: " "))
            append(key, to: &line)
            line.append(UInt8(ascii: "="))
            switch value {
            case .number(let number): line.append(contentsOf: String(number).utf8)
            case .flag(let flag): line.append(contentsOf: String(flag).utf8)
            case .redacted: line.append(contentsOf: "[redacted]".utf8)
            case .text(let text): appendTextValue(text, to: &line)
            }
        }
    }

    /// Bare when it is one plain word, in quotation marks otherwise, so that no value can look like
    /// two fields.
    private static func appendTextValue(_ text: String, to line: inout [UInt8]) {
        let plain =
            !text.isEmpty
            && text.utf8.allSatisfy { byte in
                byte > 0x20 && byte < 0x7f && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "=")
                    && byte != UInt8(ascii: "\\")
            }
        if !plain { line.append(UInt8(ascii: "\"")) }
        Escaping.append(text, style: .text, limit: textLimit, to: &line)
        if !plain { line.append(UInt8(ascii: "\"")) }
    }

    private static func appendJSON(_ key: StaticString, _ value: LogValue, to line: inout [UInt8]) {
        line.append(contentsOf: ",\"".utf8)
        append(key, to: &line)
        line.append(contentsOf: "\":".utf8)
        switch value {
        case .number(let number): line.append(contentsOf: String(number).utf8)
        case .flag(let flag): line.append(contentsOf: String(flag).utf8)
        case .redacted: line.append(contentsOf: "\"[redacted]\"".utf8)
        case .text(let text):
            line.append(UInt8(ascii: "\""))
            Escaping.append(text, style: .json, limit: textLimit, to: &line)
            line.append(UInt8(ascii: "\""))
        }
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-21T11:08:18.123Z`.
    static func appendTime(_ milliseconds: UInt64, to line: inout [UInt8]) {
        var seconds = time_t(milliseconds / 1000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        appendDigits(Int(parts.tm_year) + 1900, 4, to: &line)
        line.append(UInt8(ascii: "-"))
        appendDigits(Int(parts.tm_mon) + 1, 2, to: &line)
        line.append(UInt8(ascii: "-"))
        appendDigits(Int(parts.tm_mday), 2, to: &line)
        line.append(UInt8(ascii: "T"))
        appendDigits(Int(parts.tm_hour), 2, to: &line)
        line.append(UInt8(ascii: ":"))
        appendDigits(Int(parts.tm_min), 2, to: &line)
        line.append(UInt8(ascii: ":"))
        appendDigits(Int(parts.tm_sec), 2, to: &line)
        line.append(UInt8(ascii: "."))
        appendDigits(Int(milliseconds % 1000), 3, to: &line)
        line.append(UInt8(ascii: "Z"))
    }

    /// `number`, which is not negative, with zeros in front; its last `count` digits.
    private static func appendDigits(_ number: Int, _ count: Int, to line: inout [UInt8]) {
        var divisor = 1
        for _ in 1..<count { divisor *= 10 }
        while divisor > 0 {
            line.append(UInt8(ascii: "0") + UInt8(number / divisor % 10))
            divisor /= 10
        }
    }

    private static func append(_ key: StaticString, to line: inout [UInt8]) {
        key.withUTF8Buffer { line.append(contentsOf: $0) }
    }
}

extension String {
    /// With blanks behind it, up to `width` characters.
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
