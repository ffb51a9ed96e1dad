/// A value as it is written in a file or on the command line, before a setting has judged it.
public enum SettingValue: Equatable, Sendable {
    case number(Int)
    case flag(Bool)
    case text(String)
    case list([String])
    /// Anything that no setting can be; the word says what it was (`null`, `an object`).
    case other(String)

    /// For sentences: what it is, cut when long, with nothing in it that could act on a terminal.
    var described: String {
        switch self {
        case .number(let number): String(number)
        case .flag(let flag): String(flag)
        case .text(let text): quoted(String(text.prefix(80)))
        case .list(let texts): "[" + texts.prefix(8).map { quoted(String($0.prefix(80))) }.joined(separator: ", ") + "]"
        case .other(let word): word
        }
    }
}

/// A text between quotation marks, as JSON and JSON5 write it, with every character escaped that
/// does not print.
func quoted(_ text: String) -> String {
    var line: [UInt8] = []
    line.append(UInt8(ascii: "\""))
    Escaping.append(text, style: .json, limit: .max, to: &line)
    line.append(UInt8(ascii: "\""))
    return String(decoding: line, as: UTF8.self)
}
