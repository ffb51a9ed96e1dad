import Base
import Testing

@testable import DaemonKit

/// Feeds a parser the way a connection does: what it has not used comes again with more behind it.
struct Feed {
    var parser: HTTPRequestParser
    var unread: [UInt8] = []

    init(_ limits: HTTPLimits = HTTPLimits()) { parser = HTTPRequestParser(limits: limits) }

    mutating func feed(_ bytes: some Sequence<UInt8>) throws(HTTPError) -> [HTTPRequestParser.Step] {
        unread += bytes
        var steps: [HTTPRequestParser.Step] = []
        while true {
            let bytes = unread
            let step = try parser.next(in: bytes.span)
            unread.removeFirst(parser.consumed)
            if step == .incomplete { return steps }
            steps.append(step)
        }
    }

    /// The steps for all of it at once, or the error.
    static func outcome(of text: String, _ limits: HTTPLimits = HTTPLimits()) -> Result<
        [HTTPRequestParser.Step], HTTPError
    > {
        outcome(of: [Array(text.utf8)], limits)
    }

    static func outcome(
        of pieces: [[UInt8]], _ limits: HTTPLimits = HTTPLimits()
    ) -> Result<[HTTPRequestParser.Step], HTTPError> {
        var feed = Feed(limits)
        var steps: [HTTPRequestParser.Step] = []
        do throws(HTTPError) {
            for piece in pieces { steps += try feed.feed(piece) }
            return .success(steps)
        } catch {
            return .failure(error)
        }
    }
}

@Suite struct HTTPRequestParserTests {
    static let get = "GET /v1/queues?limit=5 HTTP/1.1\r\nHost: localhost:9000\r\nAccept: */*\r\n\r\n"
    static let post = "POST /v1/reload HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"

    @Test func readsARequestWithAllItsParts() throws {
        let steps = try Feed.outcome(of: Self.post).get()
        let headers = [
            HTTPHeader("Host", "[::1]"), HTTPHeader("Content-Length", "5"), HTTPHeader("Connection", "close"),
        ]
        #expect(
            steps == [
                .request(
                    HTTPRequest("POST", "/v1/reload", headers: headers, body: Array("hello".utf8), keepsAlive: false))
            ])
    }

    /// Goal: TCP may cut anywhere. Method: cut two pipelined requests and the start of a third at
    /// every pair of places; the requests must be those of the uncut bytes.
    @Test func findsPipelinedRequestsHoweverTheyAreCut() throws {
        let bytes = Array((Self.get + Self.post + "GET / HT").utf8)
        let whole = Feed.outcome(of: [bytes])
        let count = try whole.get().count
        #expect(count == 2)
        for first in 0..<bytes.count {
            for second in stride(from: first, to: bytes.count, by: 7) {
                let pieces = [Array(bytes[..<first]), Array(bytes[first..<second]), Array(bytes[second...])]
                let cut = Feed.outcome(of: pieces)
                #expect(cut == whole, "cut at \(first) and \(second)")
            }
        }
    }

    /// Goal: the verdict on bad bytes does not depend on how they arrive. Method: each bad request
    /// whole, byte by byte, and in two halves.
    @Test(arguments: [
        ("GET / HTTP/1.1\r\n\r\n", HTTPError.missingHost),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", .repeatedHost),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("GET /\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("GET / FTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", .unsupportedVersion),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", .targetNotAPath),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", .targetNotAPath),
        ("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n", .targetNotAPath),
        ("GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", .targetNotAPath),
        ("GET / HTTP/1.1\nHost: a\n\n", .bareLineEnd),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", .bareLineEnd),
        ("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", .bareLineEnd),
        ("GET / HTTP/1.1\r\nHost: a\r\n X: b\r\n\r\n", .foldedHeader),
        ("GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n", .foldedHeader),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", .malformedHeader),
        ("GET / HTTP/1.1\r\nHost\r\n\r\n", .malformedHeader),
        ("GET / HTTP/1.1\r\n: a\r\n\r\n", .malformedHeader),
        ("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", .malformedHeader),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", .transferEncoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", .transferEncoding),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            .transferEncodingAndContentLength
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
            .contradictingContentLengths
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd", .malformedContentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd", .malformedContentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", .malformedContentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd", .malformedContentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", .malformedContentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", .bodyTooLong(limit: 1 << 20)),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            .bodyTooLong(limit: 1 << 20)
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: coffee\r\n\r\n", .unknownExpectation),
    ])
    func refusesTheSameHoweverItIsCut(text: String, error: HTTPError) {
        let bytes = Array(text.utf8)
        let half = bytes.count / 2
        let expected: Result<[HTTPRequestParser.Step], HTTPError> = .failure(error)
        let whole = Feed.outcome(of: [bytes])
        let single = Feed.outcome(of: bytes.map { [$0] })
        let halves = Feed.outcome(of: [Array(bytes[..<half]), Array(bytes[half...])])
        #expect(whole == expected)
        #expect(single == expected)
        #expect(halves == expected)
    }

    @Test func takesTheSameContentLengthTwice() throws {
        let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\nhi"
        let steps = try Feed.outcome(of: text).get()
        #expect(steps.count == 1)
    }

    /// Goal: a body is never taken for the next request. Method: a body that is itself a request.
    @Test func aBodyIsNotARequest() throws {
        let inner = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
        let text = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: \(inner.utf8.count)\r\n\r\n\(inner)"
        let steps = try Feed.outcome(of: text + Self.get).get()
        let targets = steps.map { step in if case .request(let request) = step { request.target } else { "" } }
        #expect(targets == ["/a", "/v1/queues?limit=5"])
    }

    @Test func skipsOneEmptyLineInFrontOfARequest() throws {
        let steps = try Feed.outcome(of: Self.post + "\r\n" + Self.get).get()
        #expect(steps.count == 2)
    }

    @Test(
        arguments: [
            ("1.1", nil, true), ("1.1", "close", false), ("1.1", "keep-alive", true), ("1.1", "foo, Close", false),
            ("1.0", nil, false), ("1.0", "Keep-Alive", true), ("1.0", "keep-alive, close", false),
        ] as [(String, String?, Bool)])
    func keepsTheConnectionOpenAsAsked(version: String, connection: String?, keepsAlive: Bool) throws {
        let header = connection.map { "Connection: \($0)\r\n" } ?? ""
        let steps = try Feed.outcome(of: "GET / HTTP/\(version)\r\nHost: a\r\n\(header)\r\n").get()
        guard case .request(let request)? = steps.first else {
            Issue.record("no request")
            return
        }
        #expect(request.keepsAlive == keepsAlive)
    }

    @Test func http10NeedsNoHost() throws {
        let steps = try Feed.outcome(of: "GET / HTTP/1.0\r\n\r\n").get()
        #expect(steps.count == 1)
    }

    @Test func asksForTheBodyOnceWhenTheClientWaitsForIt() throws {
        var feed = Feed()
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        let first = try feed.feed(head.utf8)
        #expect(first == [.expectsContinue])
        let second = try feed.feed("h".utf8)
        #expect(second == [])
        let third = try feed.feed("i".utf8)
        #expect(third.count == 1)
    }

    // MARK: Limits, exactly at and one over

    static let limits = HTTPLimits(startLineBytes: 40, headBytes: 100, headers: 3, bodyBytes: 10)

    static func startLine(bytes: Int) -> String {
        "GET /" + String(repeating: "a", count: bytes - "GET / HTTP/1.1\r\n".utf8.count) + " HTTP/1.1\r\n"
    }

    @Test func theFirstLineMayBeAsLongAsItsLimit() throws {
        let steps = try Feed.outcome(of: Self.startLine(bytes: 40) + "Host: a\r\n\r\n", Self.limits).get()
        #expect(steps.count == 1)
        for pieces in [1, 41] {
            let bytes = Array((Self.startLine(bytes: 41) + "Host: a\r\n\r\n").utf8)
            let cut = pieces == 1 ? [bytes] : bytes.map { [$0] }
            let outcome = Feed.outcome(of: cut, Self.limits)
            #expect(outcome == .failure(.startLineTooLong(limit: 40)))
        }
    }

    @Test func theHeadMayBeAsLongAsItsLimit() throws {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        let fill = 100 - start.utf8.count - "\r\n\r\n".utf8.count
        let steps = try Feed.outcome(of: start + String(repeating: "x", count: fill) + "\r\n\r\n", Self.limits).get()
        #expect(steps.count == 1)
        let over = start + String(repeating: "x", count: fill + 1) + "\r\n\r\n"
        let outcome = Feed.outcome(of: over, Self.limits)
        #expect(outcome == .failure(.headTooLong(limit: 100)))
        let endless = Feed.outcome(of: start + String(repeating: "x", count: 500), Self.limits)
        #expect(endless == .failure(.headTooLong(limit: 100)))
    }

    @Test func thereMayBeAsManyHeadersAsTheLimit() throws {
        let steps = try Feed.outcome(of: "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n", Self.limits).get()
        #expect(steps.count == 1)
        let outcome = Feed.outcome(of: "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", Self.limits)
        #expect(outcome == .failure(.tooManyHeaders(limit: 3)))
    }

    /// Too long a body is refused by its announcement: none of it is waited for.
    @Test func theBodyMayBeAsLongAsItsLimit() throws {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "
        let steps = try Feed.outcome(of: head + "10\r\n\r\n0123456789", Self.limits).get()
        #expect(steps.count == 1)
        let outcome = Feed.outcome(of: head + "11\r\n\r\n", Self.limits)
        #expect(outcome == .failure(.bodyTooLong(limit: 10)))
    }

    /// Goal: no bytes of a stranger end the process. Method: seeded noise made of the words that
    /// matter; whole and cut must agree.
    @Test func noiseIsReadTheSameHoweverItIsCut() {
        let words = [
            "GET", " ", "/", "HTTP/1.1", "HTTP/1.0", "\r\n", "\n", "\r", "Host", ":", "a", "Content-Length", "3",
            "Transfer-Encoding", "chunked", "\0", "\u{ff}", "\r\n\r\n", "99", "\t", "abc",
        ]
        var random = SplitMix64(seed: 20)
        for _ in 0..<3000 {
            let text = (0..<Int.random(in: 1...30, using: &random)).map { _ in words.randomElement(using: &random) ?? ""
            }
            let bytes =
                Array((Bool.random(using: &random) ? "GET / HTTP/1.1\r\nHost: a\r\n" : "").utf8) + text.joined().utf8
            let cut = Int.random(in: 0...bytes.count, using: &random)
            let whole = Feed.outcome(of: [bytes], Self.limits)
            let halves = Feed.outcome(of: [Array(bytes[..<cut]), Array(bytes[cut...])], Self.limits)
            #expect(whole == halves, "\(text.joined().debugDescription) cut at \(cut)")
        }
    }
}
