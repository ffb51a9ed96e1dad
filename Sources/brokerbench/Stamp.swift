import Glibc

/// What stands at the front of each body: enough to know a message again when it comes back.
///
///     0      4        8          12        20       28    32
///     "BNCH" run(32)  producer   sequence  time(ns) size  filler: every byte value, NUL and LF too
///
/// Bodies below 32 bytes have a short one, which knows fewer runs and messages apart:
///
///     0        2         4         8        16
///     run(16)  producer  sequence  time(ns) filler
struct Stamp: Equatable, Sendable {
    static let size = 32
    static let leastSize = 16

    let producer: UInt32
    let sequence: UInt64
    /// On the monotonic clock: when it was sent, or was due.
    let nanoseconds: UInt64

    enum Reading: Equatable {
        case ours(Stamp)
        /// Carries our run, but not the bytes that we sent.
        case damaged
        /// Of another run, or no message of ours at all.
        case foreign
    }
}

/// The bodies of one run: makes them, and recognises them.
struct Body: Sendable {
    private static let magic: UInt32 = 0x4843_4E42
    let run: UInt32
    private let pattern: [UInt8]

    /// `size` is at least `Stamp.leastSize`.
    init(size: Int, run: UInt32) {
        self.run = run
        pattern = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ $0 >> 8) }
    }

    var size: Int { pattern.count }

    /// A whole body; later ones differ in what `write` changes only.
    func first(ofProducer producer: Int) -> [UInt8] {
        var bytes = pattern
        bytes.withUnsafeMutableBytes { body in
            guard size >= Stamp.size else {
                body.storeBytes(of: shortRun, as: UInt16.self)
                body.storeBytes(of: UInt16(truncatingIfNeeded: producer), toByteOffset: 2, as: UInt16.self)
                return
            }
            body.storeBytes(of: Self.magic, as: UInt32.self)
            body.storeBytes(of: run, toByteOffset: 4, as: UInt32.self)
            body.storeBytes(of: UInt32(producer), toByteOffset: 8, as: UInt32.self)
            body.storeBytes(of: UInt32(pattern.count), toByteOffset: 28, as: UInt32.self)
        }
        return bytes
    }

    static func write(sequence: UInt64, nanoseconds: UInt64, into body: UnsafeMutableRawPointer, size: Int) {
        guard size >= Stamp.size else {
            body.storeBytes(of: UInt32(truncatingIfNeeded: sequence), toByteOffset: 4, as: UInt32.self)
            return body.storeBytes(of: nanoseconds, toByteOffset: 8, as: UInt64.self)
        }
        body.storeBytes(of: sequence, toByteOffset: 12, as: UInt64.self)
        body.storeBytes(of: nanoseconds, toByteOffset: 20, as: UInt64.self)
    }

    func read(_ body: UnsafeRawBufferPointer) -> Stamp.Reading {
        guard size >= Stamp.size else { return readShort(body) }
        guard body.count >= Stamp.size, body.loadUnaligned(as: UInt32.self) == Self.magic,
            body.loadUnaligned(fromByteOffset: 4, as: UInt32.self) == run
        else { return .foreign }
        guard body.count == size, body.loadUnaligned(fromByteOffset: 28, as: UInt32.self) == UInt32(size),
            hasOurFiller(body, behind: Stamp.size)
        else { return .damaged }
        return .ours(
            Stamp(
                producer: body.loadUnaligned(fromByteOffset: 8, as: UInt32.self),
                sequence: body.loadUnaligned(fromByteOffset: 12, as: UInt64.self),
                nanoseconds: body.loadUnaligned(fromByteOffset: 20, as: UInt64.self)))
    }

    private var shortRun: UInt16 { UInt16(truncatingIfNeeded: run) }

    private func readShort(_ body: UnsafeRawBufferPointer) -> Stamp.Reading {
        guard body.count >= Stamp.leastSize, body.loadUnaligned(as: UInt16.self) == shortRun else { return .foreign }
        guard body.count == size, hasOurFiller(body, behind: Stamp.leastSize) else { return .damaged }
        return .ours(
            Stamp(
                producer: UInt32(body.loadUnaligned(fromByteOffset: 2, as: UInt16.self)),
                sequence: UInt64(body.loadUnaligned(fromByteOffset: 4, as: UInt32.self)),
                nanoseconds: body.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
    }

    /// Both are as long as `size`.
    private func hasOurFiller(_ body: UnsafeRawBufferPointer, behind offset: Int) -> Bool {
        guard let base = body.baseAddress else { return false }
        return pattern.withUnsafeBytes { ours in
            guard let start = ours.baseAddress else { return false }
            return memcmp(base + offset, start + offset, ours.count - offset) == 0
        }
    }
}
