import Base
import Testing

@testable import DaemonKit

@Suite struct HTTPResponseTests {
    static func text(of response: HTTPResponse, keepsAlive: Bool = true, bodyFollows: Bool = true) -> String {
        var out = Buffer()
        response.encode(
            keepsAlive: keepsAlive, date: httpDate(unixSeconds: 784_111_777), bodyFollows: bodyFollows, into: &out)
        return String(decoding: out.readable, as: UTF8.self)
    }

    @Test func anAnswerCarriesItsLengthAndTheHeadersThatProtectIt() {
        let response = HTTPResponse(
            404, headers: [HTTPHeader("Content-Type", "application/json")], body: Array("{}".utf8))
        #expect(
            Self.text(of: response, keepsAlive: false)
                == "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n"
                + "Connection: close\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
                + "Content-Type: application/json\r\n\r\n{}")
    }

    @Test func theAnswerToHEADHasTheLengthButNotTheBody() {
        let text = Self.text(of: HTTPResponse(200, body: Array("hello".utf8)), bodyFollows: false)
        #expect(text.contains("Content-Length: 5\r\n"))
        #expect(text.hasSuffix("\r\n\r\n"))
    }

    @Test(
        arguments: [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"), (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] as [(UInt64, String)])
    func datesAreThoseOfTheCalendar(seconds: UInt64, text: String) {
        #expect(httpDate(unixSeconds: seconds) == text)
    }

    /// Goal: what the server side writes, the client side reads, however it is cut.
    @Test func theClientReadsWhatTheServerWrote() throws {
        let response = HTTPResponse(
            201, headers: [HTTPHeader("Content-Type", "application/json")], body: Array("{\"a\":1}".utf8))
        let bytes = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8) + Self.text(of: response).utf8
        for cut in 0...bytes.count {
            var parser = HTTPResponseParser()
            let early = Array(bytes[..<cut])
            let first = try parser.next(in: early.span, ended: false)
            #expect((first != nil) == (cut == bytes.count), "cut at \(cut)")
            let second = try parser.next(in: bytes.span, ended: false)
            #expect(second?.status == 201)
            #expect(second?.body == response.body)
        }
    }

    @Test func aBodyWithoutLengthEndsWithTheConnection() throws {
        var parser = HTTPResponseParser()
        let bytes = Array("HTTP/1.0 200 OK\r\n\r\nhello".utf8)
        let early = try parser.next(in: bytes.span, ended: false)
        #expect(early == nil)
        let late = try parser.next(in: bytes.span, ended: true)
        #expect(late == HTTPResponse(200, body: Array("hello".utf8)))
    }

    @Test(arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "HTTP/1.1 200 OK\r\n"])
    func anAnswerThatBreaksOffIsAnError(text: String) {
        var parser = HTTPResponseParser()
        let bytes = Array(text.utf8)
        #expect(throws: HTTPError.responseCutOff) { try parser.next(in: bytes.span, ended: true) }
    }

    @Test(arguments: ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"])
    func whatIsNoAnswerIsAnError(text: String) {
        var parser = HTTPResponseParser()
        let bytes = Array(text.utf8)
        #expect(throws: HTTPError.malformedStartLine) { try parser.next(in: bytes.span, ended: false) }
    }

    @Test func aRequestOfTheClientIsReadByTheServer() throws {
        let request = HTTPRequest(
            "POST", "/v1/queues/a%2Fb/move", headers: [HTTPHeader("Host", "localhost")], body: Array("{}".utf8),
            keepsAlive: false)
        var out = Buffer()
        request.encode(into: &out)
        let steps = try Feed.outcome(of: String(decoding: out.readable, as: UTF8.self)).get()
        guard case .request(let read)? = steps.first else {
            Issue.record("no request")
            return
        }
        #expect(read.method == "POST" && read.target == request.target && read.body == request.body)
        #expect(!read.keepsAlive)
    }
}

@Suite struct HTTPTargetTests {
    @Test(arguments: ["a", "a/b", "a b", "ä", "100%", "?&=#", "..", "+", "/queue/x", "\u{0}\u{1F600}"])
    func aNameSurvivesThePath(name: String) {
        let target = HTTPTarget("/v1/queues/\(percentEncoded(name))?name=\(percentEncoded(name))&x=")
        #expect(target?.path == ["v1", "queues", name])
        #expect(target?.query.map(\.value) == [name, ""])
    }

    @Test(arguments: ["/%", "/%4", "/%zz", "/%ff", "/a?b=%", "/%+1", "a"])
    func aBrokenEscapeIsNoTarget(target: String) { #expect(HTTPTarget(target) == nil) }

    @Test func aPlusIsASpaceInAQueryOnly() {
        let target = HTTPTarget("/a+b?c+d=e+f")
        #expect(target?.path == ["a+b"])
        #expect(target?.query.first?.name == "c d" && target?.query.first?.value == "e f")
    }
}
