import Glibc

/// Where to listen or to connect, as people write it: "127.0.0.1:61613", "[::1]:61613",
/// "localhost:61613", "*:61613" (all interfaces) or "unix:/path".
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    public enum Place: Hashable, Sendable {
        /// Every interface, IPv4 and IPv6.
        case any(port: UInt16)
        case ipv4(String, port: UInt16)
        /// Without the brackets.
        case ipv6(String, port: UInt16)
        case name(String, port: UInt16)
        case unix(path: String)
    }

    public let place: Place

    public init(_ place: Place) {
        self.place = place
    }

    /// Reads an address; the error says what is wrong with it.
    public init(parsing text: String) throws(NetError) {
        func refuse(_ why: String) -> NetError { .invalidAddress(text, why: why) }

        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            if path.isEmpty { throw refuse("the path after unix: is missing") }
            if path.utf8.contains(0) { throw refuse("a path cannot contain NUL") }
            let most = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1
            if path.utf8.count > most { throw refuse("the path of a Unix socket has at most \(most) bytes") }
            self.init(.unix(path: path))
            return
        }
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else {
            throw refuse("HOST:PORT or unix:PATH is expected")
        }
        let host = String(text[..<colon])
        guard let port = Self.port(text[text.index(after: colon)...]) else {
            throw refuse("the port must be a number from 0 to 65535")
        }
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { throw refuse("the closing bracket is missing") }
            let inner = String(host.dropFirst().dropLast())
            guard Self.isNumeric(inner, AF_INET6) else { throw refuse("\(inner) is not an IPv6 address") }
            self.init(.ipv6(inner, port: port))
        } else if host == "*" {
            self.init(.any(port: port))
        } else if host.isEmpty {
            throw refuse("the host is missing (write *:\(port) for all interfaces)")
        } else if host.utf8.contains(UInt8(ascii: ":")) {
            throw refuse("an IPv6 address is written in brackets, for example [::1]:\(port)")
        } else if host.utf8.allSatisfy({ Self.isDigit($0) || $0 == UInt8(ascii: ".") }) {
            guard Self.isNumeric(host, AF_INET) else { throw refuse("\(host) is not an IPv4 address") }
            self.init(.ipv4(host, port: port))
        } else {
            guard host.utf8.count <= 253, host.utf8.allSatisfy(Self.isNameByte) else {
                throw refuse("\(host) is not a host name")
            }
            self.init(.name(host, port: port))
        }
    }

    public var description: String {
        switch place {
        case .any(let port): "*:\(port)"
        case .ipv4(let host, let port), .name(let host, let port): "\(host):\(port)"
        case .ipv6(let host, let port): "[\(host)]:\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    /// Nil for Unix sockets.
    public var port: UInt16? {
        switch place {
        case .any(let port), .ipv4(_, let port), .ipv6(_, let port), .name(_, let port): port
        case .unix: nil
        }
    }

    /// Cannot be reached from another machine. Of the names only "localhost" counts (RFC 6761, 6.3);
    /// nothing is looked up.
    public var isLoopback: Bool {
        switch place {
        case .any: return false
        case .name(let host, _): return host.lowercased() == "localhost"
        case .unix: return true
        case .ipv4(let host, _), .ipv6(let host, _):
            guard let raw = numeric(host, port: 0) else { return false }
            return PeerAddress(raw).isLoopback
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= 48 && byte <= 57 }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        isDigit(byte) || (byte | 32 >= 97 && byte | 32 <= 122) || byte == 45 || byte == 46 || byte == 95
    }

    private static func isNumeric(_ host: String, _ family: Int32) -> Bool {
        var room = in6_addr()
        return inet_pton(family, host, &room) == 1
    }

    /// Plain decimal digits only: no sign, no blank.
    private static func port(_ text: Substring) -> UInt16? {
        guard !text.isEmpty, text.utf8.count <= 5, text.utf8.allSatisfy(isDigit) else { return nil }
        return UInt16(text)
    }
}

// MARK: Resolving

extension SocketAddress {
    /// Needs no question to a name server.
    var isNumeric: Bool {
        if case .name = place { return false }
        return true
    }

    /// Every address this one stands for, in the order the system prefers. Asks the resolver for names,
    /// which may take long: not for loops.
    func resolve() throws(NetError) -> [RawAddress] {
        switch place {
        case .any(let port):
            var v4 = sockaddr_in()
            v4.sin_family = sa_family_t(AF_INET)
            v4.sin_port = port.bigEndian
            var v6 = sockaddr_in6()
            v6.sin6_family = sa_family_t(AF_INET6)
            v6.sin6_port = port.bigEndian
            return [RawAddress(v4), RawAddress(v6)]
        case .unix(let path):
            guard let raw = RawAddress(unixPath: path) else {
                throw .invalidAddress(description, why: "the path of a Unix socket is too long")
            }
            return [raw]
        case .ipv4(let host, let port), .ipv6(let host, let port):
            guard let raw = numeric(host, port: port) else {
                throw .invalidAddress(description, why: "\(host) is not a numeric address")
            }
            return [raw]
        case .name(let host, let port):
            return try lookUp(host, port: port)
        }
    }

    func resolved() -> Result<[RawAddress], NetError> {
        do throws(NetError) { return .success(try resolve()) } catch { return .failure(error) }
    }

    private func numeric(_ host: String, port: UInt16) -> RawAddress? {
        var v4 = sockaddr_in()
        if inet_pton(AF_INET, host, &v4.sin_addr) == 1 {
            v4.sin_family = sa_family_t(AF_INET)
            v4.sin_port = port.bigEndian
            return RawAddress(v4)
        }
        var v6 = sockaddr_in6()
        guard inet_pton(AF_INET6, host, &v6.sin6_addr) == 1 else { return nil }
        v6.sin6_family = sa_family_t(AF_INET6)
        v6.sin6_port = port.bigEndian
        return RawAddress(v6)
    }

    private func lookUp(_ host: String, port: UInt16) throws(NetError) -> [RawAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        guard code == 0 else { throw .unresolvable(host, why: String(cString: gai_strerror(code))) }
        defer { freeaddrinfo(list) }
        var found: [RawAddress] = []
        var next = list
        while let entry = next {
            if let address = entry.pointee.ai_addr, [AF_INET, AF_INET6].contains(entry.pointee.ai_family) {
                var raw = RawAddress(copying: address, length: entry.pointee.ai_addrlen)
                raw.port = port
                found.append(raw)
            }
            next = entry.pointee.ai_next
        }
        if found.isEmpty { throw .unresolvable(host, why: "no IPv4 or IPv6 address") }
        return found
    }
}
