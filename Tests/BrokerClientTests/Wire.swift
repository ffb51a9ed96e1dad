import Base
import STOMP

@testable import BrokerClient

/// Frames by way of their bytes.
enum Wire {
    /// The only frame of these bytes, as a broker reads it; nil if it cannot.
    static func frame(_ bytes: UnsafeBufferPointer<UInt8>, _ version: Version) -> Frame? {
        var parser = FrameParser(role: .server, limits: FrameLimits())
        parser.version = version
        do {
            guard try parser.next(in: bytes) == .frame, parser.consumed == bytes.count else { return nil }
            return try Frame.decode(layout: parser.layout, bytes: bytes, version: version)
        } catch {
            return nil
        }
    }

    /// A MESSAGE as a client has it.
    static func message(_ frame: Frame, _ version: Version) -> MessageFrame? {
        frame.encoded(version: version).withUnsafeBufferPointer { bytes in
            var parser = FrameParser(role: .client, limits: FrameLimits())
            parser.version = version
            do {
                guard try parser.next(in: bytes) == .frame, parser.consumed == bytes.count else { return nil }
                return try MessageFrame(layout: parser.layout, bytes: bytes, version: version)
            } catch {
                return nil
            }
        }
    }
}
