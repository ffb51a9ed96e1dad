import Base
import Testing

@testable import STOMP

/// What differs between the versions, and what happens before one is agreed on.
@Suite struct VersionRuleTests {
    // MARK: Ends of line

    @Test(arguments: [Version?.none, .v10, .v12]) func carriageReturnLineFeedEndsALine(version: Version?) {
        let text = "SEND\r\ndestination:/queue/a\r\nx:1\r\n\r\nbody\r\n\0\r\n"
        let reading = Reader(version: version).read(text)
        #expect(reading.frames == [Frame(.send, ["destination": "/queue/a", "x": "1"], text: "body\r\n")])
        guard case .frame(_, _, let isPlain, _, _) = reading.events.first else { return }
        #expect(!isPlain)
    }

    @Test func inVersion11CarriageReturnIsData() {
        let reading = Reader(version: .v11).read("SEND\ndestination:/queue/a\r\nx\r:1\r2\n\n\0")
        #expect(reading.frames == [Frame(.send, ["destination": "/queue/a\r", "x\r": "1\r2"])])
    }

    @Test func inVersion11CarriageReturnIsPartOfTheCommandAndNoBlankLine() {
        #expect(Reader(version: .v11).read("SEND\r\nx:1\n\n\0").error == .unknownCommand("SEND\\r"))
        #expect(Reader(version: .v11).read("SEND\nx:1\r\n\r\n\0").error == .lineWithoutColon(offset: 10))
    }

    @Test func inVersion10ALoneCarriageReturnIsData() {
        let reading = Reader(version: .v10).read("SEND\nx:a\rb\ny:c\r\r\n\n\0")
        #expect(reading.frames == [Frame(.send, ["x": "a\rb", "y": "c\r"])])
    }

    @Test(arguments: [
        "SEND\nx:a\rb\n\n\0", "SEND\nx\ry:a\n\n\0", "SEND\nx:ab\r", "SE\rND\n\n\0", "SEND\n\r\rx:y\n\n\0",
    ])
    func inVersion12ALoneCarriageReturnIsAFault(text: String) {
        let whole = text.hasSuffix("\r") ? text + "\r\n\n\0" : text
        let reading = Reader(version: .v12).read(whole)
        let offset = Array(whole.utf8).firstIndex(of: 13) ?? -1
        #expect(reading.error == .loneCarriageReturn(offset: offset))
    }

    @Test func aConnectInCarriageReturnLineFeedHasNoneInItsValues() {
        let reading = Reader().read("CONNECT\r\naccept-version:1.1,1.2\r\nhost:h\r\n\r\n\0")
        #expect(reading.frames == [Frame(.connect, ["accept-version": "1.1,1.2", "host": "h"])])
    }

    // MARK: Text

    @Test func connectIsTakenLiterally() {
        let text = "\naccept-version:1.2\npasscode:a\\cb:c\\x\\\n\n\0"
        for version in [nil, Version.v11, .v12] {
            for command in ["CONNECT", "STOMP"] {
                let reading = Reader(version: version).read(command + text)
                #expect(reading.frames.first?["passcode"] == "a\\cb:c\\x\\", "\(command) \(reading)")
            }
        }
        let connected = Reader(role: .client).read("CONNECTED\nversion:1.2\nserver:a\\b\n\n\0")
        #expect(connected.frames.first?["server"] == "a\\b")
    }

    @Test func inVersion10NothingIsEscaped() {
        let reading = Reader(version: .v10).read("SEND\nx\\c:\\n\\q\\\n\n\0")
        #expect(reading.frames == [Frame(.send, ["x\\c": "\\n\\q\\"])])
    }

    @Test(arguments: [Version.v11, .v12]) func escapesAreDecodedInNamesAndValues(version: Version) {
        let reading = Reader(version: version).read("SEND\na\\cb\\n\\\\:\\\\n:\\c\\n\n\n\0")
        #expect(reading.frames == [Frame(.send, ["a:b\n\\": "\\n::\n"])])
    }

    @Test func carriageReturnIsAnEscapeOf12Only() {
        let text = "SEND\nx:a\\rb\n\n\0"
        #expect(Reader(version: .v12).read(text).frames.first?["x"] == "a\rb")
        #expect(Reader(version: .v11).read(text).error == .undefinedEscape(offset: 8))
    }

    @Test(arguments: [Version.v11, .v12]) func blanksBelongToNamesAndValues(version: Version) {
        let reading = Reader(version: version).read("SEND\ndestination: /queue/a \n x : y\t\n\n\0")
        #expect(reading.frames == [Frame(.send, ["destination": " /queue/a ", " x ": " y\t"])])
    }

    @Test func inVersion10KnownValuesLieInsideTheirPadding() {
        let text = "SEND\ndestination: \t/queue/a \nx: y \ncontent-length: 2 \nreceipt:  \n\nab\0"
        let reading = Reader(version: .v10).read(text)
        #expect(reading.frames.first?["destination"] == "/queue/a")
        #expect(reading.frames.first?["x"] == " y ")
        #expect(reading.frames.first?["receipt"] == "")
        #expect(reading.frames.first?.text == "ab")
    }

    @Test func aConnectIsPaddedOnlyIfItComesFrom10() {
        let old = Reader().read("CONNECT\nlogin: a\npasscode: b \n\n\0")
        #expect(old.frames == [Frame(.connect, ["login": "a", "passcode": "b"])])
        let new = Reader().read("CONNECT\naccept-version:1.2\nlogin: a\npasscode: b \n\n\0")
        #expect(new.frames.first?["passcode"] == " b ")
    }

    /// The bytes of `é` in Latin-1, which no UTF-8 text contains.
    static let latin1 = Array("SEND\nkey:caf".utf8) + [0xE9] + Array("\n\n\0".utf8)

    @Test func headersAreUTF8Since11() {
        #expect(Reader(version: .v12).read(Self.latin1).error == .invalidUTF8(offset: 12))
        #expect(Reader(version: .v11).read(Self.latin1).error == .invalidUTF8(offset: 12))
        #expect(Reader(version: .v10).read(Self.latin1).error == nil)
        let connect = Array("CONNECT\naccept-version:1.2\nlogin:".utf8) + [0xC0, 0x80] + Array("\n\n\0".utf8)
        #expect(Reader().read(connect).error == .invalidUTF8(offset: 33))
        let old = Array("CONNECT\nlogin:".utf8) + [0xE9] + Array("\n\n\0".utf8)
        #expect(Reader().read(old).error == nil)
    }

    @Test(arguments: ["é", "€", "😀", "aé", "abcdefghé", "日本語日本語日本語"])
    func utf8PassesThrough(text: String) {
        for version in Version.allCases {
            let reading = Reader(version: version).read("SEND\n\(text):\(text)\n\n\0")
            #expect(reading.frames == [Frame(.send, headers: [.init(text, text)])])
        }
    }

    /// Overlong forms, surrogates, beyond the last scalar, cut short, a lone continuation.
    @Test(
        arguments: [
            [0xC1, 0xBF], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82], [0x80],
            [0xFF],
        ] as [[UInt8]])
    func whatIsNotUTF8IsRefused(bytes: [UInt8]) {
        for padding in ["", "abc", "abcdefghijk"] {
            let before = "SEND\nk:\(padding)"
            let whole = Array(before.utf8) + bytes + Array("xyz\n\n\0".utf8)
            #expect(Reader(version: .v12).read(whole).error == .invalidUTF8(offset: before.utf8.count))
        }
    }

    // MARK: Headers

    @Test(arguments: [nil] + Version.allCases) func valuesMayBeEmptyAndHoldColons(version: Version?) {
        let reading = Reader(version: version).read("SEND\na:\nb:x:y::z\nc::\n\n\0")
        #expect(reading.frames == [Frame(.send, ["a": "", "b": "x:y::z", "c": ":"])])
    }

    @Test func theFirstOfRepeatedHeadersCounts() throws {
        let text = Array("SEND\ndestination:/queue/a\nx:1\ndestination:/queue/b\nx:2\n\n\0".utf8)
        var parser = FrameParser(role: .server, limits: FrameLimits())
        parser.version = .v12
        let step = try parser.next(in: text.span)
        #expect(step == .frame)
        #expect(parser.layout.headers.map(\.isRepeat) == [false, false, true, false])
        let first = try #require(parser.layout.first(.destination))
        #expect(text[first.value].elementsEqual("/queue/a".utf8))
    }

    @Test(arguments: KnownHeader.allCases) func everyKnownHeaderIsFoundByItsName(known: KnownHeader) throws {
        guard known != .other else { return }
        for (name, expected) in [
            ("\(known.text)", known), ("\(known.text)x", .other), ("x\(known.text)", .other),
            ("\(known.text)".uppercased() + "!", .other),
        ] {
            let bytes = Array("ACK\n\(name):value\n\n\0".utf8)
            var parser = FrameParser(role: .server, limits: FrameLimits())
            // 1.1, since a content-length of "value" is refused: the header is there all the same.
            parser.version = .v11
            if expected == .contentLength {
                #expect(throws: FrameError.invalidContentLength(offset: 4)) { _ = try parser.next(in: bytes.span) }
            } else {
                let step = try parser.next(in: bytes.span)
                #expect(step == .frame)
            }
            #expect(parser.layout.headers.map(\.known) == [expected])
            #expect(parser.layout.has(known) == (expected == known))
            let first = parser.layout.first(known)
            #expect(first.map { bytes[$0.value].elementsEqual("value".utf8) } ?? true)
        }
    }

    /// The set of a frame's known headers has more than one word: none may be taken for another.
    @Test func aFrameMayHaveAllKnownHeadersAtOnce() throws {
        let all = KnownHeader.allCases.filter { $0 != .other }
        let lines = all.map { $0 == .contentLength ? "content-length:0\n" : "\($0.text):\($0.rawValue)\n" }
        let bytes = Array(("SEND\n" + lines.joined() + "\n\0").utf8)
        var parser = FrameParser(role: .server, limits: FrameLimits(headerCount: all.count))
        parser.version = .v12
        let step = try parser.next(in: bytes.span)
        #expect(step == .frame)
        #expect(parser.layout.headers.allSatisfy { !$0.isRepeat })
        for known in all where known != .contentLength {
            let first = try #require(parser.layout.first(known))
            #expect(bytes[first.value].elementsEqual("\(known.rawValue)".utf8))
        }
    }

    @Test(arguments: KnownHeader.allCases) func aHeaderSetHoldsWhatWasPutIn(known: KnownHeader) {
        let set: HeaderSet = [known]
        #expect(KnownHeader.allCases.filter { set.contains($0) } == [known])
        for other in KnownHeader.allCases { #expect(set.isDisjoint(with: [other]) == (other != known)) }
    }

    // MARK: Body

    @Test(arguments: [nil] + Version.allCases) func contentLengthCountsInEveryFrame(version: Version?) {
        let send = Reader(version: version).read("SEND\ncontent-length:3\n\na\0b\0")
        #expect(send.frames.first?.body == [97, 0, 98])
        for command in ["ACK", "SUBSCRIBE", "BEGIN"] {
            #expect(Reader(version: version).read("\(command)\ncontent-length:0\n\n\0").error == nil)
        }
        let padded = Reader(version: .v10).read("SUBSCRIBE\ncontent-length:3\n\n\0\0\0\0")
        #expect(padded.frames.first?.body == [0, 0, 0])
    }

    @Test func theFirstNULEndsABodyOfUnknownLength() {
        let reading = Reader(version: .v12).read("SEND\nx:1\n\nabc\0\n")
        #expect(reading.frames.first?.text == "abc")
    }

    @Test(arguments: ["abc", "-1", "+1", " 1", "1 ", "0x1", "1.0", "", "1a", "\u{661}"])
    func contentLengthIsPlainDecimal(value: String) {
        let reading = Reader(version: .v12).read("SEND\nreceipt:9\ncontent-length:\(value)\n\na\0")
        #expect(reading.error == .invalidContentLength(offset: 15))
        #expect(reading.failedReceipt == "9")
    }

    @Test func repeatedContentLengthsMustAgree() {
        let same = Reader(version: .v12).read("SEND\ncontent-length:1\ncontent-length:01\n\na\0")
        #expect(same.frames.first?.text == "a")
        let other = Reader(version: .v12).read("SEND\ncontent-length:1\ncontent-length:2\n\nab\0")
        #expect(other.error == .conflictingContentLength(offset: 22))
        let odd = Reader(version: .v12).read("SEND\ncontent-length:1\ncontent-length:x\n\na\0")
        #expect(odd.error == .invalidContentLength(offset: 22))
    }

    @Test func aBodyMustEndWhereItsLengthSays() {
        let reading = Reader(version: .v12).read("SEND\nreceipt:1\ncontent-length:2\n\nabc\0")
        #expect(reading.error == .missingNUL(offset: 35))
        #expect(reading.failedReceipt == "1")
    }

    @Test(arguments: Command.allCases) func onlySomeFramesMayHaveABody(command: Command) {
        for header in ["", "content-length:4\n"] {
            let role = command.isFromServer ? FrameParser.Role.client : .server
            let text = "\(command.text)\n\(header)\nbody\0"
            for version in [Version.v11, .v12] {
                let reading = Reader(role: role, version: version).read(text)
                let expected: FrameError? = command.mayHaveBody ? nil : .bodyNotAllowed(command)
                #expect(reading.error == expected, "\(command) \(version)")
            }
            #expect(Reader(role: role, version: .v10).read(text).error == nil)
        }
    }

    @Test func aConnectFollowsTheRulesOfTheVersionItAsksFor() {
        let error = FrameError.bodyNotAllowed(.connect)
        #expect(Reader().read("CONNECT\naccept-version:1.2\n\nx\0").error == error)
        #expect(Reader().read("CONNECT\n\nx\0").error == nil)
        #expect(Reader().read("CONNECT\naccept-version:1.0\n\nx\0").error == nil)
        let connected = Reader(role: .client).read("CONNECTED\nversion:1.2\n\nx\0")
        #expect(connected.error == .bodyNotAllowed(.connected))
    }

    // MARK: Plain frames

    /// Goal: a frame called plain can be stored and sent on as it is. The other way round it is only slow.
    @Test(
        arguments: [
            ("SEND\nx:1\n\n\0", Version.v12, true), ("SEND\nx:1\n\n\0", .v11, true), ("SEND\nx:1\n\n\0", .v10, true),
            ("SEND\nx:a\\cb\\n\\\\\n\n\0", .v11, true), ("SEND\nx:a\\r\n\n\0", .v12, true),
            ("SEND\nx:a:b\n\n\0", .v12, false), ("SEND\nx:a:b\n\n\0", .v10, false),
            ("SEND\nx:a\rb\n\n\0", .v11, false), ("SEND\nx:a\rb\n\n\0", .v10, false),
            ("SEND\nx:1\r\n\r\n\0", .v12, false), ("SEND\nx:a\\b\n\n\0", .v10, false),
            ("SEND\nx: 1 \n\n\0", .v10, true), ("SEND\nreceipt: 1 \n\n\0", .v10, false),
            ("SEND\nreceipt: 1 \n\n\0", .v12, true), ("SEND\r\nx:1\n\n\0", .v12, true),
        ] as [(String, Version, Bool)])
    func aPlainFrameIsTextOf12(text: String, version: Version, isPlain: Bool) {
        guard case .frame(_, _, let plain, _, _) = Reader(version: version).read(text).events.first else {
            Issue.record("no frame in \(text)")
            return
        }
        #expect(plain == isPlain, "\(text) in \(version)")
    }

    // MARK: Negotiation

    @Test(
        arguments: [
            ("1.0,1.1,1.2", .v12), ("1.2,1.1,1.0", .v12), ("1.0,1.1,2.0", .v11), ("1.1, 1.2", .v12), ("1.1 ,1.0", .v11),
            ("1.0", .v10), ("2.0", nil), ("", nil), (",", nil), ("1.20", nil), ("1", nil), ("\t1.2\t", .v12),
            ("1.2\r", nil),
            ("1.1 1.2", nil), (",,1.1,,", .v11),
        ] as [(String, Version?)])
    func theHighestCommonVersionWins(list: String, expected: Version?) {
        #expect(list.withBytes { Version.negotiate(acceptVersion: $0) } == expected)
    }

    @Test func noAcceptVersionMeans10() {
        #expect(Version.negotiate(acceptVersion: nil) == .v10)
        #expect(Version.allCases.map { "\($0.text)" } == ["1.0", "1.1", "1.2"])
    }
}
