import Glibc

/// Where the daemon may listen.
public enum ListenRule {
    /// Why the broker must not listen on `address`, as one sentence; nil if it may.
    ///
    /// There is no login yet, so whoever reaches the port owns the queues: only addresses of this
    /// machine are allowed. When logins come, this function is the place that lets go.
    public static func mayListen(on address: ListenAddress) -> String? {
        switch address {
        case .unix: nil
        case .tcp(let host, _) where isLoopback(host): nil
        case .tcp(let host, _):
            "\(host) can be reached from other machines, and this version of the broker has no login; "
                + "listen on 127.0.0.1, [::1] or localhost, and let others in through a tunnel"
        }
    }

    static func refusal(ofClientAddress text: String) -> String? {
        switch ListenAddress.parse(text) {
        case .failure(let malformed): malformed.text
        case .success(.unix): "HOST:PORT is wanted"
        case .success(let address): mayListen(on: address)
        }
    }

    static func refusal(ofAdminAddress text: String) -> String? {
        switch ListenAddress.parse(text) {
        case .failure(let malformed): malformed.text
        case .success(let address): mayListen(on: address)
        }
    }

    /// 127.0.0.0/8, ::1, and the name that means them.
    private static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" { return true }
        var four = in_addr()
        if inet_pton(AF_INET, host, &four) == 1 { return UInt32(bigEndian: four.s_addr) >> 24 == 127 }
        var six = in6_addr()
        guard inet_pton(AF_INET6, host, &six) == 1 else { return false }
        return withUnsafeBytes(of: &six) { bytes in
            bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
        }
    }
}

/// The form of an address in the configuration: `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`.
public enum ListenAddress: Equatable, Sendable {
    /// `host` is a literal address without brackets, `localhost` or `*`; port 0 lets the system choose.
    case tcp(host: String, port: UInt16)
    case unix(path: String)

    struct Malformed: Error, Equatable {
        let text: String
    }

    /// The room that the system has for the path of a socket, without its final zero.
    static let pathLimit = 107

    static func parse(_ text: String) -> Result<ListenAddress, Malformed> {
        if text.hasPrefix("unix:") { return parse(path: String(text.dropFirst("unix:".count))) }
        guard let colon = text.lastIndex(of: ":") else { return wrong("a port is missing, as in 127.0.0.1:61613") }
        let portText = text[text.index(after: colon)...]
        guard portText.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let port = UInt16(portText)
        else { return wrong("a port is a number from 0 to 65535") }
        return parse(host: String(text[..<colon]), port: port)
    }

    private static func parse(host: String, port: UInt16) -> Result<ListenAddress, Malformed> {
        if host == "localhost" || host == "*" { return .success(.tcp(host: host, port: port)) }
        if host.hasPrefix("["), host.hasSuffix("]") {
            let inside = String(host.dropFirst().dropLast())
            var six = in6_addr()
            guard inet_pton(AF_INET6, inside, &six) == 1 else { return wrong("\(quoted(inside)) is no IPv6 address") }
            return .success(.tcp(host: inside, port: port))
        }
        if host.contains(":") { return wrong("an IPv6 address stands in brackets, as in [::1]:61613") }
        var four = in_addr()
        guard inet_pton(AF_INET, host, &four) == 1 else {
            return wrong("an address of this machine is wanted, not a name")
        }
        return .success(.tcp(host: host, port: port))
    }

    private static func parse(path: String) -> Result<ListenAddress, Malformed> {
        if path.isEmpty || path.utf8.contains(0) { return wrong("a path is wanted after unix:") }
        if path.utf8.count > pathLimit { return wrong("the path of a socket has at most \(pathLimit) bytes") }
        return .success(.unix(path: path))
    }

    private static func wrong(_ text: String) -> Result<ListenAddress, Malformed> { .failure(Malformed(text: text)) }
}
