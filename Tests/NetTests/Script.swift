import Base
import Foundation
import Glibc
import Net

/// A handler whose answers a test writes down. By default it takes everything and finishes when the
/// peer does.
final class Script: ConnectionHandler {
    var onReceived: (UnsafeMutableBufferPointer<UInt8>, Connection) -> Int = { bytes, _ in bytes.count }
    var onEnd: (Connection) -> Void = { $0.finish(.peerClosed) }
    var onDrained: (Connection) -> Void = { _ in }
    var onDeadline: (Connection, Instant) -> Void = { _, _ in }
    var onEnded: (Connection, EndReason) -> Void = { _, _ in }

    init(_ write: (Script) -> Void = { _ in }) {
        write(self)
    }

    /// Sends back what comes, and holds the peer back while it does not read.
    static func echo() -> Script {
        Script { script in
            script.onReceived = { bytes, connection in
                connection.outbox.append(UnsafeBufferPointer(bytes))
                if connection.outbox.isOverHighMark { connection.pauseReading() }
                connection.markDirty()
                return bytes.count
            }
            script.onDrained = { $0.resumeReading() }
        }
    }

    func received(_ bytes: UnsafeMutableBufferPointer<UInt8>, on connection: Connection) -> Int {
        onReceived(bytes, connection)
    }
    func receivedEnd(on connection: Connection) { onEnd(connection) }
    func outboxDrained(on connection: Connection) { onDrained(connection) }
    func deadlineReached(on connection: Connection, now: Instant) { onDeadline(connection, now) }
    func ended(on connection: Connection, reason: EndReason) { onEnded(connection, reason) }
}

/// A listener with one loop, for as long as a test lasts.
final class House: Sendable {
    let loop: IOLoop
    let listener: Listener
    var address: SocketAddress { listener.boundAddress }

    init(
        _ address: String = "127.0.0.1:0", settings: LoopSettings = LoopSettings(),
        limits: ListenerLimits = ListenerLimits(),
        makeHandler: @escaping @Sendable (Connection) -> any ConnectionHandler
    ) throws {
        loop = try IOLoop(index: 0, settings: settings)
        listener = try Listener(
            address: SocketAddress(parsing: address), loops: [loop], limits: limits, makeHandler: makeHandler)
        listener.start()
    }

    deinit { listener.stop() }

    /// Runs `body` on the loop and waits for it.
    func onLoop<R: Sendable>(_ body: @escaping @Sendable (IOLoop) -> R) -> R? {
        let result = Watched<R?>(nil)
        loop.submit { loop in
            let value = body(loop)
            result.change { $0 = value }
        }
        _ = result.wait { $0 != nil }
        return result.current
    }
}

/// Bytes that show any loss, repetition or exchange: one cycle has a prime length, so that no block or
/// buffer size divides it.
private let patternCycle: [UInt8] = (0..<65_521).map { index in
    let value = UInt64(index) &* 0x9E37_79B9_7F4A_7C15
    return UInt8(truncatingIfNeeded: value ^ value >> 29)
}

func pattern(_ count: Int, from start: Int = 0) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { room, filled in
        patternCycle.withUnsafeBytes { cycle in
            while filled < count {
                let from = (start + filled) % cycle.count
                let length = min(count - filled, cycle.count - from)
                memcpy(room.baseAddress! + filled, cycle.baseAddress! + from, length)
                filled += length
            }
        }
    }
}

func temporaryPath(_ name: String) -> String {
    "\(NSTemporaryDirectory())/net-\(getpid())-\(UInt32.random(in: 0...UInt32.max))-\(name)"
}
