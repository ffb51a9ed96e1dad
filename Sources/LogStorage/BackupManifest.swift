/// What a copy of a store consists of: the file `manifest` in it, written last.
///
///     brokerd backup 1
///     store 00c0ffee00c0ffee
///     format 3
///     file 8a9136aa 32 store
///     file 1b2c3d4e 67108864 journal/00000012.seg
///     end 5d6c7b8a
///
/// The number behind `file` is the CRC-32C of the bytes, then come how many there are and the path; behind `end`
/// stands the CRC-32C of all lines before. A manifest is read as if an enemy had written it.
public struct BackupManifest: Sendable, Equatable {
    public struct Entry: Sendable, Equatable {
        public var path: String
        public var bytes: Int
        var checksum: UInt32
    }

    static let path = "manifest"
    static let draft = "manifest.tmp"
    static let sizeLimit = 256 << 20
    /// More than any store has: a million queue files.
    static let entriesMax = 1_000_100
    /// Most that can be set (`journalSegmentsMax`). Each is filled up with zeros when it is restored.
    static let segmentsMax = 60

    public var storeID: UInt64
    public var formatVersion: UInt32
    public internal(set) var entries: [Entry] = []

    init(storeID: UInt64, formatVersion: UInt32) {
        self.storeID = storeID
        self.formatVersion = formatVersion
    }

    public var bytes: UInt64 { entries.reduce(0) { $0 + UInt64($1.bytes) } }

    func encoded() -> [UInt8] {
        var text = "brokerd backup 1\nstore \(hexadecimal(storeID, digits: 16))\nformat \(formatVersion)\n"
        for entry in entries {
            text += "file \(hexadecimal(UInt64(entry.checksum), digits: 8)) \(entry.bytes) \(entry.path)\n"
        }
        let lines = Array(text.utf8)
        let sum = lines.withUnsafeBytes { Checksum.of($0) }
        return lines + Array("end \(hexadecimal(UInt64(sum), digits: 8))\n".utf8)
    }

    struct Mistake: Error {
        var sentence: String
    }

    init(decoding bytes: [UInt8]) throws(Mistake) {
        // Before there is a piece of memory for each line.
        if bytes.count(where: { $0 == 0x0A }) > Self.entriesMax + 4 {
            throw Mistake(sentence: "it names too many files")
        }
        let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        guard lines.count >= 5, lines[lines.count - 1].isEmpty, bytes.count <= Self.sizeLimit else {
            throw Mistake(sentence: "it is not whole")
        }
        let end = lines[lines.count - 2]
        let sum = bytes[..<end.startIndex].withUnsafeBytes { Checksum.of($0) }
        guard Array(end) == Array("end \(hexadecimal(UInt64(sum), digits: 8))".utf8) else {
            throw Mistake(sentence: "its checksum is not that of its lines")
        }
        guard Array(lines[0]) == Array("brokerd backup 1".utf8) else {
            throw Mistake(sentence: "it is not one that this program knows")
        }
        guard let store = Self.words(lines[1], "store", 1).flatMap({ UInt64(strict: $0[0], radix: 16) }),
            let format = Self.words(lines[2], "format", 1).flatMap({ UInt64(strict: $0[0]) }),
            let version = UInt32(exactly: format)
        else { throw Mistake(sentence: "its first lines are not understood") }
        storeID = store
        formatVersion = version
        var seen: Set<String> = []
        for line in lines[3..<lines.count - 2] {
            guard let words = Self.words(line, "file", 3), let checksum = UInt64(strict: words[0], radix: 16),
                let sum = UInt32(exactly: checksum), let length = UInt64(strict: words[1]),
                let bytes = Int(exactly: length)
            else { throw Mistake(sentence: "a line of it is not understood") }
            guard let limit = Self.limit(of: words[2]), bytes <= limit else {
                throw Mistake(sentence: "it names a file that no store has, or a size that none may have")
            }
            if !seen.insert(words[2]).inserted { throw Mistake(sentence: "it names a file twice") }
            entries.append(Entry(path: words[2], bytes: bytes, checksum: sum))
        }
        if entries.count(where: { $0.path.hasSuffix(".seg") }) > Self.segmentsMax {
            throw Mistake(sentence: "it names more journal segments than a store has")
        }
        for path in [StorePath.store, StorePath.checkpoint] where !seen.contains(path) {
            throw Mistake(sentence: "it does not name \(path)")
        }
    }

    private static func words(_ line: ArraySlice<UInt8>, _ first: String, _ count: Int) -> [String]? {
        guard line.count < 200, line.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else { return nil }
        let words = line.split(separator: 0x20, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        return words.count == count + 1 && words[0] == first ? Array(words.dropFirst()) : nil
    }

    /// Most bytes that a file of a store may have; nil for a path that no file of a store has. Compared as
    /// written anew from its number: there is one way only to write each.
    static func limit(of path: String) -> Int? {
        switch path {
        case StorePath.store: return StoreHeader.size
        case StorePath.checkpoint, StorePath.secondCheckpoint: return Checkpoint.sizeLimit
        default: break
        }
        let pieces = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if pieces.count == 2, let segment = number(in: pieces[1], before: ".seg").flatMap({ UInt32(exactly: $0) }) {
            return StorePath.segment(segment) == path ? JournalPlace.offsetLimit : nil
        }
        guard pieces.count == 3, let queue = number(in: pieces[1], before: "").flatMap({ UInt32(exactly: $0) }),
            let first = number(in: pieces[2], before: ".log"), queue > 0
        else { return nil }
        // A file may grow by one message over the largest size that can be set.
        return StorePath.queueFile(queue, first: first) == path ? (1 << 30) + (1 << 27) : nil
    }
}

/// `value` in hexadecimal with zeros in front.
func hexadecimal(_ value: UInt64, digits: Int) -> String {
    let text = String(value, radix: 16)
    return text.utf8.count >= digits ? text : String(repeating: "0", count: digits - text.utf8.count) + text
}

extension UInt64 {
    /// Digits only, small ones: no sign, no prefix.
    init?(strict text: String, radix: Int = 10) {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 || radix == 16 && $0 >= 97 && $0 <= 102 })
        else { return nil }
        self.init(text, radix: radix)
    }
}
