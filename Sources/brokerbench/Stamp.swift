import Glibc

/// What stands at the front of each body: enough to know a message again when it comes back.
///
///     0      4        8          12        20       28    32
///     "BNCH" run(32)  producer   sequence  time(ns) size  filler: every byte value, NUL and LF too
struct Stamp: Equatable, Sendable {
    static let size = 32

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

    /// `size` is at least `Stamp.size`.
    init(size: Int, run: UInt32) {
        self.run = run
        pattern = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ $0 >> 8) }
    }

    var size: Int { pattern.count }

    /// A whole body; later ones differ in what `write` changes only.
    func first(ofProducer producer: Int) -> [UInt8] {
        var bytes = pattern
        bytes.withUnsafeMutableBytes { body in
            body.storeBytes(of: Self.magic, as: UInt32.self)
            body.storeBytes(of: run, toByteOffset: 4, as: UInt32.self)
            body.storeBytes(of: UInt32(producer), toByteOffset: 8, as: UInt32.self)
            body.storeBytes(of: UInt32(pattern.count), toByteOffset: 28, as: UInt32.self)
        }
        return bytes
    }

    static func write(sequence: UInt64, nanoseconds: UInt64, into body: UnsafeMutableRawPointer) {
        body.storeBytes(of: sequence, toByteOffset: 12, as: UInt64.self)
        body.storeBytes(of: nanoseconds, toByteOffset: 20, as: UInt64.self)
    }

    func read(_ body: UnsafeRawBufferPointer) -> Stamp.Reading {
        guard body.count >= Stamp.size, body.loadUnaligned(as: UInt32.self) == Self.magic,
            body.loadUnaligned(fromByteOffset: 4, as: UInt32.self) == run
        else { return .foreign }
        guard hasOurFiller(body) else { return .damaged }
        return .ours(
            Stamp(
                producer: body.loadUnaligned(fromByteOffset: 8, as: UInt32.self),
                sequence: body.loadUnaligned(fromByteOffset: 12, as: UInt64.self),
                nanoseconds: body.loadUnaligned(fromByteOffset: 20, as: UInt64.self)))
    }

    private func hasOurFiller(_ body: UnsafeRawBufferPointer) -> Bool {
        guard body.count == pattern.count, let base = body.baseAddress,
            body.loadUnaligned(fromByteOffset: 28, as: UInt32.self) == UInt32(pattern.count)
        else { return false }
        return pattern.withUnsafeBytes { ours in
            guard let start = ours.baseAddress else { return false }
            return memcmp(base + Stamp.size, start + Stamp.size, ours.count - Stamp.size) == 0
        }
    }
}
