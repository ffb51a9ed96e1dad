import Base
import Testing

@testable import STOMP

@Suite struct FrameTests {
    @Test func aBodyGetsItsLength() {
        let frame = Frame(.message, ["destination": "/queue/a"], text: "a\0b")
        let text = String(decoding: frame.encoded(version: .v12), as: UTF8.self)
        #expect(text == "MESSAGE\ndestination:/queue/a\ncontent-length:3\n\na\0b\0")
        let empty = Frame(.receipt, ["receipt-id": "1"])
        #expect(String(decoding: empty.encoded(version: .v12), as: UTF8.self) == "RECEIPT\nreceipt-id:1\n\n\0")
    }

    @Test func aWrongLengthIsPutRight() {
        let frame = Frame(.send, ["content-length": "99", "x": "y", "content-length": "5"], text: "abc")
        let text = String(decoding: frame.encoded(version: .v12), as: UTF8.self)
        #expect(text == "SEND\ncontent-length:3\nx:y\n\nabc\0")
    }

    @Test(arguments: Version.allCases) func connectedIsWrittenLiterally(version: Version) {
        let frame = Frame(.connected, ["version": "1.2", "session": "a:b\\c", "x": "1\n2\03"])
        let text = String(decoding: frame.encoded(version: version), as: UTF8.self)
        #expect(text == "CONNECTED\nversion:1.2\nsession:a:b\\c\nx:1 2 3\n\n\0")
    }

    @Test func theFirstHeaderOfANameIsItsValue() {
        let frame = Frame(.send, ["a": "1", "a": "2"])
        #expect(frame["a"] == "1")
        #expect(frame["b"] == nil)
    }

    /// Goal: what is written is what is read. Method: frames of odd letters, the same in every run.
    @Test(arguments: [nil] + Version.allCases) func whatIsWrittenIsRead(agreed: Version?) {
        let version = agreed ?? .v10
        var numbers = SplitMix64(seed: UInt64(version.rawValue) + 10)
        for _ in 0..<1500 {
            let command = Command.allCases.randomElement(using: &numbers) ?? .send
            let frame = Self.frame(command, version, &numbers)
            var out = Buffer()
            frame.encode(version: version, into: &out)
            let role = command.isFromServer ? FrameParser.Role.client : .server
            let reading = Reader(role: role, version: agreed).read(Array(out.readable))
            #expect(reading.error == nil)
            #expect(reading.frames == [frame])
        }
    }

    /// A frame that this version can carry as it is.
    static func frame(_ command: Command, _ version: Version, _ numbers: inout SplitMix64) -> Frame {
        let isLiteral = command.isLiteral || version == .v10
        let names = isLiteral ? "abz-\\ é" : "abz-:\\\r\n é"
        let values = isLiteral ? "ab:\\ \té€" : "ab:\\\r\n \té€😀"
        var frame = Frame(command)
        for index in 0..<Int.random(in: 0...6, using: &numbers) {
            let name = "n\(index)" + text(version == .v12 && isLiteral ? "ab" : names, &numbers)
            frame.headers.append(.init(name, text(values, &numbers)))
        }
        if command.mayHaveBody, Bool.random(using: &numbers) {
            frame.body = (0..<Int.random(in: 1...40, using: &numbers)).map { _ in
                UInt8.random(in: 0...255, using: &numbers)
            }
            frame.headers.append(.init("content-length", String(frame.body.count)))
        }
        return frame
    }

    static func text(_ alphabet: String, _ numbers: inout SplitMix64) -> String {
        let scalars = Array(alphabet.unicodeScalars)
        var text = ""
        for _ in 0..<Int.random(in: 0...20, using: &numbers) {
            text.unicodeScalars.append(scalars.randomElement(using: &numbers) ?? "a")
        }
        return text
    }
}
