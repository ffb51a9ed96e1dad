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
        for count in 1..<Self.send.count {
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
}
