import Testing

@testable import STOMP

@Suite struct FrameErrorTests {
    /// Bytes that provoke each fault, and what the peer is told.
    static let faults: [(String, FrameError, String, String)] = [
        (
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n", .httpRequest, "not STOMP: this looks like HTTP",
            "The connection begins with an HTTP request. This port speaks STOMP."
        ),
        (
            "\u{16}\u{3}\u{1}", .tlsClientHello, "not STOMP: this looks like TLS",
            "The connection begins with a TLS handshake. This port speaks STOMP without TLS."
        ),
        (
            String(repeating: "A", count: 33), .commandTooLong(limit: 32), "command too long",
            "The command has more than 32 bytes."
        ),
        (
            "SEND\nx:" + String(repeating: "v", count: 99), .headerLineTooLong(limit: 100), "header too long",
            "A header line has more than 100 bytes."
        ),
        (
            "SEND\n" + String(repeating: "a:b\n", count: 11), .tooManyHeaders(limit: 10), "too many headers",
            "The frame has more than 10 headers."
        ),
        (
            "SEND\n" + String(repeating: "x:" + String(repeating: "v", count: 97) + "\n", count: 3),
            .headTooLong(limit: 300), "headers too long", "Command and headers have more than 300 bytes."
        ),
        (
            "SEND\ncontent-length:51\n\n", .bodyTooLong(limit: 50), "body too long", "The body has more than 50 bytes."
        ),
        (
            "SNED\n\n\0", .unknownCommand("SNED"), "unknown command",
            "\"SNED\" is not a command here. Commands are in upper case."
        ),
        (
            "SEND\nfoo\n\n\0", .lineWithoutColon(offset: 5), "malformed header",
            "The header line at byte 5 of the frame has no colon."
        ),
        (
            "SEND\n:foo\n\n\0", .emptyHeaderName(offset: 5), "malformed header",
            "The header line at byte 5 of the frame has no name."
        ),
        (
            "SEND\nfoo\0", .nulInHead(offset: 8), "malformed frame",
            "There is a NUL at byte 8 of the frame, before the blank line."
        ),
        (
            "\0", .strayNUL, "malformed frame", "There is a NUL between two frames; only ends of line may stand there."
        ),
        (
            "SEND\nx:\ry\n\n\0", .loneCarriageReturn(offset: 7), "malformed header",
            "The CR at byte 7 of the frame is not followed by LF."
        ),
        (
            "SEND\nx:\\t\n\n\0", .undefinedEscape(offset: 7), "malformed escape",
            "The escape at byte 7 of the frame is not one of this version."
        ),
        (
            "SEND\nx:\\\n\n\0", .unfinishedEscape(offset: 7), "malformed escape",
            "The backslash at byte 7 of the frame ends its header line."
        ),
        (
            "SEND\ncontent-length:x\n\n\0", .invalidContentLength(offset: 5), "invalid content-length",
            "The content-length at byte 5 of the frame is not a plain decimal number."
        ),
        (
            "SEND\ncontent-length:1\ncontent-length:2\n\n\0", .conflictingContentLength(offset: 22),
            "invalid content-length", "The content-length at byte 22 of the frame contradicts an earlier one."
        ),
        (
            "SEND\ncontent-length:1\n\nab\0", .missingNUL(offset: 24), "malformed frame",
            "The body should end at byte 24 of the frame by its content-length, but no NUL is there."
        ),
        (
            "ACK\nid:1\n\nab\0", .bodyNotAllowed(.ack), "body not allowed", "ACK frames must not have a body."
        ),
    ]

    static let limits = FrameLimits(
        commandBytes: 32, headerLineBytes: 100, headerCount: 10, headerBytes: 300, bodyBytes: 50)

    @Test(arguments: faults.indices) func everyFaultIsNamedAndExplained(index: Int) {
        let (text, error, message, detail) = Self.faults[index]
        let reading = Reader(version: .v12, limits: Self.limits).read(text)
        #expect(reading.error == error)
        #expect(error.message == message)
        #expect(error.detail == detail)
        #expect(error.isNotSTOMP == message.hasPrefix("not STOMP"))
    }

    /// The message goes into a header as it is.
    @Test(arguments: faults.indices) func noMessageNeedsEscaping(index: Int) {
        let message = Self.faults[index].1.message
        #expect(message.utf8.allSatisfy { (0x20..<0x7F).contains($0) && $0 != UInt8(ascii: "\\") })
    }

    @Test func invalidUTF8IsNamedAndExplained() {
        let reading = Reader(version: .v12).read(Array("SEND\nx:".utf8) + [0xFF] + Array("\n\n\0".utf8))
        #expect(reading.error == .invalidUTF8(offset: 7))
        #expect(FrameError.invalidUTF8(offset: 7).message == "malformed header")
        #expect(FrameError.invalidUTF8(offset: 7).detail == "The header at byte 7 of the frame is not UTF-8.")
    }

    /// Goal: an ERROR can name the receipt of the frame it is about, wherever in the head the fault is.
    @Test(arguments: [
        "NONSENSE\n", "SEND\nfoo\n", "SEND\n:foo\n", "SEND\nx:\\t\n", "SEND\nx:\\\n", "SEND\nx:a\rb\n", "ACK\nid:1\n",
        "SEND\ncontent-length:x\n", "SEND\ncontent-length:3\n",
    ])
    func theReceiptIsKnownWhenAFrameFails(head: String) {
        let reading = Reader(version: .v12).read(head + "receipt:r-1\n\nbody\0")
        #expect(reading.error != nil)
        #expect(reading.failedReceipt == "r-1", "\(reading)")
    }

    @Test func theFirstFaultOfAHeadIsTold() {
        let reading = Reader(version: .v12).read("SEND\nx:\\t\nfoo\n:bar\n\n\0")
        #expect(reading.error == .undefinedEscape(offset: 7))
        let cut = Reader(version: .v12).read("SEND\nfoo\nbar\0")
        #expect(cut.error == .lineWithoutColon(offset: 5))
        let long = Reader(version: .v12, limits: Self.limits).read(
            "SEND\nfoo\n" + String(repeating: "x", count: 101))
        #expect(long.error == .lineWithoutColon(offset: 5))
    }

    @Test(arguments: [
        "GET /a/long/path/that/never/ends/at/all HTTP/1.1\r\n", "POST /x HTTP/1.1\r\n", "PUT / HTTP/1.1\n",
        "HEAD / HTTP/1.0\r\n", "OPTIONS * HTTP/1.1\r\n", "DELETE /x HTTP/1.1\r\n", "PATCH /x HTTP/1.1\r\n",
        "TRACE / HTTP/1.1\r\n", "CONNECT example.org:443 HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ])
    func anHTTPRequestIsRecognised(text: String) {
        #expect(Reader().read(text).error == .httpRequest)
        #expect(Reader().read("\n" + text).error == .httpRequest)
    }

    @Test func onlyTheBeginningOfAConnectionIsTakenForHTTPOrTLS() {
        let connect = "CONNECT\naccept-version:1.2\n\n\0"
        #expect(Reader().read(connect + "GET / HTTP/1.1\n\n\0").error == .unknownCommand("GET / HTTP/1.1"))
        #expect(Reader().read(connect + "\u{16}\n\n\0").error == .unknownCommand("?"))
        #expect(Reader(role: .client).read("GET / HTTP/1.1\n\n\0").error == .unknownCommand("GET / HTTP/1.1"))
    }

    @Test func aTLSHandshakeIsRecognisedByItsFirstByte() {
        #expect(Reader().read([0x16]).error == .tlsClientHello)
    }

    @Test func aNULBetweenFramesIsAFault() {
        let reading = Reader(version: .v12).read("DISCONNECT\n\n\0\n\0")
        #expect(reading.frames.count == 1)
        #expect(reading.error == .strayNUL)
    }

    @Test func theReceiptOfAnEarlierFrameIsNotThatOfTheFault() {
        for fault in ["\0", "\rx"] {
            let reading = Reader(version: .v12).read("DISCONNECT\nreceipt:7\n\n\0\n" + fault)
            #expect(reading.frames.count == 1 && reading.error != nil)
            #expect(reading.failedReceipt == nil)
        }
    }
}
