// What must hold for any bytes, whoever wrote them. `scripts/fuzz` builds this with libFuzzer and the address
// sanitizer; Tests/STOMPTests/Reading.swift is part of it.

import Base
import Glibc

@testable import STOMP

/// One input: the bytes of a connection. They are read under every version and from both sides.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: start == nil ? 0 : count))
    for role in [FrameParser.Role.server, .client] {
        for version in [nil] + Version.allCases {
            var check = Check(role: role, version: version, bytes: bytes)
            check.run()
        }
    }
    Check.headers(bytes)
    return 0
}

/// Stops with what was found; an optimised `precondition` would keep it to itself.
func require(_ holds: Bool, _ what: @autoclosure () -> String = "a promise", line: Int = #line) {
    if !holds { broken(what(), line: line) }
}

func broken(_ what: String, line: Int = #line) -> Never {
    // Not `print`: what it has not written yet would be lost with the process.
    let text = Array("broken at line \(line): \(what)\n".utf8)
    _ = write(STDERR_FILENO, text, text.count)
    preconditionFailure("a promise is broken")
}

struct Check {
    var reader: Reader
    var bytes: [UInt8]
    /// Decides on cuts and limits; grown from the bytes, so that an input always does the same.
    var numbers: SplitMix64

    static let tight = FrameLimits(
        commandBytes: 12, headerLineBytes: 40, headerCount: 4, headerBytes: 100, bodyBytes: 16)
    static let wide = FrameLimits(
        commandBytes: 1 << 20, headerLineBytes: 1 << 20, headerCount: 60_000, headerBytes: 1 << 24, bodyBytes: 1 << 24)

    init(role: FrameParser.Role, version: Version?, bytes: [UInt8]) {
        self.bytes = bytes
        numbers = SplitMix64(
            seed: bytes.reduce(14_695_981_039_346_656_037) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 })
        let isTight = Bool.random(using: &numbers)
        reader = Reader(role: role, version: version, limits: isTight ? Check.tight : FrameLimits())
    }

    mutating func run() {
        let whole = reader.read(bytes)
        let cuts = (0..<6).map { _ in Int.random(in: 0...bytes.count, using: &numbers) }.sorted()
        let pieces = reader.read(bytes, cuts: cuts)
        require(pieces == whole, "cut at \(cuts): \(pieces) instead of \(whole)")
        var consumed = 0
        for event in whole.events {
            switch event {
            case .heartBeat(let count):
                require(count == 1 || count == 2)
                consumed += count
            case .frame(let frame, _, _, _, let count):
                require(count > 0 && consumed + count <= bytes.count)
                sendOn(Array(bytes[consumed..<consumed + count]))
                encode(frame)
                consumed += count
            case .undecodable(let error):
                broken("the parser took what cannot be decoded: \(error)")
            }
        }
        require(consumed + whole.rest == bytes.count)
    }

    /// What was read can be written, and is then read as the same.
    private func encode(_ frame: Frame) {
        let version = reader.version ?? .v10
        // Where CRLF ends a line and nothing can be escaped, a CR at the end of a value is not carried.
        let isLossy = version == .v10 && frame.headers.contains { $0.value.utf8.last == 13 }
        if isLossy { return }
        var again = reader
        again.limits = Check.wide
        let reading = again.read(frame.encoded(version: version))
        require(reading.error == nil && reading.frames.count == 1, "\(frame) became \(reading)")
        let back = reading.frames[0]
        require(back.command == frame.command && back.body == frame.body)
        require(Check.withoutLength(back) == Check.withoutLength(frame), "\(frame) became \(back)")
    }

    private static func withoutLength(_ frame: Frame) -> [Frame.Header] {
        frame.headers.filter { $0.name != "content-length" }
    }

    /// A frame that was taken can be sent on to a client of any version: as a whole, and with the same headers.
    private func sendOn(_ bytes: [UInt8]) {
        var parser = FrameParser(role: reader.role, limits: Check.wide)
        parser.version = reader.version
        bytes.withUnsafeBufferPointer { bytes in
            do throws(FrameError) {
                let step = try parser.next(in: bytes)
                require(step == .frame && parser.consumed == bytes.count)
                try sendOn(parser.layout, bytes)
            } catch {
                broken("taken once, refused the second time: \(error)")
            }
        }
    }

    private func sendOn(_ layout: FrameLayout, _ bytes: UnsafeBufferPointer<UInt8>) throws(FrameError) {
        let version = reader.version ?? .v10
        let isLiteral = version == .v10 || layout.command.isLiteral
        var block = Buffer()
        for header in layout.headers { HeaderText.append12(header, in: bytes, isLiteral: isLiteral, into: &block) }
        if layout.isPlain {
            require(block.readable.elementsEqual(bytes[layout.headersStart..<layout.headersEnd]))
        }
        guard UnsafeBufferPointer(block.readable).firstInvalidUTF8() == nil else {
            require(version == .v10 || reader.version == nil)
            return
        }
        let frame = try Frame.decode(layout: layout, bytes: bytes, version: version)
        for target in Version.allCases {
            var message = Buffer()
            message.append("MESSAGE\n")
            HeaderText.rewrite(headerBlock: UnsafeBufferPointer(block.readable), to: target, into: &message)
            message.append(.init(ascii: "\n"))
            message.append(UnsafeBufferPointer(rebasing: bytes[layout.body]))
            message.append(0)
            let reading = Reader(role: .client, version: target, limits: Check.wide).read(Array(message.readable))
            require(reading.error == nil && reading.frames.count == 1, "\(frame) became \(reading)")
            let back = reading.frames[0]
            require(back.body == frame.body && back.headers.count == frame.headers.count)
            if target > .v10 { require(back.headers == frame.headers, "\(frame) became \(back)") }
        }
    }

    /// The readers of single values.
    static func headers(_ bytes: [UInt8]) {
        bytes.withUnsafeBufferPointer { bytes in
            _ = HeartBeat(parsing: bytes)
            _ = Version.negotiate(acceptVersion: bytes)
            for version in Version.allCases {
                var out = Buffer()
                do throws(FrameError) {
                    try HeaderText.unescape(bytes, version: version, into: &out)
                } catch {
                    require(version > .v10)
                }
                HeaderText.rewrite(headerBlock: bytes, to: version, into: &out)
            }
        }
    }
}
