import Glibc

/// A socket address as the kernel wants it.
struct RawAddress {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)

    var family: Int32 { Int32(storage.ss_family) }

    init() {}

    init(copying source: UnsafePointer<sockaddr>, length: socklen_t) {
        self.length = min(length, socklen_t(MemoryLayout<sockaddr_storage>.size))
        withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: .init(start: source, count: Int(self.length))) }
    }

    /// The address of a Unix socket; nil if the path does not fit.
    init?(unixPath path: String) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { room in
            guard !bytes.isEmpty, bytes.count < room.count else { return false }
            room.copyBytes(from: bytes)
            return true
        }
        guard fits else { return nil }
        self.init()
        withUnsafeMutableBytes(of: &storage) { room in
            withUnsafeBytes(of: &address) { room.copyMemory(from: $0) }
        }
        length = socklen_t(MemoryLayout<sockaddr_un>.size)
    }

    init(_ address: sockaddr_in) {
        var address = address
        withUnsafeMutableBytes(of: &storage) { room in withUnsafeBytes(of: &address) { room.copyMemory(from: $0) } }
        length = socklen_t(MemoryLayout<sockaddr_in>.size)
    }

    init(_ address: sockaddr_in6) {
        var address = address
        withUnsafeMutableBytes(of: &storage) { room in withUnsafeBytes(of: &address) { room.copyMemory(from: $0) } }
        length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    }

    var v4: sockaddr_in? {
        guard family == AF_INET else { return nil }
        return withUnsafeBytes(of: storage) { $0.load(as: sockaddr_in.self) }
    }

    var v6: sockaddr_in6? {
        guard family == AF_INET6 else { return nil }
        return withUnsafeBytes(of: storage) { $0.load(as: sockaddr_in6.self) }
    }

    var port: UInt16? {
        get {
            if let v4 { return UInt16(bigEndian: v4.sin_port) }
            if let v6 { return UInt16(bigEndian: v6.sin6_port) }
            return nil
        }
        set {
            guard let newValue else { return }
            if var v4 {
                v4.sin_port = newValue.bigEndian
                self = RawAddress(v4)
            } else if var v6 {
                v6.sin6_port = newValue.bigEndian
                self = RawAddress(v6)
            }
        }
    }

    func withPointer<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        withUnsafePointer(to: storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    mutating func withMutablePointer<R>(_ body: (UnsafeMutablePointer<sockaddr>, inout socklen_t) -> R) -> R {
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        defer { self.length = length }
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &length) }
        }
    }

    /// Where the socket itself is bound.
    static func local(of descriptor: Int32) -> RawAddress? {
        var address = RawAddress()
        return address.withMutablePointer { getsockname(descriptor, $0, &$1) } == 0 ? address : nil
    }

    /// Whom the socket is connected to.
    static func remote(of descriptor: Int32) -> RawAddress? {
        var address = RawAddress()
        return address.withMutablePointer { getpeername(descriptor, $0, &$1) } == 0 ? address : nil
    }
}
