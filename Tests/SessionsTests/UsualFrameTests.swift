import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// The ACK and SEND that all others are like are read without the parser, which must not make a difference.
/// Method: the same bytes at once, in pieces, and byte by byte. A frame of which only the first byte is there goes to
/// the parser, so the last way never takes the short one.
@Suite struct UsualFrameTests {
    /// What a session makes of bytes: commands, answers and how it ended.
    private struct Story: Equatable {
        var events: [String] = []
        var answers: [UInt8] = []
        var failure: SessionError?
        var sends: UInt64 = 0
        var sendBytes: UInt64 = 0
    }

    private func story(_ bytes: [UInt8], cuts: [Int], _ version: Version) -> Story {
        let listener = Listener(version)
        var story = Story()
        var pending: [UInt8] = []
        var start = 0
        for cut in cuts + [bytes.count] {
            pending += bytes[start..<cut]
            start = cut
            repeat { pending.removeFirst(read(&pending, listener, into: &story)) } while listener.session.hasMore
        }
        story.failure = listener.session.failure
        story.sends = listener.session.sends
        story.sendBytes = listener.session.sendBytes
        return story
    }

    private func read(_ pending: inout [UInt8], _ listener: Listener, into story: inout Story) -> Int {
        listener.batch.clear()
        // Memory of just this size, so that a sanitizer sees a read beyond it.
        let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: pending.count)
        defer { memory.deallocate() }
        _ = memory.initialize(fromContentsOf: pending)
        let now = Moment(Instant(nanoseconds: 0), wall: Listener.wall)
        let used = listener.session.receive(memory, received: 0, now: now, batch: &listener.batch)
        for (command, mark) in zip(listener.batch.commands, listener.batch.marks) {
            story.events.append("\(spoken(command, listener.batch.extras)) receipt \(mark.hasReceipt)")
        }
        var out = Buffer()
        let count = listener.batch.commands.count
        listener.session.commit(done: count, refusal: nil, batch: listener.batch, required: 0, durable: 0, into: &out)
        story.answers += out.readable
        return used
    }

    private func spoken(_ command: BrokerCore.Command, _ extras: CommandExtras) -> String {
        // Where bytes are, and which of the batch's extras belong to it, depends on how much is read together.
        switch command {
        case .send(let send):
            "send \(send.memo) \(Array(send.destination)) \(Array(send.content)) \(send.headerBytes) \(send.flags) "
                + "\(send.transaction) \(wishes(send, extras))"
        case .subscribe(let subscribe): "subscribe \(subscribe.slot) \(Array(subscribe.destination))"
        case .createTemporary(let name): "create \(Array(name))"
        default: "\(command)"
        }
    }

    /// A `dedup-id` may stand in either place.
    private func wishes(_ send: Send, _ extras: CommandExtras) -> String {
        var wishes = send.extras < 0 ? SendExtras() : extras.sends[Int(send.extras)]
        if send.dedupCount > 0 { wishes.dedupID += send.dedupID }
        return "\(wishes)"
    }

    private func expectTheSame(_ bytes: [UInt8], _ version: Version, cuts: [Int], _ seed: UInt64) {
        let slow = story(bytes, cuts: Array(1..<max(1, bytes.count)), version)
        for cuts in [[], cuts] {
            let isTheSame = story(bytes, cuts: cuts, version) == slow
            #expect(isTheSame, "seed \(seed) \(version) \(cuts): \(String(decoding: bytes, as: UTF8.self))")
        }
    }

    // MARK: Any bytes

    private static let heads = [
        ["destination:/queue/a\n", "persistent:true\n", "receipt:R\n", "content-length:L\n"],
        ["content-length:L\n", "destination:/queue/b\n", "receipt:R\n"],
        ["receipt:R\n", "destination:/queue/a\n", "content-length:L\n", "x:é\\c\n"],
        ["receipt:R\n", "content-length:L\n", "destination:/topic/t\n"],
        ["content-length:L\n", "receipt:R\n", "destination:/queue/a\n", "persistent:false\n"],
        ["destination:/queue/c\n", "content-length:L\n"], ["content-length:L\n", "destination:/queue/c\n"],
        ["destination:/queue/a\n", "content-length:L\n", "receipt:R\n", "dedup-id:I\n"],
        ["dedup-id:I\n", "destination:/queue/a\n", "receipt:R\n", "x:y\n", "content-length:L\n"],
        ["receipt:R\n", "dedup-id:I\n", "content-length:L\n", "destination:/queue/a\n"],
        ["dedup-id:I\n", "content-length:L\n", "destination:/topic/t\n"],
        ["content-length:L\n", "dedup-id:I\n", "destination:/queue/a\n", "receipt:R\n"],
        ["receipt:R\n", "content-length:L\n", "dedup-id:I\n", "destination:/queue/a\n"],
        ["dedup-id:I\n", "receipt:R\n", "content-length:L\n", "destination:/queue/a\n"],
        // These must be looked at each time.
        ["destination:/queue/a\n", "dedup-id:I\n", "dedup-id:I\n", "receipt:R\n", "content-length:L\n"],
        ["destination:/queue/a\n", "dedup-id:I\n", "priority:7\n", "receipt:R\n", "content-length:L\n"],
        ["destination:/queue/a\n", "dedup-id:I\n", "Nats-Msg-Id:R\n", "receipt:R\n", "content-length:L\n"],
        ["destination:/queue/a\n", "receipt:R\n", "receipt:R\n", "content-length:L\n"],
        ["destination:/queue/a\n", "message-id:x\n", "receipt:R\n", "content-length:L\n"],
        ["destination:/queue/a\n", "priority:7\n", "receipt:R\n", "content-length:L\n"],
        ["destination:/queue/a\n", "transaction:t\n", "receipt:R\n", "content-length:L\n"],
        ["destination:/queue/a\n", "reply-to:/temp-queue/r\n", "receipt:R\n", "content-length:L\n"],
        ["destination:/temp-queue/r\n", "receipt:R\n", "content-length:L\n"],
        ["destination:/queue/a,/queue/b\n", "receipt:R\n", "content-length:L\n"],
        ["destination:/queue/a\n", "receipt:R\n"], ["destination:/queue/a\r\n", "content-length:L\n"],
    ]
    /// The first so many of them can be remembered.
    private static let usual = 14
    private static let receipts = ["1", "17", "123456789", "a-b.c_d", "", "x y", "ä", "a\\cb", "a:b", "a\tb"]
    private static let bodies = [
        "", "x", "hello", "\u{0}", "\n\n", "é", "RECEIPT\n", String(repeating: "z", count: 120),
    ]
    private static let wild: [UInt8] = [0, 0x0A, 0x0D, 0x3A, 0x5C, 0xC3, 0x2D, 0x30, 0x39, 0x2F, 0x20, 0xFF]

    private func frames(_ dice: inout SplitMix64) -> [UInt8] {
        var bytes: [UInt8] = []
        if dice.chance(20) { bytes += Array("BEGIN\ntransaction:t\n\n\0".utf8) }
        var head = Self.heads[Int(dice.next() % UInt64(Self.heads.count))]
        for _ in 0..<Int(dice.next() % 8 + 2) {
            if dice.chance(15) { head = Self.heads[Int(dice.next() % UInt64(Self.heads.count))] }
            if dice.chance(30) {
                bytes += Array("ACK\nid:\(dice.next() % 3)-\(dice.next() >> (dice.next() % 64))\n\n\0".utf8)
            } else {
                let body = dice.pick(Self.bodies)
                let receipt = dice.chance(70) ? "\(dice.next() % 1000)" : dice.pick(Self.receipts)
                let id = dice.chance(70) ? "a-\(dice.next() % 1000)" : dice.pick(Self.receipts)
                let lines = head.map {
                    $0.replacing(":L\n", with: ":\(body.utf8.count)\n").replacing(":R\n", with: ":\(receipt)\n")
                        .replacing(":I\n", with: ":\(id)\n")
                }.joined()
                let hasLength = lines.contains("content-length")
                bytes += Array("SEND\(dice.chance(3) ? "\r" : "")\n\(lines)\n\(hasLength ? body : "y")\0".utf8)
            }
            if dice.chance(20) { bytes.append(0x0A) }
        }
        return bytes
    }

    private func spoil(_ bytes: inout [UInt8], _ dice: inout SplitMix64) {
        let at = Int(dice.next() % UInt64(bytes.count))
        let byte = dice.chance(50) ? Self.wild[Int(dice.next() % UInt64(Self.wild.count))] : UInt8(dice.next() % 256)
        switch dice.next() % 3 {
        case 0: bytes[at] = byte
        case 1: bytes.insert(byte, at: at)
        default: bytes.remove(at: at)
        }
    }

    @Test(arguments: 0..<40) func theParserWouldMakeTheSameOfIt(group: Int) {
        for number in 0..<50 {
            let seed = UInt64(group * 50 + number)
            var dice = SplitMix64(seed: seed)
            var bytes = frames(&dice)
            for _ in 0..<Int(dice.next() % 3) { spoil(&bytes, &dice) }
            let cuts = (0..<4).map { _ in Int(dice.next() % UInt64(bytes.count)) }.sorted()
            expectTheSame(bytes, dice.chance(80) ? .v12 : dice.chance(50) ? .v11 : .v10, cuts: cuts, seed)
        }
    }

    // MARK: What is read so

    @Test func anAcknowledgementNeedsNoParser() {
        let listener = Listener()
        listener.take("ACK\nid:1-2\n\n\0ACK\nid:4294967295-999999999999999999\n\n\0")
        #expect(
            listener.commands.map { spoken($0, listener.batch.extras) } == [
                "acknowledge(slot: 1, tag: 2, transaction: 0)",
                "acknowledge(slot: 4294967295, tag: 999999999999999999, transaction: 0)",
            ])
        #expect(listener.session.parser.layout.command == .connect)
        listener.take("ACK\nid:1-2\nreceipt:r\n\n\0")
        #expect(listener.session.parser.layout.command == .ack)
    }

    /// How often a SEND with this head went to the parser, and the last one that the session made a command of.
    private func taken(_ head: [String], _ values: [(receipt: String, id: String, body: String)]) -> (
        parsed: Int, last: Send?, listener: Listener
    ) {
        let listener = Listener()
        var parsed = 0
        var end = -1
        for value in values {
            let lines = head.map {
                $0.replacing(":L\n", with: ":\(value.body.utf8.count)\n").replacing(":R\n", with: ":\(value.receipt)\n")
                    .replacing(":I\n", with: ":\(value.id)\n")
            }
            listener.take("SEND\n\(lines.joined())\n\(value.body)\0")
            if listener.session.parser.layout.end != end { parsed += 1 }
            end = listener.session.parser.layout.end
        }
        guard case .send(let send) = listener.commands.last else { return (parsed, nil, listener) }
        return (parsed, send, listener)
    }

    @Test(arguments: heads[..<usual]) func aSendLikeTheOneBeforeNeedsNoParser(head: [String]) {
        let values = [("1", "a", "ab"), ("receipt-1000", "message-77", "0123456789")]
        let (parsed, send, listener) = taken(head, values)
        #expect(parsed == 1 && listener.session.sends == 2)
        guard let send else {
            Issue.record("no SEND")
            return
        }
        let kept = head.filter { !$0.hasPrefix("receipt") }.joined().replacing(":L\n", with: ":10\n")
            .replacing(":I\n", with: ":message-77\n")
        #expect(String(decoding: send.content.prefix(Int(send.headerBytes)), as: UTF8.self) == kept + "\n")
        let id = head.contains("dedup-id:I\n") ? "message-77" : ""
        #expect(String(decoding: send.dedupID, as: UTF8.self) == id)
    }

    /// What stands in a gap may be so long and no longer; longer ones are read by the parser, all the same.
    @Test(arguments: [(62, true), (63, true), (64, false), (65, false)])
    func gapsHaveALimit(count: Int, isShort: Bool) {
        let long = String(repeating: "x", count: count)
        let head = ["destination:/queue/a\n", "receipt:R\n", "dedup-id:I\n", "content-length:L\n"]
        for value in [(long, "b", "body"), ("2", long, "body")] {
            let (parsed, send, listener) = taken(head, [("1", "a", "b"), value])
            #expect(parsed == (isShort ? 1 : 2) && listener.session.sends == 2)
            #expect(send?.content.suffix(5).elementsEqual("body\0".utf8) == true)
            #expect((send?.extras ?? -1 >= 0) != isShort)
        }
    }

    /// A session that allows shorter ids must measure them.
    @Test func theLimitOfIdsIsKept() {
        var settings = SessionSettings()
        settings.idBytes = 10
        let listener = Listener(settings: settings)
        for id in ["short", "also-short", "much-too-long"] {
            listener.take("SEND\ndestination:/queue/a\ncontent-length:1\ndedup-id:\(id)\n\nx\0")
        }
        #expect(listener.session.failure?.message == "bad header value")
        #expect(listener.session.sends == 2)
    }

    /// Or each connection could have us keep as much as a head may be long.
    @Test func aLongHeadIsNotRemembered() {
        let listener = Listener()
        let head = "SEND\ndestination:/queue/a\nx:\(String(repeating: "x", count: 2000))\n"
        listener.take(head + "content-length:1\n\nx\0")
        let end = listener.session.parser.layout.end
        listener.take(head + "content-length:2\n\nxx\0")
        #expect(listener.session.parser.layout.end == end + 1)
    }

    /// Limits smaller than what is read without being measured.
    @Test func tightLimitsAreKept() {
        var settings = SessionSettings()
        settings.limits.headerLineBytes = 5
        var session = Session(settings: settings, token: "t", now: Instant(nanoseconds: 0))
        var batch = CommandBatch()
        for text in ["CONNECT\naccept-version:1.2\n\n\0", "ACK\nid:1-1\n\n\0"] {
            let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
            defer { memory.deallocate() }
            _ = memory.initialize(fromContentsOf: text.utf8)
            let now = Moment(Instant(nanoseconds: 0), wall: Listener.wall)
            _ = session.receive(memory, received: 0, now: now, batch: &batch)
            var out = Buffer()
            session.commit(done: batch.commands.count, refusal: nil, batch: batch, required: 0, durable: 0, into: &out)
        }
        #expect(session.failure?.message == "header too long")
    }

    @Test func bodiesThatAreTooLongAreRefused() {
        let listener = Listener()
        let most = SessionSettings().limits.bodyBytes
        listener.take("SEND\ndestination:/queue/a\ncontent-length:1\n\nx\0")
        listener.take("SEND\ndestination:/queue/a\ncontent-length:\(most + 1)\n\nx\0")
        #expect(listener.failure?.message == "body too long")
    }
}
