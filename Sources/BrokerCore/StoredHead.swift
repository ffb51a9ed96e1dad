import Base

/// The header block of a stored message, as the core reads and writes it: 1.2 text, a blank line, then
/// the body. What a message is stamped with stands in front, each in a line of its own:
///
///     deliver-at:1792713472000\n      not before this time
///     expires:1792713999000\n         not after this one
///     destination:/queue/orders\n     the sender's headers
///     ...
///     \n
///     body NUL
enum StoredHead {
    private static let deliverAt = StaticName("deliver-at:")
    private static let expires = StaticName("expires:")

    /// A name with its colon, compared without a `String`.
    struct StaticName: Sendable {
        let bytes: [UInt8]
        init(_ text: StaticString) { bytes = text.withUTF8Buffer { Array($0) } }
    }

    struct Stamps: Equatable {
        var deliverAt: UInt64 = 0
        var expires: UInt64 = 0
        /// Bytes of the `deliver-at` line, of both lines.
        var deliverAtBytes = 0
        var bytes = 0
    }

    /// The lines for these times; 0 for none.
    static func stamps(deliverAt due: UInt64, expires end: UInt64) -> [UInt8] {
        var lines: [UInt8] = []
        if due > 0 { append(deliverAt, due, to: &lines) }
        if end > 0 { append(expires, end, to: &lines) }
        return lines
    }

    private static func append(_ name: StaticName, _ number: UInt64, to lines: inout [UInt8]) {
        lines += name.bytes
        append(number, to: &lines)
        lines.append(0x0A)
    }

    /// What a message with `MessageFlags.stamped` begins with.
    static func stamps(of content: Bytes) -> Stamps {
        var stamps = Stamps()
        if let (due, end) = number(after: deliverAt, in: content, from: 0) {
            stamps.deliverAt = due
            stamps.deliverAtBytes = end
            stamps.bytes = end
        }
        if let (end, behind) = number(after: expires, in: content, from: stamps.bytes) {
            stamps.expires = end
            stamps.bytes = behind
        }
        return stamps
    }

    private static func number(after name: StaticName, in content: Bytes, from start: Int) -> (UInt64, end: Int)? {
        let from = start + name.bytes.count
        guard content.count > from else { return nil }
        for (offset, byte) in name.bytes.enumerated() where content[start + offset] != byte { return nil }
        var number: UInt64 = 0
        var at = from
        while at < content.count, content[at] != 0x0A {
            let figure = content[at] &- UInt8(ascii: "0")
            guard figure <= 9, at - from < 19 else { return nil }
            number = number * 10 + UInt64(figure)
            at += 1
        }
        return at < content.count && at > from ? (number, at + 1) : nil
    }

    // MARK: Lines

    /// Calls `body` with the name and the line (its line feed included) of each header, until it returns false.
    static func forEachLine(_ head: Bytes, _ body: (_ name: Bytes, _ line: Bytes) -> Bool) {
        var start = 0
        while start < head.count, head[start] != 0x0A {
            var colon = -1
            var end = start
            while end < head.count, head[end] != 0x0A {
                if colon < 0, head[end] == UInt8(ascii: ":") { colon = end }
                end += 1
            }
            let behind = min(end + 1, head.count)
            let nameEnd = colon < 0 ? end : colon
            if !body(
                Bytes(rebasing: head[start..<nameEnd]), Bytes(rebasing: head[start..<behind]))
            {
                return
            }
            start = behind
        }
    }

    /// The value of the first header of one of `names`, its escapes undone.
    static func value(of names: [StaticString], in head: Bytes) -> [UInt8]? {
        var found: [UInt8]?
        forEachLine(head) { name, line in
            guard names.contains(where: { same($0, name) }) else { return true }
            // Between colon and line feed.
            let start = min(name.count + 1, line.count)
            found = plain(Bytes(rebasing: line[start..<max(start, line.count - 1)]))
            return false
        }
        return found
    }

    private static func plain(_ value: Bytes) -> [UInt8] {
        guard value.contains(UInt8(ascii: "\\")) else { return Array(value) }
        var plain: [UInt8] = []
        var isEscape = false
        for byte in value {
            if isEscape {
                switch byte {
                case UInt8(ascii: "n"): plain.append(0x0A)
                case UInt8(ascii: "r"): plain.append(0x0D)
                case UInt8(ascii: "c"): plain.append(UInt8(ascii: ":"))
                default: plain.append(byte)
                }
                isEscape = false
            } else if byte == UInt8(ascii: "\\") {
                isEscape = true
            } else {
                plain.append(byte)
            }
        }
        return plain
    }

    private static func same(_ text: StaticString, _ name: Bytes) -> Bool {
        text.utf8CodeUnitCount == name.count && text.withUTF8Buffer { $0.elementsEqual(name) }
    }

    /// The message with `lines` in front and without the headers called `dropping`.
    static func rewritten(
        _ content: Bytes, headerBytes: UInt32, adding lines: [UInt8], dropping: [StaticString]
    ) -> (content: [UInt8], headerBytes: UInt32) {
        let head = Bytes(rebasing: content[..<min(Int(headerBytes), content.count)])
        var out: [UInt8] = []
        out.reserveCapacity(content.count + lines.count)
        out += lines
        forEachLine(head) { name, line in
            if !dropping.contains(where: { same($0, name) }) { out += line }
            return true
        }
        out.append(0x0A)
        let newHeaderBytes = UInt32(clamping: out.count)
        out += content[head.count...]
        return (out, newHeaderBytes)
    }

    /// `name:value\n` with the value escaped as STOMP 1.2 says.
    static func line(_ name: StaticString, _ value: some Sequence<UInt8>) -> [UInt8] {
        var line: [UInt8] = []
        append(name, value, to: &line)
        return line
    }

    /// The same, behind others.
    static func append(_ name: StaticString, _ value: some Sequence<UInt8>, to lines: inout [UInt8]) {
        append(name, to: &lines) { lines in
            for byte in value {
                switch byte {
                case 0x0A: append("n", to: &lines)
                case 0x0D: append("r", to: &lines)
                case UInt8(ascii: ":"): append("c", to: &lines)
                case UInt8(ascii: "\\"): append("\\", to: &lines)
                default: lines.append(byte)
                }
            }
        }
    }

    /// A line whose value `value` appends, escaped already.
    @inline(__always)
    static func append(_ name: StaticString, to lines: inout [UInt8], _ value: (inout [UInt8]) -> Void) {
        name.withUTF8Buffer { lines.append(contentsOf: $0) }
        lines.append(UInt8(ascii: ":"))
        value(&lines)
        lines.append(0x0A)
    }

    private static func append(_ escape: Unicode.Scalar, to lines: inout [UInt8]) {
        lines.append(UInt8(ascii: "\\"))
        lines.append(UInt8(ascii: escape))
    }

    /// In decimal, without a `String`.
    static func append(_ number: UInt64, to lines: inout [UInt8]) {
        var unit: UInt64 = 1
        while number / unit >= 10 { unit *= 10 }
        while unit > 0 {
            lines.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / unit % 10))
            unit /= 10
        }
    }
}

extension MessageFlags {
    /// When a message with `stamped` may be delivered and when its time is over, in milliseconds since 1970; 0: no
    /// such time.
    public static func times(of content: Bytes) -> (deliverAt: UInt64, expires: UInt64) {
        let stamps = StoredHead.stamps(of: content)
        return (stamps.deliverAt, stamps.expires)
    }
}
