import CSystem
import Glibc

/// The socket that takes connections, on this machine only.
struct FloorListener {
    let descriptor: Int32

    init(port: UInt16) throws(Failure) {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        descriptor = socket(AF_INET, kind, 0)
        guard descriptor >= 0 else { throw Failure.system("socket") }
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        let length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) == 0 && listen(descriptor, SOMAXCONN) == 0
            }
        }
        guard isListening else { throw Failure.system("cannot listen on 127.0.0.1:\(port)") }
    }

    /// Nil when nobody waits, or there is no open file left.
    func accept() -> Int32? {
        let accepted = csystem_accept(descriptor, nil, nil)
        guard accepted >= 0 else { return nil }
        var one: Int32 = 1
        setsockopt(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        return accepted
    }
}
