import Testing

@testable import STOMP

/// Each limit at its edge. Where the text is one over, only as much of it is offered as must be enough to know.
@Suite struct FrameLimitTests {
    static func text(_ count: Int) -> String { String(repeating: "v", count: count) }

    @Test(arguments: [nil] + Version.allCases) func aCommandMayHaveItsLimitAndNoByteMore(version: Version?) {
        let limits = FrameLimits(commandBytes: 4)
        let reader = Reader(version: version, limits: limits)
        #expect(reader.read("SEND\n\n\0").error == nil)
        #expect(reader.read("BEGI").error == nil)
        #expect(reader.read("BEGIN").error == .commandTooLong(limit: 4))
        if version != .v11 { #expect(reader.read("SEND\r\n\r\n\0").error == nil) }
    }

    @Test(arguments: 3...40) func aHeaderLineMayHaveItsLimitAndNoByteMore(limit: Int) {
        let reader = Reader(version: .v12, limits: FrameLimits(headerLineBytes: limit))
        let line = "x:" + Self.text(limit - 2)
        for after in ["\n\n\0", "\r\n\r\n\0"] {
            #expect(reader.read("SEND\n\(line)\(after)").error == nil)
            #expect(reader.read("SEND\nx:1\n\(line)\(after)").error == nil)
            #expect(reader.read("SEND\n\(line)v\(after)").error == .headerLineTooLong(limit: limit))
        }
        #expect(reader.read("SEND\n\(line)").error == nil)
        #expect(reader.read("SEND\n\(line)v").error == .headerLineTooLong(limit: limit))
    }

    @Test func aFrameMayHaveItsLimitOfHeadersAndNoneMore() {
        let reader = Reader(version: .v12, limits: FrameLimits(headerCount: 3))
        #expect(reader.read("SEND\na:1\nb:2\nc:3\n\n\0").error == nil)
        #expect(reader.read("SEND\na:1\nb:2\nc:3\nd:4\n").error == .tooManyHeaders(limit: 3))
        #expect(reader.read("SEND\na:1\na:2\na:3\na:4\n").error == .tooManyHeaders(limit: 3))
    }

    @Test func severalHundredHeadersAreReadWhereTheyAreAllowed() {
        let lines = (0..<500).map { "name-\($0):value-\($0)\n" }.joined()
        let reading = Reader(version: .v12, limits: FrameLimits(headerCount: 500)).read("SEND\n\(lines)\n\0")
        #expect(reading.frames.first?.headers.count == 500)
        #expect(reading.frames.first?["name-499"] == "value-499")
    }

    /// "SEND\nx:" and LF take 8 bytes.
    @Test(arguments: 8...60) func aHeadMayHaveItsLimitAndNoByteMore(limit: Int) {
        let reader = Reader(version: .v12, limits: FrameLimits(headerBytes: limit))
        let head = "SEND\nx:" + Self.text(limit - 8) + "\n"
        #expect(reader.read(head + "\n\0").error == nil)
        #expect(reader.read(head).error == nil)
        #expect(reader.read(head + "\r\n\0").error == nil)
        #expect(reader.read("SEND\nx:v" + Self.text(limit - 8) + "\n").error == .headTooLong(limit: limit))
        #expect(reader.read(head + "\r").error == nil)
        #expect(reader.read(head + "y").error == .headTooLong(limit: limit))
    }

    @Test func aBodyMayHaveItsLimitAndNoByteMore() {
        let reader = Reader(version: .v12, limits: FrameLimits(bodyBytes: 10))
        #expect(reader.read("SEND\n\n\(Self.text(10))\0").frames.first?.body.count == 10)
        #expect(reader.read("SEND\n\n\(Self.text(10))").error == nil)
        #expect(reader.read("SEND\n\n\(Self.text(11))").error == .bodyTooLong(limit: 10))
        #expect(reader.read("SEND\ncontent-length:10\n\n\(Self.text(10))\0").frames.count == 1)
        #expect(reader.read("SEND\ncontent-length:11\n\n").error == .bodyTooLong(limit: 10))
    }

    @Test(arguments: ["4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551616", "1e9"])
    func aHugeContentLengthIsRefusedAtOnce(value: String) {
        for bodyBytes in [16 << 20, Int.max] where value != "4294967296" || bodyBytes < Int.max {
            let reader = Reader(version: .v12, limits: FrameLimits(bodyBytes: bodyBytes))
            let error = reader.read("SEND\ncontent-length:\(value)\n\n").error
            #expect(error != nil)
            if value != "1e9" { #expect(error?.message == "body too long") }
        }
        let digits = Self.text(100).replacing("v", with: "9")
        #expect(Reader(version: .v12).read("SEND\ncontent-length:\(digits)\n\n").error == .bodyTooLong(limit: 16 << 20))
    }

    @Test func unreasonableLimitsAreBoundedAndNeverTrap() {
        let huge = FrameLimits(
            commandBytes: .max, headerLineBytes: .max, headerCount: .max, headerBytes: .max, bodyBytes: .max)
        #expect(Reader(version: .v12, limits: huge).read("SEND\na:b\n\nbody\0").frames.count == 1)
        let none = FrameLimits(
            commandBytes: .min, headerLineBytes: -1, headerCount: -1, headerBytes: .min, bodyBytes: -1)
        #expect(Reader(version: .v12, limits: none).read("S").error == .commandTooLong(limit: 0))
    }

    @Test func limitsAreSmallBeforeLogin() {
        let limits = FrameLimits.beforeLogin
        #expect(limits.headerLineBytes == 8 << 10 && limits.headerCount == 64)
        #expect(limits.headerBytes == 16 << 10 && limits.bodyBytes == 1 << 10 && limits.commandBytes == 32)
        #expect(FrameLimits() != limits)
    }

    @Test func limitsCanBeRaisedBetweenFrames() throws {
        var parser = FrameParser(role: .server, limits: .beforeLogin)
        let connect = Array("CONNECT\naccept-version:1.2\n\n\0".utf8)
        var step = try parser.next(in: connect.span)
        #expect(step == .frame)
        parser.version = .v12
        parser.limits = FrameLimits()
        let send = Array("SEND\n\n\(Self.text(2000))\0".utf8)
        step = try parser.next(in: send.span)
        #expect(step == .frame)
    }

    @Test func aLimitLoweredInTheMiddleOfABodyIsHeld() throws {
        var parser = FrameParser(role: .server, limits: FrameLimits())
        let send = Array("SEND\n\n\(Self.text(2000))\0".utf8)
        let part = Array(send.prefix(1500))
        let step = try parser.next(in: part.span)
        #expect(step == .incomplete)
        parser.limits = .beforeLogin
        #expect(throws: FrameError.bodyTooLong(limit: 1024)) { _ = try parser.next(in: send.span) }
    }
}
