import Base
import Testing

@testable import STOMP

@Suite struct HeaderTextTests {
    /// What each octet that matters becomes: in 1.0, 1.1 and 1.2, as a value.
    @Test(arguments: [
        ("plain", "plain", "plain", "plain"),
        ("a\\b", "a\\b", "a\\\\b", "a\\\\b"),
        ("a:b", "a:b", "a\\cb", "a\\cb"),
        ("a\nb", "a b", "a\\nb", "a\\nb"),
        ("a\rb", "a\rb", "a\rb", "a\\rb"),
        ("a\r\nb", "a\r b", "a\r\\nb", "a\\r\\nb"),
        ("a\0b", "a b", "a b", "a b"),
        ("\\n", "\\n", "\\\\n", "\\\\n"),
        ("a\tb\u{b}", "a\tb\u{b}", "a\tb\u{b}", "a\tb\u{b}"),
        ("", "", "", ""), (" x ", " x ", " x ", " x "), ("é€😀", "é€😀", "é€😀", "é€😀"),
        (":\\\r\n", ":\\\r ", "\\c\\\\\r\\n", "\\c\\\\\\r\\n"),
    ])
    func everyVersionEscapesInItsWay(text: String, in10: String, in11: String, in12: String) {
        for (version, expected) in [(Version.v10, in10), (.v11, in11), (.v12, in12)] {
            let escaped = written { out in
                text.withBytes { HeaderText.escape($0, version: version, into: &out) }
            }
            #expect(escaped.utf8.elementsEqual(expected.utf8), "\(version)")
        }
    }

    @Test func aColonIsOnlyLostInANameOf10() {
        let names = Version.allCases.map { version in
            written { out in "a:b".withBytes { HeaderText.escape(name: $0, version: version, into: &out) } }
        }
        #expect(names == ["a b", "a\\cb", "a\\cb"])
    }

    @Test(arguments: [
        ("plain", "plain"), ("\\n", "\n"), ("\\c", ":"), ("\\\\", "\\"), ("\\\\n", "\\n"), ("\\\\\\n", "\\\n"),
        ("a\\cb\\nc", "a:b\nc"), ("", ""), ("\\\\c\\c", "\\c:"), ("a:b", "a:b"),
    ])
    func escapesAreDecodedOnce(text: String, expected: String) throws(FrameError) {
        for version in [Version.v11, .v12] {
            let decoded = try written { (out) throws(FrameError) in
                try text.withBytes { (bytes) throws(FrameError) in
                    try HeaderText.unescape(bytes, version: version, into: &out)
                }
            }
            #expect(decoded == expected)
        }
    }

    private func decode(_ text: String, _ version: Version) throws(FrameError) -> String {
        try written { (out) throws(FrameError) in
            try text.withBytes { (bytes) throws(FrameError) in
                try HeaderText.unescape(bytes, version: version, into: &out)
            }
        }
    }

    @Test func carriageReturnIsDecodedIn12Only() throws {
        #expect(try decode("\\r", .v12) == "\r")
        #expect(throws: FrameError.undefinedEscape(offset: 0)) { try decode("\\r", .v11) }
        #expect(try decode("\\r\\n\\t\\", .v10) == "\\r\\n\\t\\")
    }

    @Test(arguments: [Version.v11, .v12]) func whatIsNoEscapeIsRefused(version: Version) {
        for byte in UInt8.min...UInt8.max where !"ncr\\".utf8.contains(byte) {
            var out = Buffer()
            #expect(throws: FrameError.undefinedEscape(offset: 2)) {
                try [97, 98, 92, byte].withUnsafeBufferPointer { bytes in
                    try HeaderText.unescape(bytes, version: version, into: &out)
                }
            }
        }
        #expect(throws: FrameError.unfinishedEscape(offset: 1)) { try decode("a\\", version) }
        #expect(throws: FrameError.unfinishedEscape(offset: 3)) { try decode("a\\\\\\", version) }
    }

    @Test func whatIsEscapedComesBack() throws {
        var numbers = SplitMix64(seed: 1)
        let alphabet = Array("ab:\\\r\ncn\t é".unicodeScalars)
        for _ in 0..<2000 {
            var text = ""
            for _ in 0..<Int.random(in: 0...12, using: &numbers) {
                text.unicodeScalars.append(alphabet.randomElement(using: &numbers) ?? "a")
            }
            for version in [Version.v11, .v12] {
                let escaped = written { out in
                    text.withBytes { HeaderText.escape($0, version: version, into: &out) }
                }
                #expect(try decode(escaped, version).utf8.elementsEqual(text.utf8))
                #expect(!escaped.utf8.contains(10) && !escaped.utf8.contains(58))
            }
        }
    }

    // MARK: From one version to another

    @Test(arguments: [
        ("a:b\n", "a:b\n", "a:b\n"),
        ("a\\cb:c\\cd\ne\\cf:g\\ch\n", "a b:c:d\ne f:g:h\n", "a\\cb:c\\cd\ne\\cf:g\\ch\n"),
        ("a:\\n\\\\n\\r\n", "a: \\n\r\n", "a:\\n\\\\n\r\n"),
        ("a\\n\\r\\\\:x\n", "a \r\\:x\n", "a\\n\r\\\\:x\n"),
        ("a:x:y\\cz\nb\\c:\n", "a:x:y:z\nb :\n", "a:x:y\\cz\nb\\c:\n"),
        ("", "", ""),
    ])
    func aBlockOf12IsRewrittenForOlderClients(block: String, in10: String, in11: String) {
        for (version, expected) in [(Version.v10, in10), (.v11, in11), (.v12, block)] {
            let text = written { out in
                block.withBytes { HeaderText.rewrite(headerBlock: $0, to: version, into: &out) }
            }
            #expect(text.utf8.elementsEqual(expected.utf8), "\(version)")
        }
    }

    @Test func aDecodedLineIsWrittenIn12Text() {
        let line = written { out in
            "a:\\".withBytes { name in
                "b\r\n:".withBytes { HeaderText.append12(name: name, value: $0, into: &out) }
            }
        }
        #expect(line == "a\\c\\\\:b\\r\\n\\c\n")
    }

    @Test(arguments: [
        ("SEND\nx:a:b\n\n\0", Version.v12, "x:a\\cb\n"), ("SEND\nx:a\\cb:\\\\\n\n\0", .v12, "x:a\\cb\\c\\\\\n"),
        ("SEND\nx:\\r\r\n\r\n\0", .v12, "x:\\r\n"), ("SEND\nx\r:a\rb\\n\n\n\0", .v11, "x\\r:a\\rb\\n\n"),
        ("SEND\nx:a\\nb:c\n\n\0", .v10, "x:a\\\\nb\\cc\n"),
        ("SEND\nreceipt: 1 \r\ny: 2 \n\n\0", .v10, "receipt:1\ny: 2 \n"),
    ])
    func theLinesOfAnyFrameBecomeTextOf12(text: String, version: Version, expected: String) throws {
        let bytes = Array(text.utf8)
        var parser = FrameParser(role: .server, limits: FrameLimits())
        parser.version = version
        let step = try parser.next(in: bytes.span)
        #expect(step == .frame)
        let layout = parser.layout
        let lines = bytes.withUnsafeBufferPointer { bytes in
            written { out in
                for header in layout.headers {
                    HeaderText.append12(header, in: bytes, isLiteral: version == .v10, into: &out)
                }
            }
        }
        #expect(lines == expected)
        #expect(!layout.isPlain)
    }
}
