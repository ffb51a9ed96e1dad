import Base

public struct HTTPResponse: Equatable, Sendable {
    public var status: Int
    public var headers: [HTTPHeader]
    public var body: [UInt8]

    public init(_ status: Int, headers: [HTTPHeader] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// As a server sends it, with the headers that every answer has. `date` is `httpDate` of now;
    /// `bodyFollows` is false for HEAD.
    public func encode(keepsAlive: Bool, date: String, bodyFollows: Bool = true, into out: inout Buffer) {
        out.append(utf8: "HTTP/1.1 \(status) \(HTTPResponse.phrase(status))\r\n")
        out.append(utf8: "Date: \(date)\r\nContent-Length: \(body.count)\r\n")
        out.append(utf8: "Connection: \(keepsAlive ? "keep-alive" : "close")\r\n")
        out.append("X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n")
        for header in headers { out.append(utf8: "\(header.name): \(header.value)\r\n") }
        out.append("\r\n")
        if bodyFollows { out.append(body) }
    }

    static func phrase(_ status: Int) -> String {
        switch status {
        case 100: "Continue"
        case 200: "OK"
        case 201: "Created"
        case 400: "Bad Request"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: "Status \(status)"
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7) for seconds since 1970. Days to date by the
/// civil calendar algorithm of Howard Hinnant.
public func httpDate(unixSeconds: UInt64) -> String {
    let days = unixSeconds / 86_400
    let second = unixSeconds % 86_400
    // Years are counted from March, so that the leap day is the last of its year.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let month = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * month + 2) / 5 + 1
    let year = yearOfEra + era * 400 + (month >= 10 ? 1 : 0)
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    let months = ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"]
    func two(_ value: UInt64) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return "\(weekdays[Int(days % 7)]), \(two(day)) \(months[Int(month)]) \(year) "
        + "\(two(second / 3600)):\(two(second / 60 % 60)):\(two(second % 60)) GMT"
}

/// Finds one HTTP/1 response in a stream of bytes: the client side of the codec. The body comes by
/// Content-Length or ends with the connection; interim answers (1xx) are passed over.
public struct HTTPResponseParser: Sendable {
    private let limits: HTTPLimits
    private var head: HTTPHead
    /// Behind the interim answers.
    private var start = 0

    /// A server may answer with more than a client may ask: `bodyBytes` bounds what is kept of it.
    public init(limits: HTTPLimits = HTTPLimits(headBytes: 64 << 10, bodyBytes: 64 << 20)) {
        self.limits = limits
        head = HTTPHead(limits: limits)
    }

    /// `bytes` is all that has arrived; `ended` says that no more will. Nil while incomplete.
    public mutating func next(in bytes: Span<UInt8>, ended: Bool) throws(HTTPError) -> HTTPResponse? {
        while true {
            let rest = bytes.extracting(start...)
            try head.read(rest)
            guard let end = head.end, let line = head.startLine else {
                if ended { throw .responseCutOff }
                return nil
            }
            let status = try Self.status(in: rest, line)
            guard status >= 200 else {
                start += end
                head = HTTPHead(limits: limits)
                continue
            }
            guard let length = try head.contentLength(limit: limits.bodyBytes) else {
                guard rest.count - end <= limits.bodyBytes else { throw .bodyTooLong(limit: limits.bodyBytes) }
                return ended ? HTTPResponse(status, headers: head.headers, body: copy(rest, end..<rest.count)) : nil
            }
            guard rest.count - end >= length else {
                if ended { throw .responseCutOff }
                return nil
            }
            return HTTPResponse(status, headers: head.headers, body: copy(rest, end..<(end + length)))
        }
    }

    private static func status(in bytes: Span<UInt8>, _ line: Range<Int>) throws(HTTPError) -> Int {
        let parts = text(bytes, line).split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, parts[0] == "HTTP/1.1" || parts[0] == "HTTP/1.0",
            parts[1].utf8.count == 3, let status = Int(parts[1]), status >= 100
        else { throw .malformedStartLine }
        return status
    }
}
