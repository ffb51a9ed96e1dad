import Base
import Glibc

/// Goes through a queue file from its first message to its last, over whatever is damaged.
struct QueueFileScan: ~Copyable {
    struct Message {
        var head: StoredHead
        var offset: Int
        /// The bytes are those that were appended.
        var isWhole: Bool
    }

    /// A disk that fails is asked for so much at once.
    static let blockSize = 4096

    private let file: any DiskFile
    private let seed: UInt32
    private let limit: Int
    private var window = Window()
    /// The header is there and is that of this file.
    let hasHeader: Bool
    /// Bytes that should be there and are not.
    let missingBytes: Int
    /// Stretches in which no message can be found; bounded in number.
    private(set) var gaps: [Range<Int>] = []

    private static let gapsMax = 100

    /// The first `count` bytes of the file are looked at.
    init(_ file: any DiskFile, _ header: QueueFileHeader, count: Int) throws(DiskError) {
        self.file = file
        seed = header.seed
        let size = try file.size()
        limit = min(count, size)
        missingBytes = count - limit
        let found = (try? file.contents(limit: QueueFileHeader.size))?.withUnsafeBytes { QueueFileHeader($0) }
        hasHeader = found.map { $0 == header } ?? false
    }

    /// Tells of every message that can be found; `content` is valid during the call only.
    mutating func eachMessage<Failure: Error>(
        _ body: (_ message: Message, _ content: UnsafeRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        var at = QueueFileHeader.size
        var gap: Int?
        while at + StoredHead.size <= limit {
            guard let head = head(at) else {
                gap = gap ?? at
                at += isReadable(at) ? StoredHead.alignment : Self.blockSize - at % Self.blockSize
                continue
            }
            if let start = gap { note(start..<at) }
            gap = nil
            let message = Message(head: head, offset: at, isWhole: false)
            at += head.diskBytes
            guard let content = content(of: message), Checksum.of(content) == head.checksum else {
                try body(message, UnsafeRawBufferPointer(start: nil, count: 0))
                continue
            }
            try body(Message(head: head, offset: message.offset, isWhole: true), content)
        }
        if let start = gap ?? (at < limit ? at : nil), start < limit { note(start..<limit) }
    }

    private mutating func note(_ gap: Range<Int>) {
        if gaps.count < Self.gapsMax {
            gaps.append(gap)
        } else if let last = gaps.popLast() {
            gaps.append(last.lowerBound..<gap.upperBound)
        }
    }

    private mutating func bytes(_ offset: Int, _ count: Int) -> UnsafeRawBufferPointer? {
        // Beside a place that the disk does not give back others may still be read.
        let ahead = min(limit - offset, Window.size)
        if let bytes = try? window.bytes(offset, count, of: file, ahead: ahead) { return bytes }
        return try? window.bytes(offset, count, of: file, ahead: count)
    }

    private mutating func isReadable(_ offset: Int) -> Bool { bytes(offset, StoredHead.size) != nil }

    private mutating func head(_ offset: Int) -> StoredHead? {
        guard let source = bytes(offset, StoredHead.size)?.baseAddress, let head = StoredHead(source, seed: seed)
        else { return nil }
        return head.length < JournalPlace.lengthLimit && head.diskBytes <= limit - offset ? head : nil
    }

    private mutating func content(of message: Message) -> UnsafeRawBufferPointer? {
        bytes(message.offset + StoredHead.size, message.head.length)
    }
}
