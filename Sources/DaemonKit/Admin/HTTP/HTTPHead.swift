public struct HTTPHeader: Equatable, Sendable {
    public var name: String
    /// Without the white space around it.
    public var value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

extension [HTTPHeader] {
    /// Values of all headers of that name, in order. Give the name in lower case.
    public func values(of name: String) -> [String] {
        filter { $0.name.lowercased() == name }.map(\.value)
    }

    /// Elements of all headers of that name, which are lists with commas, in lower case.
    func tokens(of name: String) -> [String] {
        values(of: name).flatMap { $0.split(separator: ",") }.map { trimmed([UInt8]($0.utf8)[...]).lowercased() }
    }
}

/// Reads the head of a request or response: a first line, headers, an empty line (RFC 9112).
///
/// Stricter than the RFC allows a server to be: a lone LF ends no line, a header is never folded.
/// Two readers that differ in such things are how requests are smuggled.
struct HTTPHead {
    private let limits: HTTPLimits
    /// The first line without its end; nil before it has arrived.
    private(set) var startLine: Range<Int>?
    private(set) var headers: [HTTPHeader] = []
    /// Behind the empty line; nil while the head is incomplete.
    private(set) var end: Int?
    /// Start of the line that is being read, and where to go on looking for its end.
    private var lineStart = 0
    private var searched = 0

    init(limits: HTTPLimits) { self.limits = limits }

    /// `bytes` begins with the head. Call again with the same bytes and more behind them until `end`
    /// is known; no byte is searched twice.
    mutating func read(_ bytes: Span<UInt8>) throws(HTTPError) {
        while end == nil, let line = try nextLine(in: bytes) {
            if startLine == nil {
                // RFC 9112, 2.2: one empty line in front of a request is the tail of an old client's body.
                if line.isEmpty, line.lowerBound == 0 { continue }
                guard !line.isEmpty else { throw .malformedStartLine }
                startLine = line
            } else if line.isEmpty {
                end = lineStart
            } else {
                guard headers.count < limits.headers else { throw .tooManyHeaders(limit: limits.headers) }
                headers.append(try Self.header(in: bytes, line))
            }
        }
    }

    /// The next line without its CR LF.
    private mutating func nextLine(in bytes: Span<UInt8>) throws(HTTPError) -> Range<Int>? {
        let headLimit = limits.headBytes
        let lineLimit = startLine == nil ? min(headLimit, lineStart + limits.startLineBytes) : headLimit
        let reach = min(bytes.count, lineLimit)
        var at = searched
        while at < reach, bytes[at] != 0x0A { at += 1 }
        searched = at
        guard at < reach else {
            guard bytes.count >= lineLimit else { return nil }
            throw lineLimit < headLimit
                ? .startLineTooLong(limit: limits.startLineBytes) : .headTooLong(limit: headLimit)
        }
        guard at > lineStart, bytes[at - 1] == 0x0D else { throw .bareLineEnd }
        let line = lineStart..<(at - 1)
        for index in line where bytes[index] == 0x0D { throw .bareLineEnd }
        lineStart = at + 1
        searched = lineStart
        return line
    }

    private static func header(in bytes: Span<UInt8>, _ line: Range<Int>) throws(HTTPError) -> HTTPHeader {
        if bytes[line.lowerBound] == 0x20 || bytes[line.lowerBound] == 0x09 { throw .foldedHeader }
        var colon = line.lowerBound
        while colon < line.upperBound, isTokenByte(bytes[colon]) { colon += 1 }
        guard colon > line.lowerBound, colon < line.upperBound, bytes[colon] == UInt8(ascii: ":") else {
            throw .malformedHeader
        }
        for index in (colon + 1)..<line.upperBound where isControl(bytes[index]) { throw .malformedHeader }
        let name = text(bytes, line.lowerBound..<colon)
        return HTTPHeader(name, trimmed(copy(bytes, (colon + 1)..<line.upperBound)[...]))
    }

    private static func isControl(_ byte: UInt8) -> Bool { byte < 0x20 && byte != 0x09 || byte == 0x7F }

    /// The length that the headers announce; nil when there is none. Refuses every way to make two
    /// readers disagree about it.
    func contentLength(limit: Int) throws(HTTPError) -> Int? {
        let lengths = headers.values(of: "content-length")
        if !headers.values(of: "transfer-encoding").isEmpty {
            throw lengths.isEmpty ? .transferEncoding : .transferEncodingAndContentLength
        }
        guard let first = lengths.first else { return nil }
        guard lengths.allSatisfy({ $0 == first }) else { throw .contradictingContentLengths }
        guard !first.isEmpty, first.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { throw .malformedContentLength }
        // All digits: what does not fit an Int is certainly over the limit.
        guard let length = Int(first), length <= limit else { throw .bodyTooLong(limit: limit) }
        return length
    }

    /// Whether the connection stays open behind this message, as far as its sender is concerned.
    func keepsAlive(_ version: HTTPVersion) -> Bool {
        let options = headers.tokens(of: "connection")
        if options.contains("close") { return false }
        return version == .v11 || options.contains("keep-alive")
    }
}

public enum HTTPVersion: Sendable {
    case v10, v11

    /// Errors: `malformedStartLine` for what is no version, `unsupportedVersion` for another one.
    static func parse(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(HTTPError) -> HTTPVersion {
        switch text(bytes, range) {
        case "HTTP/1.1": return .v11
        case "HTTP/1.0": return .v10
        case let other where other.hasPrefix("HTTP/") && other.utf8.count == 8: throw .unsupportedVersion
        default: throw .malformedStartLine
        }
    }
}

// MARK: Bytes

/// RFC 9110, 5.6.2.
func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
    case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
        UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
        UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
        true
    default: false
    }
}

func copy(_ bytes: Span<UInt8>, _ range: Range<Int>) -> [UInt8] {
    var copied: [UInt8] = []
    copied.reserveCapacity(range.count)
    for index in range { copied.append(bytes[index]) }
    return copied
}

func text(_ bytes: Span<UInt8>, _ range: Range<Int>) -> String {
    String(decoding: copy(bytes, range), as: UTF8.self)
}

/// Without spaces and tabs at both ends.
func trimmed(_ bytes: ArraySlice<UInt8>) -> String {
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
    var rest = bytes.drop(while: isSpace)
    while let last = rest.last, isSpace(last) { rest.removeLast() }
    return String(decoding: rest, as: UTF8.self)
}
