import Base
import Net
import STOMP

/// One connection's bytes, as frames. Loop-confined.
final class Link: ConnectionHandler {
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

    func received(_ bytes: UnsafeMutableBufferPointer<UInt8>, on connection: Connection) -> Int {
        let bytes = UnsafeBufferPointer(bytes)
        var frames: [Frame] = []
        var starts: [Int] = []
        var done = 0
        var fault: FrameError?
        do throws(FrameError) {
            reading: while true {
                let rest = UnsafeBufferPointer(rebasing: bytes[done...])
                switch try parser.next(in: rest) {
                case .incomplete:
                    break reading
                case .heartBeat:
                    break
                case .frame:
                    let version = parser.version ?? .v10
                    let frame = try Frame.decode(layout: parser.layout, bytes: rest, version: version)
                    if frame.command == .connected { parser.version = Version(named: frame["version"] ?? "1.0") }
                    frames.append(frame)
                    starts.append(done)
                }
                done += parser.consumed
            }
        } catch {
            fault = error
        }

        let taken = engine.received(frames, on: number, connection.loop)
        if taken < frames.count {
            // The parser has seen more than was taken. It must not remember that.
            parser = Link.parser(engine, parser.version)
            connection.pauseReading()
            return starts[taken]
        }
        if let fault { end(.connectionLost(.notSTOMP(fault.detail)), connection) }
        return fault == nil ? done : bytes.count
    }

    func receivedEnd(on connection: Connection) {
        end(.connectionLost(.ended(reason: EndReason.peerClosed.code)), connection)
        connection.finish(.peerClosed)
    }

    func outboxDrained(on connection: Connection) {
        engine.congestion(false, link: number, on: connection.loop)
    }

    func deadlineReached(on connection: Connection, now: Instant) {
        engine.tick(on: connection.loop)
    }

    func ended(on connection: Connection, reason: EndReason) {
        end(.connectionLost(.ended(reason: reason.code)), connection)
    }

    private func end(_ error: ClientError, _ connection: Connection) {
        engine.ended(number, error, on: connection.loop)
    }
}
