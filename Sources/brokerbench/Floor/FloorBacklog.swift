import Base
import Glibc

/// Bodies that nobody could take yet, each behind its length, in pieces of a MiB.
struct FloorBacklog: ~Copyable {
    private struct Piece {
        let base: UnsafeMutableRawPointer
        let capacity: Int
        var used = 0
    }

    private static let pieceBytes = 1 << 20
    private static let lengthBytes = MemoryLayout<UInt64>.size

    private var pieces = Deque<Piece>()
    /// How far the first piece is done with.
    private var taken = 0
    private(set) var count = 0

    deinit {
        for index in 0..<pieces.count { free(pieces[index].base) }
    }

    mutating func append(_ body: UnsafeRawBufferPointer) throws(Failure) {
        let needed = Self.lengthBytes + body.count
        if (pieces.last.map { $0.capacity - $0.used } ?? 0) < needed {
            pieces.append(try Self.fresh(atLeast: needed))
        }
        var piece = pieces[pieces.count - 1]
        (piece.base + piece.used).storeBytes(of: UInt64(body.count), as: UInt64.self)
        if let source = body.baseAddress { memcpy(piece.base + piece.used + Self.lengthBytes, source, body.count) }
        piece.used += needed
        pieces[pieces.count - 1] = piece
        count += 1
    }

    /// The oldest body, valid until `dropFirst`; nil when there is none.
    var first: UnsafeRawBufferPointer? {
        guard let piece = pieces.first else { return nil }
        let length = Int((piece.base + taken).loadUnaligned(as: UInt64.self))
        return UnsafeRawBufferPointer(start: piece.base + taken + Self.lengthBytes, count: length)
    }

    mutating func dropFirst() {
        guard let body = first, let piece = pieces.first else { return }
        taken += Self.lengthBytes + body.count
        count -= 1
        if taken == piece.used {
            _ = pieces.popFirst()
            free(piece.base)
            taken = 0
        }
    }

    private static func fresh(atLeast bytes: Int) throws(Failure) -> Piece {
        let capacity = max(bytes, pieceBytes)
        guard let base = malloc(capacity) else { throw Failure("no memory for \(capacity) bytes of backlog") }
        return Piece(base: base, capacity: capacity)
    }
}
