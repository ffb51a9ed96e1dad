import Base

public struct HTTPRequest: Equatable, Sendable {
    public var method: String
    /// Path and query, as they came.
    public var target: String
    public var version: HTTPVersion
    public var headers: [HTTPHeader]
    public var body: [UInt8]
    public var keepsAlive: Bool

    public init(
        _ method: String, _ target: String, version: HTTPVersion = .v11, headers: [HTTPHeader] = [],
        body: [UInt8] = [], keepsAlive: Bool = true
    ) {
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.body = body
        self.keepsAlive = keepsAlive
    }

    /// As a client sends it. Headers are the caller's and must be free of CR and LF.
    public func encode(into out: inout Buffer) {
        out.append(utf8: "\(method) \(target) \(version == .v11 ? "HTTP/1.1" : "HTTP/1.0")\r\n")
        for header in headers { out.append(utf8: "\(header.name): \(header.value)\r\n") }
        if !body.isEmpty { out.append(utf8: "Content-Length: \(body.count)\r\n") }
        out.append(utf8: keepsAlive ? "\r\n" : "Connection: close\r\n\r\n")
        out.append(body)
    }
}

/// Finds HTTP/1 requests in a stream of bytes, one behind the other as they were pipelined.
///
/// A body comes by Content-Length or not at all. Does no I/O and keeps no bytes: after `.incomplete`
/// call it again with the same bytes and more behind them.
public struct HTTPRequestParser: Sendable {
    public enum Step: Equatable, Sendable {
        case incomplete
        /// The client waits for `100 Continue` before it sends the body. Said once.
        case expectsContinue
        case request(HTTPRequest)
    }

    /// Bytes used up by the last step: 0, or all of the request.
    public private(set) var consumed = 0
    private let limits: HTTPLimits
    private var head: HTTPHead
    /// The request without its body, once the head is complete.
    private var pending: (request: HTTPRequest, bodyStart: Int, length: Int)?
    private var saidContinue = false

    public init(limits: HTTPLimits = HTTPLimits()) {
        self.limits = limits
        head = HTTPHead(limits: limits)
    }

    /// Whether a request has begun to arrive whose head is not complete.
    public var isInHead: Bool { pending == nil }

    public mutating func next(in bytes: Span<UInt8>) throws(HTTPError) -> Step {
        consumed = 0
        if pending == nil {
            try head.read(bytes)
            guard let end = head.end, let startLine = head.startLine else { return .incomplete }
            let request = try request(in: bytes, startLine)
            pending = (request, end, try head.contentLength(limit: limits.bodyBytes) ?? 0)
            try checkExpectation()
        }
        guard let (request, start, length) = pending else { return .incomplete }
        guard bytes.count - start >= length else { return continuation() }
        var whole = request
        whole.body = copy(bytes, start..<(start + length))
        consumed = start + length
        pending = nil
        saidContinue = false
        head = HTTPHead(limits: limits)
        return .request(whole)
    }

    private func request(in bytes: Span<UInt8>, _ line: Range<Int>) throws(HTTPError) -> HTTPRequest {
        var spaces: [Int] = []
        for index in line where bytes[index] == 0x20 { spaces.append(index) }
        guard spaces.count == 2 else { throw .malformedStartLine }
        let method = line.lowerBound..<spaces[0]
        let target = (spaces[0] + 1)..<spaces[1]
        let version = try HTTPVersion.parse(bytes, (spaces[1] + 1)..<line.upperBound)
        guard !method.isEmpty, !target.isEmpty else { throw .malformedStartLine }
        for index in method where !isTokenByte(bytes[index]) { throw .malformedStartLine }
        guard bytes[target.lowerBound] == UInt8(ascii: "/") else { throw .targetNotAPath }
        for index in target where bytes[index] <= 0x20 || bytes[index] >= 0x7F { throw .targetNotAPath }
        let hosts = head.headers.values(of: "host")
        if hosts.count > 1 { throw .repeatedHost }
        if hosts.isEmpty, version == .v11 { throw .missingHost }
        return HTTPRequest(
            text(bytes, method), text(bytes, target), version: version, headers: head.headers,
            keepsAlive: head.keepsAlive(version))
    }

    private func checkExpectation() throws(HTTPError) {
        guard head.headers.tokens(of: "expect").allSatisfy({ $0 == "100-continue" }) else {
            throw .unknownExpectation
        }
    }

    private mutating func continuation() -> Step {
        guard !saidContinue, let request = pending?.request, request.version == .v11,
            !request.headers.tokens(of: "expect").isEmpty
        else { return .incomplete }
        saidContinue = true
        return .expectsContinue
    }
}
