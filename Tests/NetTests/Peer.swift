import Glibc
import Net

/// The other side of a connection under test: a plain blocking socket, where nothing waits longer
/// than 20 seconds.
final class Peer: @unchecked Sendable {  // Sendable: the kernel serialises; tests use one thread for each direction
    let descriptor: Int32
    private var isClosed = false

    struct Failure: Error, CustomStringConvertible {
        let call: String
        let number = errno
        var description: String { "\(call): \(describe(errno: number))" }
    }

    init(_ address: SocketAddress) throws {
        switch address.place {
        case .unix(let path):
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var name = sockaddr_un()
            name.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8) }
            try connect(&name)
        case .ipv6(let host, let port):
            descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = port.bigEndian
            inet_pton(AF_INET6, host, &name.sin6_addr)
            try connect(&name)
        case .ipv4(_, let port), .any(let port), .name(_, let port):
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.bigEndian
            inet_pton(AF_INET, "127.0.0.1", &name.sin_addr)
            try connect(&name)
        }
    }

    deinit { close() }

    private func connect<Name>(_ name: inout Name) throws {
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let result = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<Name>.size))
            }
        }
        guard result == 0 else { throw Failure(call: "connect") }
    }

    /// Before data flows: a small receive buffer makes the other side feel back-pressure soon.
    func limitReceiveBuffer(_ bytes: Int32) {
        var bytes = bytes
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
    }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure(call: "send") }
            sent += count
        }
    }

    /// What one `recv` gives; empty at the end.
    func receiveSome(_ most: Int = 256 << 10) throws -> [UInt8] {
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: most) { room, filled in
            let count = recv(descriptor, room.baseAddress, room.count, 0)
            failed = count < 0
            filled = max(0, count)
        }
        if failed { throw Failure(call: "recv") }
        return bytes
    }

    /// Exactly so many bytes, or fewer if the other side ended.
    func receive(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            let more = try receiveSome(min(256 << 10, count - bytes.count))
            if more.isEmpty { break }
            bytes += more
        }
        return bytes
    }

    func receiveToEnd(most: Int = 256 << 10) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let more = try receiveSome(most)
            if more.isEmpty { return bytes }
            bytes += more
        }
    }

    /// True if the connection is over, in order or not. Bytes that come before are skipped.
    func isEnded() -> Bool {
        while true {
            do {
                if try receiveSome().isEmpty { return true }
            } catch let failure as Failure {
                return failure.number == ECONNRESET
            } catch {
                return false
            }
        }
    }

    func endWriting() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// With `reset`, the peer is told by RST.
    func close(reset: Bool = false) {
        if isClosed { return }
        isClosed = true
        if reset {
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
        Glibc.close(descriptor)
    }
}
