import Base

/// The text of header names and values: what is escaped in which version.
///
/// | octet     | 1.2  | 1.1  | 1.0                                  |
/// |-----------|------|------|--------------------------------------|
/// | backslash | `\\` | `\\` | itself                               |
/// | colon     | `\c` | `\c` | itself; a space in a name            |
/// | LF        | `\n` | `\n` | a space: 1.0 has no way to carry it  |
/// | CR        | `\r` | itself | itself                             |
/// | NUL       | a space, in every version: no frame may carry it in its head |
///
/// CONNECT, STOMP and CONNECTED are written and read as in 1.0 whatever the version.
public enum HeaderText {
    /// Decodes a name or a value. Offsets in errors count from the first of `bytes`. In 1.0 nothing is decoded.
    /// What was appended before an error stays there.
    public static func unescape(
        _ bytes: UnsafeBufferPointer<UInt8>, version: Version, into out: inout Buffer
    ) throws(FrameError) {
        guard version > .v10 else { return out.append(bytes) }
        var copied = 0
        while let at = bytes.firstIndex(of: .backslash, from: copied) {
            out.append(UnsafeBufferPointer(rebasing: bytes[copied..<at]))
            guard at + 1 < bytes.count else { throw .unfinishedEscape(offset: at) }
            switch bytes[at + 1] {
            case .n: out.append(.lineFeed)
            case .c: out.append(.colon)
            case .backslash: out.append(.backslash)
            case .r where version == .v12: out.append(.carriageReturn)
            default: throw .undefinedEscape(offset: at)
            }
            copied = at + 2
        }
        out.append(UnsafeBufferPointer(rebasing: bytes[copied...]))
    }

    /// Where the value that begins at `start` ends, before the line feed; nil if that is not before `end`, or if the
    /// value has anything in it that must be looked at: control characters, colons, backslashes, what is not ASCII.
    @inlinable
    public static func endOfPlainValue(_ base: UnsafePointer<UInt8>, from start: Int, to end: Int) -> Int? {
        var at = start
        while at &+ 8 <= end {
            let word = UInt64(littleEndian: UnsafeRawPointer(base + at).loadUnaligned(as: UInt64.self))
            let marks = LineScanner.marks(word)
            // Only what stands in front of the mark belongs to the value.
            let value = (marks & (0 &- marks)) &- 1
            if word & LineScanner.highs & value != 0 { return nil }
            if marks != 0 {
                at &+= marks.trailingZeroBitCount >> 3
                return base[at] == 0x0A ? at : nil
            }
            at &+= 8
        }
        while at < end, !LineScanner.isMark(base[at]), base[at] < 0x80 { at &+= 1 }
        return at < end && base[at] == 0x0A ? at : nil
    }

    /// Encodes a value.
    public static func escape(_ bytes: UnsafeBufferPointer<UInt8>, version: Version, into out: inout Buffer) {
        escape(bytes, version: version, isName: false, into: &out)
    }

    /// Encodes a name. Differs from a value in 1.0 only, where a colon would end it.
    public static func escape(name: UnsafeBufferPointer<UInt8>, version: Version, into out: inout Buffer) {
        escape(name, version: version, isName: true, into: &out)
    }

    /// Appends the line `name:value`, both given as they are meant, in 1.2 text.
    public static func append12(
        name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>, into out: inout Buffer
    ) {
        appendLine(name: name, value: value, version: .v12, into: &out)
    }

    /// Appends the line `name:value`, both given as they are meant, in the text of `version`.
    public static func appendLine(
        name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>, version: Version,
        into out: inout Buffer
    ) {
        escape(name: name, version: version, into: &out)
        out.append(.colon)
        escape(value, version: version, into: &out)
        out.append(.lineFeed)
    }

    /// Appends the line of `header`, which the parser found in `frame` and accepted, in 1.2 text: what is
    /// escaped stays so, what 1.2 escapes in addition becomes so. `isLiteral` for frames in which nothing is
    /// escaped: those of 1.0, and CONNECT, STOMP and CONNECTED.
    public static func append12(
        _ header: Header, in frame: UnsafeBufferPointer<UInt8>, isLiteral: Bool, into out: inout Buffer
    ) {
        transcode12(UnsafeBufferPointer(rebasing: frame[header.name]), isLiteral: isLiteral, into: &out)
        out.append(.colon)
        transcode12(UnsafeBufferPointer(rebasing: frame[header.value]), isLiteral: isLiteral, into: &out)
        out.append(.lineFeed)
    }

    /// Header lines of 1.2 (`name:value` and LF each) in the form of `version`.
    public static func rewrite(
        headerBlock block: UnsafeBufferPointer<UInt8>, to version: Version, into out: inout Buffer
    ) {
        var isName = true
        var copied = 0
        while version < .v12, let at = block.firstIndex(of: .backslash, from: copied) {
            let plain = UnsafeBufferPointer(rebasing: block[copied..<at])
            for byte in plain where byte == .colon || byte == .lineFeed { isName = byte == .lineFeed }
            out.append(plain)
            guard at + 1 < block.count else { return }
            switch (block[at + 1], version) {
            case (.r, _): out.append(.carriageReturn)
            case (.n, .v10): out.append(.space)
            case (.c, .v10): out.append(isName ? .space : .colon)
            case (.backslash, .v10): out.append(.backslash)
            case (let escaped, _):
                out.append(.backslash)
                out.append(escaped)
            }
            copied = at + 2
        }
        out.append(UnsafeBufferPointer(rebasing: block[copied...]))
    }

    // MARK: One octet after the other

    private static func escape(
        _ bytes: UnsafeBufferPointer<UInt8>, version: Version, isName: Bool, into out: inout Buffer
    ) {
        appendReplacing(bytes, into: &out) { byte in
            switch byte {
            case 0: " "
            case .backslash: version == .v10 ? nil : "\\\\"
            case .colon: version > .v10 ? "\\c" : isName ? " " : nil
            case .lineFeed: version == .v10 ? " " : "\\n"
            case .carriageReturn: version == .v12 ? "\\r" : nil
            default: nil
            }
        }
    }

    private static func transcode12(
        _ bytes: UnsafeBufferPointer<UInt8>, isLiteral: Bool, into out: inout Buffer
    ) {
        appendReplacing(bytes, into: &out) { byte in
            switch byte {
            case .backslash: isLiteral ? "\\\\" : nil
            case .colon: "\\c"
            case .carriageReturn: "\\r"
            default: nil
            }
        }
    }

    /// Appends `bytes`, and something else for those for which `replacement` has something.
    @inline(__always)
    private static func appendReplacing(
        _ bytes: UnsafeBufferPointer<UInt8>, into out: inout Buffer, _ replacement: (UInt8) -> StaticString?
    ) {
        out.reserve(bytes.count)
        var copied = 0
        for at in 0..<bytes.count {
            let byte = bytes[at]
            guard LineScanner.isMark(byte), let text = replacement(byte) else { continue }
            out.append(UnsafeBufferPointer(rebasing: bytes[copied..<at]))
            out.append(text)
            copied = at + 1
        }
        out.append(UnsafeBufferPointer(rebasing: bytes[copied...]))
    }
}
