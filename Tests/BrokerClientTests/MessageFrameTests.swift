import Base
import STOMP
import Testing

@testable import BrokerClient

/// Goal: what is read of a MESSAGE later is what a frame would have had at once. Method: both of the same bytes.
@Suite struct MessageFrameTests {
    private static let names = [
        "a", "b", "destination", "subscription", "ack", "message-id", "x-long-name", "", "ü", "a:b", "a\nb",
    ]
    private static let values = [
        "", "1", "17", "/queue/a", "a:b", "a\\b", "two\nlines", "漢字", " padded ", String(repeating: "z", count: 80),
    ]

    private func expectTheSame(
        _ bytes: [UInt8], _ version: Version, _ note: String, at location: SourceLocation = #_sourceLocation
    ) {
        bytes.withUnsafeBufferPointer { bytes in
            var parser = FrameParser(role: .client, limits: FrameLimits())
            parser.version = version
            // What the parser refuses is nobody's.
            guard case .success(.frame) = Result(catching: { try parser.next(in: bytes) }) else { return }
            let read = Result { try MessageFrame(layout: parser.layout, bytes: bytes, version: version) }
            let whole = Result { try Frame.decode(layout: parser.layout, bytes: bytes, version: version) }
            guard case .success(let read) = read, case .success(let whole) = whole else {
                let areBoth = (try? read.get()) == nil && (try? whole.get()) == nil
                #expect(areBoth, "one of them is refused: \(note)", sourceLocation: location)
                return
            }
            #expect(
                read.headers.fields == whole.headers && read.headers.count == whole.headers.count
                    && read.body == whole.body, "\(note)", sourceLocation: location)
            #expect(read.text == whole.text, "\(note)", sourceLocation: location)
            for name in Self.names + ["desti", "destinations", "none"] {
                #expect(read[name] == whole[name], "\(name) of \(note)", sourceLocation: location)
            }
            let id = (version == .v12 ? whole["ack"] : nil) ?? whole["message-id"] ?? ""
            #expect(read.acknowledgementID == id, "\(note)", sourceLocation: location)
            let subscription = whole["subscription"].flatMap { UInt64($0) }
            #expect(read.subscription?.number == subscription, "\(note)", sourceLocation: location)
        }
    }

    @Test(arguments: 0..<20) func itIsWhatAFrameWouldBe(group: Int) {
        for number in 0..<50 {
            let seed = UInt64(group * 50 + number)
            var dice = SplitMix64(seed: seed)
            var frame = Frame(.message, [:], text: (dice.below(100) < 50) ? "hello" : "")
            for _ in 0..<dice.below(8) {
                frame.headers.append(
                    Frame.Header(Self.names[dice.below(Self.names.count)], Self.values[dice.below(Self.values.count)]))
            }
            let version: Version = [.v10, .v11, .v12, .v12][dice.below(4)]
            var bytes = frame.encoded(version: version)
            if dice.below(100) < 30 {
                bytes[dice.below(bytes.count)] = [0x0D, 0x0A, 0x5C, 0x3A, 0xFF, 0x41][dice.below(6)]
            }
            expectTheSame(bytes, version, "seed \(seed) \(version): \(String(decoding: bytes, as: UTF8.self))")
        }
    }

    @Test func linesThatEndWithCRToo() {
        expectTheSame(
            Array("MESSAGE\r\ndestination:/queue/a\r\nack:1-2\r\nsubscription:3\r\n\r\nbody\0".utf8), .v12, "CRLF")
    }

    @Test func anUnknownEscapeIsRefused() {
        let bytes = Array("MESSAGE\na:x\\ty\n\nbody\0".utf8)
        bytes.withUnsafeBufferPointer { bytes in
            var parser = FrameParser(role: .client, limits: FrameLimits())
            parser.version = .v12
            #expect(throws: FrameError.self) {
                _ = try parser.next(in: bytes)
                _ = try MessageFrame(layout: parser.layout, bytes: bytes, version: .v12)
            }
        }
    }
}
