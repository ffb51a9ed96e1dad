/// The text of a note: lines of a word, a space and a value in which `%`, control characters and nothing else
/// are written `%XX`.
enum NoteLines {
    static func append(_ word: String, _ value: some Sequence<UInt8>, to out: inout [UInt8]) {
        out += Array(word.utf8)
        out.append(UInt8(ascii: " "))
        for byte in value {
            if byte < 0x20 || byte == 0x7F || byte == UInt8(ascii: "%") {
                out.append(UInt8(ascii: "%"))
                out.append(digits[Int(byte >> 4)])
                out.append(digits[Int(byte & 15)])
            } else {
                out.append(byte)
            }
        }
        out.append(0x0A)
    }

    /// Every line that is one, in order.
    static func read(_ bytes: [UInt8]) -> [(word: String, value: [UInt8])] {
        bytes.split(separator: 0x0A).compactMap { line in
            pair(line).map { (String(decoding: $0, as: UTF8.self), plain($1)) }
        }
    }

    /// A setting's name and its value, in the value of a line.
    static func setting(_ value: [UInt8]) -> (name: String, value: String)? {
        pair(value[...]).map { (String(decoding: $0, as: UTF8.self), String(decoding: $1, as: UTF8.self)) }
    }

    private static func pair(_ text: ArraySlice<UInt8>) -> (ArraySlice<UInt8>, ArraySlice<UInt8>)? {
        text.firstIndex(of: UInt8(ascii: " ")).map { (text[..<$0], text[($0 + 1)...]) }
    }

    private static let digits = Array("0123456789ABCDEF".utf8)

    private static func plain(_ text: ArraySlice<UInt8>) -> [UInt8] {
        var out: [UInt8] = []
        var rest = text[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            else {
                out.append(byte)
                continue
            }
            out.append(value)
            rest.removeFirst(2)
        }
        return out
    }
}
