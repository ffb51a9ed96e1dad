import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// C6: what becomes of a SEND on its way to a MESSAGE, byte by byte.
@Suite struct SendTests {
    /// Sends `frame` in one version, reads it in another: the MESSAGE without what the broker puts in front.
    private func carried(_ frame: String, _ from: Version = .v12, _ to: Version = .v12) -> String {
        let broker = TestBroker()
        let (sender, reader) = (broker.connected(from), broker.connected(to))
        reader.send(subscribeFrame())
        sender.send(frame)
        #expect(sender.take() == (frame.contains("receipt:") ? "RECEIPT\nreceipt-id:r\n\n\0\n" : ""))
        let text = String(decoding: reader.takeBytes(), as: UTF8.self)
        let start = "MESSAGE\nsubscription:s\nmessage-id:0-1-1\n"
        #expect(text.hasPrefix(start), "\(text)")
        // Every frame of ours has a line feed behind its NUL.
        #expect(text.unicodeScalars.suffix(2).elementsEqual("\0\n".unicodeScalars))
        return String(String.UnicodeScalarView(text.unicodeScalars.dropFirst(start.unicodeScalars.count).dropLast()))
    }

    private static let dropped = [
        "receipt:r", "receipt:r", "message-id:m", "subscription:x", "ack:y", "redelivered:true", "delivery-count:9",
    ]
    private static let kept = ["destination:/queue/a", "content-length:3", "x:1", "x:2", "content-type:text/plain"]

    /// C6 #76 to #78 and C1 #18. Method: the lines that go at every place among those that stay.
    @Test(arguments: Version.allCases)
    func linesThatAreNotTheMessagesOwnAreCutOut(version: Version) {
        let expected = Self.kept.filter { !$0.hasPrefix("content-length") }
        for place in 0...Self.kept.count {
            for step in 1...3 {
                var lines = Self.kept
                for (index, line) in Self.dropped.enumerated() {
                    lines.insert(line, at: min(lines.count, place + index / step))
                }
                let got = carried("SEND\n" + lines.joined(separator: "\n") + "\n\nabc\0", version)
                let head = got.split(separator: "\n\n", maxSplits: 1)[0].split(separator: "\n").map(String.init)
                #expect(head.filter { !$0.hasPrefix("content-length") } == expected)
                #expect(head.filter { $0 == "content-length:3" }.count == 1)
                #expect(got.hasSuffix("\n\nabc\0"))
            }
        }
    }

    /// C1 #18: of a known header the first counts and goes on, the others do not.
    @Test func ofRepeatedHeadersTheFirstCounts() {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        client.send(subscribeFrame() + "SEND\ndestination:/queue/a\ndestination:/queue/b\ncontent-length:1\n\nx\0")
        #expect(client.take().hasSuffix("\ndestination:/queue/a\ncontent-length:1\n\nx\0\n"))
    }

    /// The usual frame goes through untouched, and nothing is copied for it: its command points into the frame.
    @Test func aPlainSendIsStoredAsItCame() {
        #expect(
            carried("SEND\ndestination:/queue/a\ncontent-length:2\na:\\cb\n\nxy\0")
                == "destination:/queue/a\ncontent-length:2\na:\\cb\n\nxy\0")
        var session = Session(settings: SessionSettings(), token: "t", now: Instant(nanoseconds: 0))
        var batch = CommandBatch()
        var bytes = Array(("CONNECT\naccept-version:1.2\nhost:h\n\n\0" + sendFrame("xy", headers: "receipt:r\n")).utf8)
        bytes.withUnsafeMutableBufferPointer { bytes -> Void in
            let now = Moment(Instant(nanoseconds: 0), wall: 0)
            // CONNECT is a batch of its own.
            let used = session.receive(bytes, received: 0, now: now, batch: &batch)
            var out = Buffer()
            session.commit(done: 0, refusal: nil, batch: batch, required: 0, durable: 0, into: &out)
            let rest = UnsafeMutableBufferPointer(rebasing: bytes[used...])
            _ = session.receive(rest, received: 0, now: now, batch: &batch)
            guard case .send(let send)? = batch.commands.first, let start = bytes.baseAddress,
                let at = send.content.baseAddress
            else {
                Issue.record("no SEND")
                return
            }
            #expect(at >= UnsafePointer(start) && at < UnsafePointer(start + bytes.count))
            #expect(String(decoding: send.destination, as: UTF8.self) == "/queue/a")
            #expect(send.content.suffix(3).elementsEqual("xy\0".utf8))
        }
    }

    /// C3: no content-length, CRLF, NUL in the body, no body.
    @Test func bodiesGetTheirLength() {
        #expect(carried("SEND\ndestination:/queue/a\n\nhello\0") == "destination:/queue/a\ncontent-length:5\n\nhello\0")
        #expect(carried("SEND\ndestination:/queue/a\n\n\0") == "destination:/queue/a\ncontent-length:0\n\n\0")
        #expect(
            carried("SEND\ndestination:/queue/a\ncontent-length:3\n\na\0b\0")
                == "destination:/queue/a\ncontent-length:3\n\na\0b\0")
        #expect(
            carried("SEND\r\ndestination:/queue/a\r\ncontent-length:1\r\n\r\nx\0")
                == "destination:/queue/a\ncontent-length:1\n\nx\0")
    }

    /// 1.2 may mix ends of line. A CRLF blank line must not reach a 1.1 reader, to whom it is a header line.
    @Test(arguments: Version.allCases)
    func aCRLFBlankLineBehindLFHeadersIsNotPassedOn(reader: Version) {
        #expect(
            carried("SEND\ndestination:/queue/a\ncontent-length:1\n\r\nx\0", .v12, reader)
                == "destination:/queue/a\ncontent-length:1\n\nx\0")
    }

    /// C2 #26 to #35: what each version writes, as each version reads it.
    @Test(arguments: [
        (Version.v12, "a\\cb\\n\\r\\\\", ["a:b \r\\", "a\\cb\\n\r\\\\", "a\\cb\\n\\r\\\\"]),
        (Version.v11, "a\\cb\\n\\\\\r", ["a:b \\\r", "a\\cb\\n\\\\\r", "a\\cb\\n\\\\\\r"]),
        (Version.v10, "a:b\\n\\", ["a:b\\n\\", "a\\cb\\\\n\\\\", "a\\cb\\\\n\\\\"]),
        (Version.v12, "raw:colon é ", ["raw:colon é ", "raw\\ccolon é ", "raw\\ccolon é "]),
        (Version.v12, "\\\\n", ["\\n", "\\\\n", "\\\\n"]),
        (Version.v12, "", ["", "", ""]),
    ])
    func headersAreEscapedForEachReader(sender: Version, written: String, read: [String]) {
        for (reader, expected) in zip(Version.allCases, read) {
            for frame in [
                "SEND\ndestination:/queue/a\ncontent-length:1\nk:\(written)\n\nx\0",
                "SEND\ndestination:/queue/a\nk:\(written)\n\nx\0",
            ] {
                let got = carried(frame, sender, reader)
                #expect(got.contains("\nk:\(expected)\n"), "\(sender.text) to \(reader.text): \(got)")
            }
        }
    }

    /// C6 #76: several hundred headers.
    @Test func manyHeadersComeBack() {
        var settings = SessionSettings()
        settings.limits.headerCount = 500
        let broker = TestBroker(settings)
        let client = broker.connected(.v11)
        let lines = (0..<400).map { "header-\($0):value \($0)\n" }.joined()
        client.send(subscribeFrame() + sendFrame("x", headers: lines))
        let message = client.frames().first { $0.command == .message }
        for index in 0..<400 { #expect(message?["header-\(index)"] == "value \(index)") }
    }

    /// C6 #79: a name without prefix is a queue, and is given back as it was written.
    @Test func theDestinationIsEchoedAsItWasWritten() {
        let client = TestBroker().connected(.v12)
        client.send(
            subscribeFrame(to: "plain\\cname") + sendFrame("x", to: "/queue/plain\\cname")
                + sendFrame("y", to: "plain\\cname"))
        #expect(client.frames().map { $0["destination"] } == ["/queue/plain:name", "plain:name"])
    }

    /// C6 #85, and C6 #74.
    @Test func topicsWithoutSubscribersTakeAndMissingDestinationsDoNot() {
        let client = TestBroker().connected(.v12)
        client.send(sendFrame("x", to: "/topic/nobody", headers: "receipt:1\n") + "SEND\nreceipt:2\n\nx\0")
        #expect(client.story() == ["RECEIPT 1", "ERROR required header missing for 2"])
    }

    /// Without persistence a message is seen before the disk has it; its RECEIPT still waits.
    @Test func persistentFalseIsDeliveredBeforeTheDisk() {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        client.send(subscribeFrame())
        broker.isDiskQuick = false
        client.send(sendFrame("durable"))
        #expect(client.story() == [])
        broker.sync()
        #expect(client.story() == ["MESSAGE durable"])
        client.send(sendFrame("quick", headers: "persistent:false\nreceipt:1\n"))
        #expect(client.story() == ["MESSAGE quick"])
        broker.sync()
        #expect(client.story() == ["RECEIPT 1"])
    }

    /// C1 #23: what a session remembers of destinations is bounded; all of them still work.
    @Test func manyDestinationsAreServed() {
        var settings = SessionSettings()
        settings.memos = 3
        let broker = TestBroker(settings)
        let client = broker.connected(.v12)
        for round in 0..<3 { for name in 0..<10 { client.send(sendFrame("\(round)", to: "/queue/\(name)")) } }
        for name in 0..<10 {
            client.send(subscribeFrame("s\(name)", to: "/queue/\(name)"))
            #expect(client.story() == ["MESSAGE 0", "MESSAGE 1", "MESSAGE 2"])
        }
        let remembered = client.session.memos.count
        #expect(remembered == 3)
    }

}
