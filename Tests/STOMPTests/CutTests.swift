import Base
import Foundation
import Testing

@testable import STOMP

/// What a parser finds depends on the bytes alone, never on how they were cut on their way. Method: the frames
/// that the fuzzer starts from are read whole and in pieces, under every version and from both sides.
@Suite struct CutTests {
    static let corpus: [String: [UInt8]] = {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let folder = root.deletingLastPathComponent().appending(path: "Fuzz/corpus")
        var found: [String: [UInt8]] = [:]
        do {
            for file in try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil) {
                found[file.lastPathComponent] = Array(try Data(contentsOf: file))
            }
        } catch {
            Issue.record("no corpus: \(error)")
        }
        return found
    }()

    static let readers: [Reader] = [FrameParser.Role.server, .client].flatMap { role in
        ([nil] + Version.allCases).map { Reader(role: role, version: $0) }
    }

    /// Limits that the corpus breaks here and there.
    static let tight = FrameLimits(
        commandBytes: 9, headerLineBytes: 24, headerCount: 3, headerBytes: 60, bodyBytes: 4)

    @Test func theCorpusIsThere() {
        #expect(Self.corpus.count >= 30)
    }

    @Test(arguments: corpus.keys.sorted()) func everySingleCutFindsTheSame(name: String) throws {
        let bytes = try #require(Self.corpus[name])
        for reader in Self.readers {
            for limits in [FrameLimits(), Self.tight] {
                var reader = reader
                reader.limits = limits
                let whole = reader.read(bytes)
                for cut in 0...bytes.count {
                    let pieces = reader.read(bytes, cuts: [cut])
                    #expect(pieces == whole, "cut at \(cut) in \(reader)")
                }
                let single = reader.read(bytes, cuts: Array(0...bytes.count))
                #expect(single == whole, "byte by byte in \(reader)")
            }
        }
    }

    @Test(arguments: corpus.keys.sorted()) func everyPairOfCutsFindsTheSame(name: String) throws {
        let bytes = try #require(Self.corpus[name])
        guard bytes.count <= 64 else { return }
        for reader in Self.readers {
            let whole = reader.read(bytes)
            for first in 0...bytes.count {
                for second in first...bytes.count {
                    let pieces = reader.read(bytes, cuts: [first, second])
                    if pieces != whole { Issue.record("cuts at \(first) and \(second) in \(reader)") }
                }
            }
        }
    }

    /// Bytes that nobody would write, made of what means something to a parser.
    @Test(arguments: 0..<8) func anyCutsOfAnyBytesFindTheSame(seed: UInt64) {
        var numbers = SplitMix64(seed: seed)
        let words: [String] = [
            "SEND\n", "CONNECT\n", "ACK\n", "MESSAGE\r\n", "\n", "\r\n", "\r", "\0", ":", "\\", "\\n", "\\c", "\\r",
            "x",
            "content-length:", "3", "destination:/queue/a\n", "receipt:1\n", "a:b\n", "\u{e9}", "\n\n", "\0\n", "body",
        ]
        for _ in 0..<300 {
            var bytes: [UInt8] = []
            if Bool.random(using: &numbers) { bytes += "SEND\n".utf8 }
            for _ in 0..<Int.random(in: 1...14, using: &numbers) {
                if Int.random(in: 0..<20, using: &numbers) == 0 {
                    bytes.append(UInt8.random(in: 0...255, using: &numbers))
                } else {
                    bytes += (words.randomElement(using: &numbers) ?? "").utf8
                }
            }
            for reader in Self.readers {
                var reader = reader
                if Bool.random(using: &numbers) { reader.limits = Self.tight }
                let whole = reader.read(bytes)
                let cuts = (0..<4).map { _ in Int.random(in: 0...bytes.count, using: &numbers) }.sorted()
                #expect(reader.read(bytes, cuts: cuts) == whole, "\(bytes) cut at \(cuts) in \(reader)")
            }
        }
    }
}
