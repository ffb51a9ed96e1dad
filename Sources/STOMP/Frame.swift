import Base

/// A whole frame as values, for clients, tests and what is rarely sent: CONNECTED, RECEIPT, ERROR.
public struct Frame: Equatable, Sendable {
    /// A header as it is meant, without escapes.
    public struct Header: Equatable, Sendable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }

        /// Its line, with what must be escaped in frames of that version.
        public func encode(version: Version, into out: inout Buffer) {
            var (name, value) = (name, value)
            name.withUTF8 { name in
                value.withUTF8 { HeaderText.appendLine(name: name, value: $0, version: version, into: &out) }
            }
        }
    }

    public var command: Command
    public var headers: [Header]
    public var body: [UInt8]

    public init(_ command: Command, headers: [Header] = [], body: [UInt8] = []) {
        self.command = command
        self.headers = headers
        self.body = body
    }

    /// `Frame(.send, ["destination": "/queue/a"], text: "hello")`. A name may stand there more than once.
    public init(_ command: Command, _ headers: KeyValuePairs<String, String>, text: String = "") {
        self.init(command, headers: headers.map { Header($0.key, $0.value) }, body: Array(text.utf8))
    }

    /// The value of the first header of this name, which is the one that counts.
    public subscript(name: String) -> String? {
        headers.first { $0.name == name }?.value
    }

    /// The body as text; what is not UTF-8 is replaced.
    public var text: String { String(decoding: body, as: UTF8.self) }

    /// Appends the frame with its NUL. A body gets its `content-length`, put in the place of one that is wrong;
    /// everything else is written as it stands here, in the escaping of `version`.
    public func encode(version: Version, into out: inout Buffer) {
        let textVersion = command.isLiteral ? .v10 : version
        out.append(command.text)
        out.append(.lineFeed)
        var hasLength = false
        for header in headers {
            let isLength = header.name == "content-length"
            if isLength, hasLength { continue }
            hasLength = hasLength || isLength
            let line = isLength ? Header(header.name, String(body.count)) : header
            line.encode(version: textVersion, into: &out)
        }
        if !hasLength, !body.isEmpty {
            Header("content-length", String(body.count)).encode(version: textVersion, into: &out)
        }
        out.append(.lineFeed)
        out.append(body)
        out.append(0)
    }

    /// The bytes of `encode`.
    public func encoded(version: Version) -> [UInt8] {
        var out = Buffer()
        encode(version: version, into: &out)
        return Array(out.readable)
    }

    /// The frame that a parser found in `bytes` under `version`. Text of 1.0 that is not UTF-8 is repaired.
    public static func decode(
        layout: FrameLayout, bytes: UnsafeBufferPointer<UInt8>, version: Version
    ) throws(FrameError) -> Frame {
        var frame = Frame(layout.command)
        var scratch = Buffer()
        frame.headers.reserveCapacity(layout.headers.count)
        for header in layout.headers {
            if !header.hasEscape {
                frame.headers.append(Header(plain(bytes, header.name), plain(bytes, header.value)))
                continue
            }
            let name = try text(bytes, header.name, version, &scratch)
            let value = try text(bytes, header.value, version, &scratch)
            frame.headers.append(Header(name, value))
        }
        frame.body = Array(bytes[layout.body])
        return frame
    }

    /// Of a header in which nothing is escaped.
    private static func plain(_ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> String {
        String(decoding: UnsafeBufferPointer(rebasing: bytes[range]), as: UTF8.self)
    }

    private static func text(
        _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ version: Version, _ scratch: inout Buffer
    ) throws(FrameError) -> String {
        scratch.clear()
        do throws(FrameError) {
            try HeaderText.unescape(
                UnsafeBufferPointer(rebasing: bytes[range]), version: version, into: &scratch)
        } catch {
            throw error.moved(by: range.lowerBound)
        }
        return String(decoding: scratch.readable, as: UTF8.self)
    }
}

extension FrameError {
    /// The same fault, told from bytes that began `offset` further on.
    func moved(by offset: Int) -> FrameError {
        switch self {
        case .undefinedEscape(let at): .undefinedEscape(offset: at + offset)
        case .unfinishedEscape(let at): .unfinishedEscape(offset: at + offset)
        default: self
        }
    }
}
