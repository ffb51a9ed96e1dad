import Glibc

/// The other end of a connection.
public enum PeerAddress: Hashable, Sendable, CustomStringConvertible {
    /// Address in host byte order: 127.0.0.1 is 0x7F00_0001.
    case ipv4(UInt32, port: UInt16)
    /// The address as two numbers in host byte order, the first eight bytes in `high`.
    case ipv6(high: UInt64, low: UInt64, port: UInt16)
    case unix

    init(_ raw: RawAddress) {
        if let v4 = raw.v4 {
            self = .ipv4(UInt32(bigEndian: v4.sin_addr.s_addr), port: UInt16(bigEndian: v4.sin_port))
        } else if let v6 = raw.v6 {
            let (high, low) = withUnsafeBytes(of: v6.sin6_addr) { bytes in
                (bytes.load(as: UInt64.self), bytes.load(fromByteOffset: 8, as: UInt64.self))
            }
            self = .ipv6(
                high: UInt64(bigEndian: high), low: UInt64(bigEndian: low), port: UInt16(bigEndian: v6.sin6_port))
        } else {
            self = .unix
        }
    }

    /// "127.0.0.1:40112", "[::1]:9" or "unix".
    public var description: String {
        switch self {
        case .ipv4(_, let port): "\(host):\(port)"
        case .ipv6(_, _, let port): "[\(host)]:\(port)"
        case .unix: "unix"
        }
    }

    /// The address without the port: "127.0.0.1", "::1" or "unix".
    public var host: String {
        switch self {
        case .ipv4(let address, _):
            var bytes = in_addr(s_addr: address.bigEndian)
            return text(AF_INET, &bytes)
        case .ipv6(let high, let low, _):
            var bytes = (high.bigEndian, low.bigEndian)
            return text(AF_INET6, &bytes)
        case .unix:
            return "unix"
        }
    }

    /// On this machine.
    public var isLoopback: Bool {
        switch self {
        case .ipv4(let address, _): address >> 24 == 127
        case .ipv6(let high, let low, _): high == 0 && (low == 1 || low >> 24 == 0xFFFF_7F)
        case .unix: true
        }
    }

    /// What counts as one client address for limits: an IPv4 address, or the first 64 bits of an IPv6
    /// one, since whoever has one usually has all of them. Nil for Unix sockets, which are not limited.
    public var limitKey: UInt64? {
        switch self {
        case .ipv4(let address, _): UInt64(address)
        // No global address begins with 32 zero bits, so the two kinds do not meet; ::1 has its own key.
        case .ipv6(let high, let low, _): high == 0 ? low | 1 << 63 : high
        case .unix: nil
        }
    }

    private func text(_ family: Int32, _ bytes: UnsafeRawPointer) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { room in
            guard let base = room.baseAddress, inet_ntop(family, bytes, base, socklen_t(room.count)) != nil else {
                return "?"
            }
            return String(cString: base)
        }
    }
}
