import Glibc

/// A bound socket that listens; connections wait in the kernel until they are accepted.
struct ListeningSocket {
    let descriptor: Int32
    let bound: SocketAddress
    /// Which file a Unix socket made: removed at the end only if it is still the same.
    private let file: FileIdentity?

    private struct FileIdentity: Equatable {
        let device: UInt64
        let inode: UInt64

        init?(path: String) {
            var status = stat()
            guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return nil }
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
        }
    }

    init(_ raw: RawAddress, of address: SocketAddress, backlog: Int32) throws(NetError) {
        func failure(_ call: String) -> NetError {
            errno == EADDRINUSE
                ? .addressInUse(address.description)
                : .system(call: call, address: address.description, errno: errno)
        }
        let descriptor: Int32
        switch makeSocket(raw.family) {
        case .success(let made): descriptor = made
        case .failure(let error):
            throw .system(call: "socket", address: address.description, errno: error.number)
        }
        do throws(NetError) {
            try Self.prepare(descriptor, raw, address)
            guard raw.withPointer({ bind(descriptor, $0, $1) }) == 0 else { throw failure("bind") }
            guard listen(descriptor, backlog) == 0 else { throw failure("listen") }
            guard let local = RawAddress.local(of: descriptor) else { throw failure("getsockname") }
            bound = Self.bound(local, address)
        } catch {
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        if case .unix(let path) = address.place { file = FileIdentity(path: path) } else { file = nil }
    }

    private static func prepare(_ descriptor: Int32, _ raw: RawAddress, _ address: SocketAddress) throws(NetError) {
        if case .unix(let path) = address.place {
            try removeStale(path, raw)
            // Linux gives the file the mode of the socket (and the umask), so it never is more open.
            guard fchmod(descriptor, 0o600) == 0 else {
                throw .system(call: "fchmod", address: address.description, errno: errno)
            }
            return
        }
        setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
        if raw.family == AF_INET6 { setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        setConnectionOptions(descriptor)
    }

    /// A socket file stays behind when its process is killed. It is removed only if nobody answers on it.
    private static func removeStale(_ path: String, _ raw: RawAddress) throws(NetError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw .notASocket(path: path) }
        guard case .success(let probe) = makeSocket(AF_UNIX) else {
            throw .system(call: "socket", address: "unix:\(path)", errno: errno)
        }
        defer { close(probe) }
        let result = raw.withPointer { connect(probe, $0, $1) }
        // EAGAIN: somebody listens and has a full backlog.
        guard result != 0, errno == ECONNREFUSED else { throw .addressInUse("unix:\(path)") }
        guard unlink(path) == 0 || errno == ENOENT else {
            throw .system(call: "unlink", address: "unix:\(path)", errno: errno)
        }
    }

    private static func bound(_ local: RawAddress, _ address: SocketAddress) -> SocketAddress {
        let peer = PeerAddress(local)
        switch peer {
        case .unix: return address
        case .ipv4(_, let port): return SocketAddress(.ipv4(peer.host, port: port))
        case .ipv6(_, _, let port): return SocketAddress(.ipv6(peer.host, port: port))
        }
    }

    /// Removes the file of a Unix socket. The descriptor is closed by whoever used it.
    func removeFile() {
        guard case .unix(let path) = bound.place, let file, FileIdentity(path: path) == file else { return }
        unlink(path)
    }
}
