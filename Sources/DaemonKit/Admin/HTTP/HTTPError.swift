/// What a peer does wrong on the HTTP side. After any of these the place of the next message in the
/// stream is unknown or not to be trusted: answer, then close.
public enum HTTPError: Error, Equatable, Sendable {
    case malformedStartLine
    case startLineTooLong(limit: Int)
    case unsupportedVersion
    case targetNotAPath
    case headTooLong(limit: Int)
    case tooManyHeaders(limit: Int)
    case malformedHeader
    case foldedHeader
    case bareLineEnd
    case missingHost
    case repeatedHost
    case malformedContentLength
    case contradictingContentLengths
    case transferEncoding
    case transferEncodingAndContentLength
    case bodyTooLong(limit: Int)
    case unknownExpectation
    /// Client side: the other end closed in the middle of a response.
    case responseCutOff

    public var status: Int {
        switch self {
        case .startLineTooLong: 414
        case .headTooLong, .tooManyHeaders: 431
        case .bodyTooLong: 413
        case .unsupportedVersion: 505
        case .transferEncoding: 501
        case .unknownExpectation: 417
        default: 400
        }
    }

    /// One sentence that says what to do.
    public var message: String {
        switch self {
        case .malformedStartLine: "The first line must be METHOD PATH HTTP/1.1, with one space between"
        case .startLineTooLong(let limit): "The first line must end within \(limit) bytes"
        case .unsupportedVersion: "Use HTTP/1.1 or HTTP/1.0"
        case .targetNotAPath: "The target of a request must be a path that begins with / in printable ASCII"
        case .headTooLong(let limit): "The head must end within \(limit) bytes"
        case .tooManyHeaders(let limit): "Send at most \(limit) headers"
        case .malformedHeader: "A header must be NAME: VALUE with no space before the colon and no control characters"
        case .foldedHeader: "A header must be on one line"
        case .bareLineEnd: "Lines must end with CR LF, and a CR stands nowhere else"
        case .missingHost: "Send a Host header"
        case .repeatedHost: "Send one Host header"
        case .malformedContentLength: "Content-Length must be one decimal number"
        case .contradictingContentLengths: "Send one Content-Length"
        case .transferEncoding: "Send the body with Content-Length; Transfer-Encoding is not understood here"
        case .transferEncodingAndContentLength: "Send Content-Length without Transfer-Encoding"
        case .bodyTooLong(let limit): "A body may have at most \(limit) bytes"
        case .unknownExpectation: "The only expectation that is met here is 100-continue"
        case .responseCutOff: "The connection was closed in the middle of an answer"
        }
    }
}

/// What is read at most before something is refused. Nothing is kept beyond these to find out.
public struct HTTPLimits: Equatable, Sendable {
    /// The first line with its CR LF.
    public var startLineBytes: Int
    /// First line, headers and the empty line.
    public var headBytes: Int
    public var headers: Int
    public var bodyBytes: Int

    public init(startLineBytes: Int = 8 << 10, headBytes: Int = 16 << 10, headers: Int = 64, bodyBytes: Int = 1 << 20) {
        self.startLineBytes = startLineBytes
        self.headBytes = headBytes
        self.headers = headers
        self.bodyBytes = bodyBytes
    }
}
