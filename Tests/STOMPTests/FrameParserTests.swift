import Base
import Testing

@testable import STOMP

@Suite struct FrameParserTests {
    static let send = Array("SEND\ndestination:/queue/a\nreceipt:1\n\nhello\0".utf8)

    /// Goal: TCP may cut a frame anywhere. Method: offer every prefix, one byte longer each time, and require
    /// `.incomplete` until the very last byte.
    @Test func findsAFrameHoweverItIsCut() throws {
        var parser = FrameParser(role: .server, limits: FrameLimits())
        parser.version = .v12
        for count in 0..<Self.send.count {
            let arrived = Array(Self.send.prefix(count))
            let step = try parser.next(in: arrived.span)
            #expect(step == .incomplete, "after \(count) bytes")
            #expect(parser.consumed == 0)
        }
        let step = try parser.next(in: Self.send.span)
        #expect(step == .frame)
        #expect(parser.consumed == Self.send.count)
        #expect(Self.send[parser.layout.body].elementsEqual("hello".utf8))
    }

    @Test func saysWhereThePartsOfAFrameLie() throws {
        let bytes = Array("SEND\ndestination:/queue/a\nx:1\ncontent-length:5\n\nhello\0".utf8)
        var parser = FrameParser(role: .server, limits: FrameLimits())
        parser.version = .v12
        let step = try parser.next(in: bytes.span)
        let layout = parser.layout
        #expect(step == .frame)
        #expect(layout.command == .send)
        #expect(layout.headersStart == 5)
        #expect(bytes[layout.headersStart..<layout.headersEnd].last == UInt8(ascii: "\n"))
        #expect(bytes[layout.headersEnd] == UInt8(ascii: "\n"))
        #expect(layout.body == layout.headersEnd + 1..<bytes.count - 1)
        #expect(layout.end == bytes.count)
        #expect(layout.contentLength == 5)
        #expect(layout.isPlain)
        let destination = try #require(layout.first(.destination))
        #expect(bytes[destination.name].elementsEqual("destination".utf8))
        #expect(bytes[destination.value].elementsEqual("/queue/a".utf8))
        #expect(bytes[Int(destination.lineEnd) - 1] == UInt8(ascii: "\n"))
        #expect(layout.has(.contentLength) && !layout.has(.receipt))
        #expect(layout.first(.receipt) == nil)
        #expect(layout.first(.other) == nil)
        #expect(layout.headers.map(\.known) == [.destination, .other, .contentLength])
    }

    @Test(arguments: Version.allCases) func findsSeveralFramesInOnePiece(version: Version) {
        let text = "SEND\ndestination:/queue/a\n\none\0\n\nSEND\ndestination:/queue/b\n\ntwo\0DISCONNECT\n\n\0\n"
        let reading = Reader(version: version).read(text)
        #expect(reading.frames.map(\.command) == [.send, .send, .disconnect])
        #expect(reading.frames.map(\.text) == ["one", "two", ""])
        #expect(reading.frames.map { $0["destination"] } == ["/queue/a", "/queue/b", nil])
        #expect(reading.events.count { $0 == .heartBeat(bytes: 1) } == 3)
        #expect(reading.rest == 0)
        #expect(reading.error == nil)
    }

    @Test func forgetsTheFrameBefore() throws {
        let text = "SEND\ndestination:/queue/a\nreceipt:1\ncontent-length:1\nx:a:b\n\n1\0ACK\nid:2\n\n\0"
        let reading = Reader(version: .v12).read(text)
        let second = Frame(.ack, ["id": "2"])
        #expect(reading.frames.last == second)
        guard case .frame(_, let layout, let isPlain, let contentLength, _) = reading.events.last else {
            Issue.record("no frame")
            return
        }
        #expect(layout.count == 1)
        #expect(isPlain)
        #expect(contentLength == nil)
    }

    /// Headers are kept in memory that is used again, so that a frame costs no allocation.
    @Test func usesTheSameMemoryForTheNextFrame() throws {
        var parser = FrameParser(role: .server, limits: FrameLimits())
        parser.version = .v12
        var places: Set<UnsafeRawPointer> = []
        for _ in 0..<8 {
            let step = try parser.next(in: Self.send.span)
            #expect(step == .frame)
            parser.layout.headers.withUnsafeBytes { if let base = $0.baseAddress { places.insert(base) } }
        }
        #expect(places.count == 1)
    }

    @Test func staysFailed() throws {
        var parser = FrameParser(role: .server, limits: FrameLimits())
        parser.version = .v12
        let bad = Array("FOO\n\n\0".utf8)
        for bytes in [bad, Self.send, []] {
            #expect(throws: FrameError.unknownCommand("FOO")) {
                _ = try parser.next(in: bytes.span)
            }
            #expect(parser.consumed == 0)
        }
    }

    @Test(arguments: [nil] + Version.allCases) func endsOfLineBetweenFramesAreHeartBeats(version: Version?) {
        let reading = Reader(version: version).read("\n\r\n\n")
        #expect(reading.events == [.heartBeat(bytes: 1), .heartBeat(bytes: 2), .heartBeat(bytes: 1)])
        #expect(Reader(version: version).read("\n\r").rest == 1)
    }

    @Test func acceptsEndsOfLineBeforeTheFirstFrame() {
        let reading = Reader().read("\n\nCONNECT\naccept-version:1.2\n\n\0")
        #expect(reading.frames.map(\.command) == [.connect])
    }

    @Test(arguments: Command.allCases) func readsEveryCommandOfTheOtherSideAndNoneOfItsOwn(command: Command) {
        let text = "\(command.text)\na:b\n\n\0"
        let asServer = Reader(role: .server, version: .v12).read(text)
        let asClient = Reader(role: .client, version: .v12).read(text)
        let unknown = FrameError.unknownCommand("\(command.text)")
        #expect(asServer.error == (command.isFromServer ? unknown : nil))
        #expect(asClient.error == (command.isFromServer ? nil : unknown))
        #expect((asServer.frames + asClient.frames).map(\.command) == [command])
    }

    @Test(arguments: ["send", "Send", "SENDX", "SEN", " SEND", "SEND ", "SUB", "UNSUB", "\u{e9}", "A\tB"])
    func commandsAreTakenLiterally(word: String) {
        let reading = Reader(version: .v12).read("\(word)\ndestination:/queue/a\nreceipt:7\n\n\0")
        guard case .unknownCommand(let shown) = reading.error else {
            Issue.record("\(reading)")
            return
        }
        #expect(shown.utf8.count == word.utf8.count && shown.utf8.allSatisfy { (0x20..<0x7F).contains($0) })
        #expect(reading.failedReceipt == "7")
    }

    /// A long body that comes in small pieces must not be searched from its start each time. Method: the bytes
    /// that were offered before are overwritten, so that a second look at them would find something else.
    @Test func searchesNoByteTwice() throws {
        var bytes = Array("SEND\nkey:value\n\n0123456789".utf8)
        var parser = FrameParser(role: .server, limits: FrameLimits())
        parser.version = .v12
        for count in 1...bytes.count {
            let arrived = Array(bytes.prefix(count))
            let step = try parser.next(in: arrived.span)
            #expect(step == .incomplete)
            if count >= 17 { bytes[count - 1] = 0 }
        }
        bytes += [UInt8(ascii: "!"), 0]
        let step = try parser.next(in: bytes.span)
        #expect(step == .frame)
        #expect(parser.layout.body.count == 11)
    }
}
