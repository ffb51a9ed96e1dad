/// Path and query of a request, decoded.
public struct HTTPTarget: Equatable, Sendable {
    /// Each piece between slashes is decoded on its own: a `%2F` never becomes a separator.
    public var path: [String]
    public var query: [(name: String, value: String)]

    /// Nil when an escape is not two hexadecimal digits or the decoded bytes are not UTF-8.
    public init?(_ target: String) {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, first.hasPrefix("/") else { return nil }
        path = []
        for piece in first.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            guard let piece = percentDecoded(piece.utf8) else { return nil }
            path.append(piece)
        }
        query = []
        guard parts.count == 2 else { return }
        for pair in parts[1].split(separator: "&") {
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            // In a query a plus is a space: the form encoding, which all libraries write.
            guard let name = percentDecoded(sides[0].utf8, plusIsSpace: true),
                let value = sides.count == 2 ? percentDecoded(sides[1].utf8, plusIsSpace: true) : ""
            else { return nil }
            query.append((name, value))
        }
    }

    public static func == (a: HTTPTarget, b: HTTPTarget) -> Bool {
        a.path == b.path && a.query.elementsEqual(b.query) { $0 == $1 }
    }
}

/// RFC 3986, 2.1. Nil for a broken escape or bytes that are not UTF-8.
func percentDecoded(_ text: Substring.UTF8View, plusIsSpace: Bool = false) -> String? {
    var bytes: [UInt8] = []
    var rest = text[...]
    while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "%") {
            guard let high = rest.popFirst().flatMap(hexValue), let low = rest.popFirst().flatMap(hexValue) else {
                return nil
            }
            bytes.append(high << 4 | low)
        } else {
            bytes.append(plusIsSpace && byte == UInt8(ascii: "+") ? 0x20 : byte)
        }
    }
    return String(validating: bytes, as: UTF8.self)
}

private func hexValue(_ digit: UInt8) -> UInt8? {
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x41...0x46: digit - 0x37
    case 0x61...0x66: digit - 0x57
    default: nil
    }
}

/// Everything but letters, digits, `-`, `.`, `_` and `~` as escapes: fit for a path or a query.
public func percentEncoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: bytes.append(byte)
        default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
