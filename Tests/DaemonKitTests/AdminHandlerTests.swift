import Base
import Foundation
import Net
import Synchronization
import Testing

@testable import DaemonKit

/// A listener with the admin interface behind it, on a Unix socket and on a loopback port.
private final class Server: Sendable {
    let backend = FakeBackend()
    let path: String
    let unix: Listener
    let tcp: Listener

    init(_ settings: AdminHandlerSettings = AdminHandlerSettings()) throws {
        path = FileManager.default.temporaryDirectory.appending(path: "admin-\(UUID().uuidString.prefix(8)).sock").path()
        let loop = IOLoop(index: 0)
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

    /// Runs a conversation with blocking calls on a thread of its own: on the threads that tasks share
    /// it would keep the backend from answering.
    func talk<Result: Sendable>(overTCP: Bool = false, _ body: @escaping @Sendable (Wire) -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                do {
                    let wire = overTCP ? try Wire(port: self.tcp.boundAddress.port ?? 0) : try Wire(unixPath: self.path)
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
            let count = bytes[sent...].withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
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

extension String {
    fileprivate func count(of word: String) -> Int { components(separatedBy: word).count - 1 }
}

@Suite struct AdminHandlerTests {
    static let get = "GET /v1/queues/orders HTTP/1.1\r\nHost: localhost\r\n\r\n"

    @Test func aRequestOverAUnixSocketIsAnswered() async throws {
        let (text, closed) = try await Server().talk { wire in
            wire.send(Self.get.replacing("\r\n\r\n", with: "\r\nConnection: close\r\n\r\n"))
            return wire.receiveAll()
        }
        #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(text.contains("\"name\":\"orders\""))
        #expect(text.contains("X-Content-Type-Options: nosniff\r\n") && text.contains("Cache-Control: no-store\r\n"))
        #expect(closed)
    }

    /// Goal: pipelined requests are answered in order, all of them, though each waits for the backend.
    @Test func pipelinedRequestsAreAnsweredInOrder() async throws {
        let names = (0..<50).map { "q\($0)" }
        let (text, _) = try await Server().talk { wire in
            wire.send(names.map { "PUT /v1/queues/\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
            return wire.receive { $0.count(of: "HTTP/1.1 201") == names.count && $0.hasSuffix("}") }
        }
        let found = text.components(separatedBy: "\"name\":\"").dropFirst().map { $0.prefix { $0 != "\"" } }
        #expect(found.map(String.init) == names)
    }

    @Test func aRequestMayComeByteByByte() async throws {
        let (text, _) = try await Server().talk { wire in
            for character in Self.get.unicodeScalars { wire.send(String(character)) }
            return wire.receive { $0.hasSuffix("}") }
        }
        #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
    }

    @Test func theAnswerComesEvenIfTheClientHasShutDownItsSide() async throws {
        let (text, closed) = try await Server().talk { wire in
            wire.send(Self.get + Self.get)
            wire.shutDownWriting()
            return wire.receiveAll()
        }
        #expect(text.count(of: "HTTP/1.1 200 OK") == 2)
        #expect(closed)
    }

    @Test func whatIsNoHTTPIsAnsweredOnceAndClosed() async throws {
        let (text, closed) = try await Server().talk { wire in
            wire.send("CONNECT\naccept-version:1.2\n\n\0" + Self.get)
            return wire.receiveAll()
        }
        #expect(text.count(of: "HTTP/1.1 400 Bad Request\r\n") == 1)
        #expect(text.count(of: "Date: ") == 1)
        #expect(text.contains("Connection: close\r\n"))
        #expect(closed)
    }

    /// Goal: nobody holds a connection by sending slowly. Method: a head that never ends, under a short limit.
    @Test func aSlowRequestIsEnded() async throws {
        let settings = AdminHandlerSettings(requestMilliseconds: 50)
        let (text, closed) = try await Server(settings).talk { wire in
            wire.send("GET / HTTP/1.1\r\nHost: a\r\n")
            return wire.receiveAll()
        }
        #expect(text.hasPrefix("HTTP/1.1 408 "))
        #expect(closed)
    }

    @Test func aSilentConnectionIsClosedWithoutAWord() async throws {
        let (text, closed) = try await Server(AdminHandlerSettings(requestMilliseconds: 50)).talk { $0.receiveAll() }
        #expect(text == "" && closed)
    }

    @Test func anIdleConnectionIsClosedWithoutAWord() async throws {
        let (text, closed) = try await Server(AdminHandlerSettings(idleMilliseconds: 50)).talk { wire in
            wire.send(Self.get)
            return wire.receiveAll()
        }
        #expect(text.count(of: "HTTP/1.1") == 1 && closed)
    }

    @Test func HEADIsAnsweredWithoutABody() async throws {
        let (text, _) = try await Server().talk { wire in
            wire.send("HEAD /v1/status HTTP/1.0\r\n\r\n")
            return wire.receiveAll()
        }
        #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n") && text.hasSuffix("\r\n\r\n"))
        #expect(!text.contains("Content-Length: 0\r\n"))
    }

    @Test func aBodyIsAskedForWhenTheClientWaits() async throws {
        let (first, second) = try await Server().talk { wire in
            wire.send(
                "POST /v1/queues/orders/move HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                    + "Content-Length: 14\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
            let first = wire.receive { $0.hasSuffix("\r\n\r\n") }.text
            wire.send(#"{"to": "mail"}"#)
            return (first, wire.receiveAll().text)
        }
        #expect(first == "HTTP/1.1 100 Continue\r\n\r\n")
        #expect(second.contains("\"moved\":1000"))
    }

    @Test(arguments: [
        ("Host: localhost", "200"), ("Host: 127.0.0.1:9", "200"), ("Host: rebound.example", "403"),
        ("Host: localhost\r\nOrigin: http://localhost", "403"),
    ])
    func overTCPAWebPageIsRefused(head: String, status: String) async throws {
        let (text, _) = try await Server().talk(overTCP: true) { wire in
            wire.send("GET /v1/health HTTP/1.1\r\n\(head)\r\nConnection: close\r\n\r\n")
            return wire.receiveAll()
        }
        #expect(text.hasPrefix("HTTP/1.1 \(status) "))
    }

    @Test func whatChangesSomethingIsToldForTheLog() async throws {
        let server = try Server()
        _ = try await server.talk { wire in
            wire.send(Self.get + "POST /v1/queues/orders/purge HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return wire.receiveAll()
        }
        #expect(
            server.seen == [
                AdminEvent(peer: "unix", method: "POST", target: "/v1/queues/orders/purge", status: 200)
            ])
    }
}
