import Base

@testable import STOMP

/// What a parser makes of some bytes: the steps that it took, and the error that ended them.
struct Reading: Equatable, CustomStringConvertible {
    enum Event: Equatable {
        case heartBeat(bytes: Int)
        case frame(Frame, layout: [Header], isPlain: Bool, contentLength: Int?, bytes: Int)
        /// The parser took a frame that cannot be read: never right.
        case undecodable(FrameError)
    }

    var events: [Event] = []
    var error: FrameError?
    /// The receipt that the parser knew of when it failed.
    var failedReceipt: String?
    /// Bytes that were left over.
    var rest = 0

    var frames: [Frame] {
        events.compactMap { if case .frame(let frame, _, _, _, _) = $0 { frame } else { nil } }
    }

    var description: String { "\(events) \(error.map { "\($0)" } ?? "no error") rest \(rest)" }
}

struct Reader {
    var role = FrameParser.Role.server
    var version: Version?
    var limits = FrameLimits()

    func read(_ text: String, cuts: [Int] = []) -> Reading { read(Array(text.utf8), cuts: cuts) }

    /// Offers `bytes` in pieces that end at `cuts`, and the whole of it at the end.
    func read(_ bytes: [UInt8], cuts: [Int] = []) -> Reading {
        var parser = FrameParser(role: role, limits: limits)
        parser.version = version
        var reading = Reading()
        var start = 0
        for end in cuts + [bytes.count] {
            read(bytes, &start, end, &parser, &reading)
            if reading.error != nil { break }
        }
        reading.rest = bytes.count - start
        return reading
    }

    private func read(
        _ bytes: [UInt8], _ start: inout Int, _ end: Int, _ parser: inout FrameParser, _ reading: inout Reading
    ) {
        while start < end {
            // Memory of exactly this size, so that a sanitizer sees a read beyond it.
            let piece = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: end - start)
            defer { piece.deallocate() }
            _ = piece.initialize(fromContentsOf: bytes[start..<end])
            let readable = UnsafeBufferPointer(piece)
            do throws(FrameError) {
                switch try parser.next(in: readable) {
                case .incomplete: return
                case .heartBeat: reading.events.append(.heartBeat(bytes: parser.consumed))
                case .frame: reading.events.append(event(parser, readable))
                }
                start += parser.consumed
            } catch {
                reading.error = error
                let receipt = parser.layout.value(.receipt, in: readable)
                reading.failedReceipt = receipt.map { String(decoding: $0, as: UTF8.self) }
                return
            }
        }
    }

    private func event(_ parser: FrameParser, _ piece: UnsafeBufferPointer<UInt8>) -> Reading.Event {
        let layout = parser.layout
        do throws(FrameError) {
            let frame = try Frame.decode(layout: layout, bytes: piece, version: version ?? .v10)
            return .frame(
                frame, layout: layout.headers, isPlain: layout.isPlain, contentLength: layout.contentLength,
                bytes: parser.consumed)
        } catch {
            return .undecodable(error)
        }
    }
}

extension String {
    /// `body` with the bytes of this text.
    func withBytes<Result, Failure: Error>(
        _ body: (UnsafeBufferPointer<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try Array(utf8).withUnsafeBufferPointer(body)
    }
}

/// The text that `write` puts into a buffer.
func written<Failure: Error>(_ write: (inout Buffer) throws(Failure) -> Void) throws(Failure) -> String {
    var buffer = Buffer()
    try write(&buffer)
    return String(decoding: buffer.readable, as: UTF8.self)
}
