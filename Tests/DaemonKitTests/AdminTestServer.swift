import Base
import Foundation
import Net
import Synchronization

@testable import DaemonKit

/// A listener with the admin interface behind it, on a Unix socket and on a loopback port.
final class AdminServer: Sendable {
    let backend = FakeBackend()
    let path: String
    let unix: Listener
    let tcp: Listener

    init(_ settings: AdminHandlerSettings = AdminHandlerSettings()) throws {
        path = FileManager.default.temporaryDirectory.appending(path: "admin-\(UUID().uuidString.prefix(8)).sock")
            .path()
        let loop = try IOLoop(index: 0)
        let backend = backend
        let box = EventBox()
        let make: @Sendable (Connection) -> any ConnectionHandler = { connection in
            AdminHandler(on: connection, backend: backend, settings: settings) { box.add($0) }
        }
        unix = try Listener(address: SocketAddress(.unix(path: path)), loops: [loop], makeHandler: make)
        tcp = try Listener(address: SocketAddress(parsing: "127.0.0.1:0"), loops: [loop], makeHandler: make)
        self.box = box
        unix.start()
        tcp.start()
    }

    private let box: EventBox
    var seen: [AdminEvent] { box.events.withLock { $0 } }

    deinit {
        unix.stop()
        tcp.stop()
    }

    final class EventBox: Sendable {
        let events = Mutex<[AdminEvent]>([])
        func add(_ event: AdminEvent) { events.withLock { $0.append(event) } }
    }

    var port: UInt16 { tcp.boundAddress.port ?? 0 }

    /// Runs a conversation with blocking calls on a thread of its own: on the threads that tasks share
    /// it would keep the backend from answering.
    func talk<Result: Sendable>(overTCP: Bool = false, _ body: @escaping @Sendable (Wire) -> Result) async throws
        -> Result
    {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                do {
                    let wire = overTCP ? try Wire(port: self.port) : try Wire(unixPath: self.path)
                    continuation.resume(returning: body(wire))
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        }
    }
}

/// A blocking socket that gives up after ten seconds.
final class Wire {
    private let descriptor: Int32

    init(unixPath: String) throws {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: unixPath.utf8) }
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        try open(&address)
    }

    init(port: UInt16) throws {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try open(&address)
    }

    private func open<Address>(_ address: inout Address) throws {
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let result = withUnsafeBytes(of: &address) { bytes in
            Glibc.connect(descriptor, bytes.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t(bytes.count))
        }
        guard result == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    }

    deinit { close(descriptor) }

    func send(_ text: String) {
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    func shutDownWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// What comes until `isEnough` says so or the other end closes.
    func receive(until isEnough: (String) -> Bool) -> (text: String, closed: Bool) {
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 4096)
        while !isEnough(String(decoding: bytes, as: UTF8.self)) {
            let count = recv(descriptor, &room, room.count, 0)
            guard count > 0 else { return (String(decoding: bytes, as: UTF8.self), count == 0) }
            bytes += room[..<count]
        }
        return (String(decoding: bytes, as: UTF8.self), false)
    }

    func receiveAll() -> (text: String, closed: Bool) { receive { _ in false } }
}
