import Base
import Testing

@testable import brokerbench

private func scan(_ text: String) -> ServerFrame? {
    Array(text.utf8).withUnsafeBytes { ServerFrame.scan($0) }
}

private func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite struct WireTests {
    private static let message = "MESSAGE\nack:T\\c1\nmessage-id:7\ncontent-length:3\n\na\0b\0"

    /// Goal: TCP may cut a frame anywhere. Method: offer every prefix.
    @Test func findsAFrameOnlyWhenItIsWhole() {
        for count in 1..<Self.message.utf8.count {
            #expect(scan(String(decoding: Self.message.utf8.prefix(count), as: UTF8.self)) == nil, "\(count) bytes")
        }
        Array((Self.message + "RECEIPT").utf8).withUnsafeBytes { bytes in
            let frame = ServerFrame.scan(bytes)
            #expect(frame?.kind == .message)
            #expect(frame.map { text($0.body) } == "a\0b")
            #expect(frame.map { text($0.ack) } == "T\\c1")
            #expect(frame?.count == Self.message.utf8.count)
        }
    }

    @Test func readsReceiptsWithAndWithoutCarriageReturns() {
        for eol in ["\n", "\r\n"] {
            let bytes = Array("RECEIPT\(eol)receipt-id:4711\(eol)\(eol)\0".utf8)
            bytes.withUnsafeBytes { bytes in
                let frame = ServerFrame.scan(bytes)
                #expect(frame?.kind == .receipt)
                #expect(frame?.receiptID.decimal == 4711)
            }
        }
    }

    @Test(arguments: [
        ("ERROR\n\n\0", ServerFrame.Kind.error), ("CONNECTED\n\n\0", .connected), ("PING\n\n\0", .unknown),
    ])
    func knowsTheOtherFrames(frame: String, kind: ServerFrame.Kind) {
        #expect(scan(frame)?.kind == kind)
    }

    @Test(arguments: ["", "x", "-1", "1x", "1234567890123456789"])
    func takesNoNumberFromOtherText(word: String) {
        let value = Array(word.utf8).withUnsafeBytes { $0.decimal }
        #expect(value == nil)
    }

    @Test func aSendCarriesItsReceiptAndStamp() throws {
        var options = Options()
        options.sendHeaders = [Options.HeaderLine(name: "a:b", value: "c\nd")]
        let body = Body(size: 64, run: 9)
        let template = SendTemplate(
            destination: "/queue/q", options: options, headers: try HeaderCycle(options.sendHeaders, now: 0),
            body: body.first(ofProducer: 3), receipts: true)
        var out = Buffer()
        template.append(sequence: 12, nanoseconds: 34, to: &out)
        let bytes = Array(out.readable)
        let head = "SEND\ndestination:/queue/q\npersistent:true\na\\cb:c\\nd\nreceipt:12\ncontent-length:64\n\n"
        #expect(String(decoding: bytes.prefix(head.utf8.count), as: UTF8.self) == head)
        #expect(bytes.count == head.utf8.count + 65)
        #expect(bytes.last == 0)
        let reading = bytes.dropFirst(head.utf8.count).dropLast().withUnsafeBytes { body.read($0) }
        #expect(reading == .ours(Stamp(producer: 3, sequence: 12, nanoseconds: 34)))
    }
}

@Suite struct BodyTests {
    @Test func smallBodiesHaveAShortStamp() {
        let body = Body(size: 17, run: 0x1_0005)
        var ours = body.first(ofProducer: 3)
        ours.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            Body.write(sequence: 1 << 31, nanoseconds: 99, into: base, size: 17)
        }
        let stamp = Stamp(producer: 3, sequence: 1 << 31, nanoseconds: 99)
        #expect(ours.withUnsafeBytes { body.read($0) } == .ours(stamp))
        #expect(ours.withUnsafeBytes { Body(size: 17, run: 6).read($0) } == .foreign)
        ours[16] ^= 1
        #expect(ours.withUnsafeBytes { body.read($0) } == .damaged)
        #expect(ours.dropLast().withUnsafeBytes { body.read($0) } == .damaged)
    }

    @Test func tellsChangedAndForeignBodiesFromOurs() {
        let body = Body(size: 100, run: 5)
        let ours = body.first(ofProducer: 1)
        var changed = ours
        changed[99] ^= 1
        #expect(changed.withUnsafeBytes { body.read($0) } == .damaged)
        #expect(ours.dropLast().withUnsafeBytes { body.read($0) } == .damaged)
        #expect((ours + [0]).withUnsafeBytes { body.read($0) } == .damaged)
        #expect(ours.withUnsafeBytes { Body(size: 100, run: 6).read($0) } == .foreign)
        #expect(Array("hello".utf8).withUnsafeBytes { body.read($0) } == .foreign)
    }
}
