import Base
import STOMP

/// What a broker says.
enum Incoming: Sendable {
    case frame(Frame)
    case message(MessageFrame)
    /// RECEIPT, of this request.
    case receipt(RequestID)
}

/// One connection's bytes, as frames. Loop-confined.
final class Link: CarriedHandler {
    private let number: LinkNumber
    private let engine: Engine
    private var parser: FrameParser

    init(_ number: LinkNumber, of engine: Engine) {
        self.number = number
        self.engine = engine
        parser = Link.parser(engine)
    }

    private static func parser(_ engine: Engine, _ version: Version? = nil) -> FrameParser {
        let limits = FrameLimits(
            headerLineBytes: 64 << 10, headerCount: 1024, headerBytes: 256 << 10,
            bodyBytes: engine.options.maxMessageBytes)
        var parser = FrameParser(role: .client, limits: limits)
        parser.version = version
        return parser
    }

    /// Frames handed to the engine at once. Few enough that little work is lost when a message among them finds no
    /// room.
    private static let batch = 64

    /// What was found in one go.
    private struct Found {
        var frames: [Incoming] = []
        /// Where each of them begins.
        var starts: [Int] = []
        /// How far the parser came.
        var end: Int
        var fault: FrameError?
    }

    func received(_ bytes: UnsafeBufferPointer<UInt8>, on connection: any CarriedConnection) -> Int {
        let taken = take(bytes, on: connection)
        if taken > 0 { engine.options.observer.measure(.bytesIn, .count(taken)) }
        return taken
    }

    private func take(_ bytes: UnsafeBufferPointer<UInt8>, on connection: any CarriedConnection) -> Int {
        var done = 0
        while true {
            let found = find(in: bytes, from: done)
            let taken = engine.received(found.frames, on: number)
            guard connection.isOpen else { return bytes.count }
            if taken < found.frames.count {
                // The parser has seen more than was taken. It must not remember that.
                parser = Link.parser(engine, parser.version)
                done = found.starts[taken]
                // There may be room again by now, and then nobody says so a second time.
                if !engine.isOverrun(number) { continue }
                connection.pauseReading()
                return done
            }
            if let fault = found.fault {
                engine.ended(number, .connectionLost(.notSTOMP(fault.detail)))
                return bytes.count
            }
            done = found.end
            if found.frames.count < Link.batch { return done }
        }
    }

    private func find(in bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Found {
        var found = Found(end: start)
        do throws(FrameError) {
            while found.frames.count < Link.batch {
                let rest = UnsafeBufferPointer(rebasing: bytes[found.end...])
                switch try parser.next(in: rest) {
                case .incomplete: return found
                case .heartBeat: break
                case .frame:
                    found.frames.append(try incoming(rest))
                    found.starts.append(found.end)
                }
                found.end += parser.consumed
            }
        } catch {
            found.fault = error
        }
        return found
    }

    private func incoming(_ bytes: UnsafeBufferPointer<UInt8>) throws(FrameError) -> Incoming {
        if parser.layout.command == .message {
            return .message(try MessageFrame(layout: parser.layout, bytes: bytes, version: parser.version ?? .v10))
        }
        if let receipt = receipt(bytes) { return receipt }
        return .frame(try decode(bytes))
    }

    /// Most of what comes to a sender, without making a frame of it. nil if it is something else, or not one of ours.
    private func receipt(_ bytes: UnsafeBufferPointer<UInt8>) -> Incoming? {
        guard parser.layout.command == .receipt, let value = parser.layout.value(.receiptID, in: bytes),
            (1...19).contains(value.count)
        else { return nil }
        var number: UInt64 = 0
        for byte in value {
            guard (48...57).contains(byte) else { return nil }
            number = number * 10 + UInt64(byte - 48)
        }
        return .receipt(RequestID(number: number))
    }

    /// The version counts from the frame behind CONNECTED on.
    private func decode(_ bytes: UnsafeBufferPointer<UInt8>) throws(FrameError) -> Frame {
        let frame = try Frame.decode(layout: parser.layout, bytes: bytes, version: parser.version ?? .v10)
        if frame.command == .connected { parser.version = Version(named: frame["version"] ?? "1.0") }
        return frame
    }

    func outboxDrained(on connection: any CarriedConnection) { engine.congestion(false, link: number) }

    func deadlineReached(on connection: any CarriedConnection) { engine.tick() }

    func ended(code: String) { engine.ended(number, .connectionLost(.ended(reason: code))) }
}
