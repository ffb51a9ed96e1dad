import Base
import Glibc

/// Tells the service manager how we are: sd_notify(3), written by hand over its datagram socket.
///
/// Without a service manager everything here does nothing. A message that cannot be sent is given
/// up: a broker does not stop because its manager does not listen.
public struct Notify: Sendable {
    private let path: String?
    /// How often `watchdog` must be called, in milliseconds: half of what the manager waits. nil if
    /// it does not wait.
    public let watchdogMilliseconds: Int?

    /// Takes what the manager left in the environment.
    public init() {
        var environment: [String: String] = [:]
        for name in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"] { environment[name] = environmentValue(name) }
        self.init(environment: environment, process: getpid())
    }

    init(environment: [String: String], process: Int32) {
        let path = environment["NOTIFY_SOCKET"]
        self.path = path.flatMap { $0.hasPrefix("/") || $0.hasPrefix("@") ? $0 : nil }
        let isForUs = environment["WATCHDOG_PID"].map { Int32($0) == process } ?? true
        let microseconds = environment["WATCHDOG_USEC"].flatMap { Int($0) } ?? 0
        watchdogMilliseconds = isForUs && microseconds > 0 ? max(1, microseconds / 2000) : nil
    }

    /// Clients can connect, everything that was stored is there.
    @discardableResult
    public func ready(_ status: String) -> Bool { send("READY=1\nSTATUS=\(oneLine(status))\n") }

    /// The configuration is being read again. `ready` must follow.
    @discardableResult
    public func reloading() -> Bool {
        send("RELOADING=1\nMONOTONIC_USEC=\(Instant.now.nanoseconds / 1000)\n")
    }

    @discardableResult
    public func stopping(_ status: String) -> Bool { send("STOPPING=1\nSTATUS=\(oneLine(status))\n") }

    /// Still alive. Call it only from where work is seen to go on.
    @discardableResult
    public func watchdog() -> Bool { send("WATCHDOG=1\n") }

    /// A line for `systemctl status`.
    @discardableResult
    public func status(_ text: String) -> Bool { send("STATUS=\(oneLine(text))\n") }

    private func oneLine(_ text: String) -> String { Escaping.safe(text, limit: 200) }

    /// One datagram, never waiting. False if there is no manager or it did not take it.
    private func send(_ message: String) -> Bool {
        guard let path, var address = UnixAddress(path) else { return false }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        let bytes = Array(message.utf8)
        return address.withPointer { pointer, length in
            sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT), pointer, length)
        } == bytes.count
    }
}

/// The address of a Unix socket; a name with `@` in front lives in the abstract namespace
/// (unix(7)) and is written with a zero in its place.
struct UnixAddress {
    private var address = sockaddr_un()
    private let length: socklen_t

    /// nil if `path` does not fit.
    init?(_ path: String) {
        var name = Array(path.utf8)
        if name.first == UInt8(ascii: "@") { name[0] = 0 }
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard !name.isEmpty, name.count < room else { return nil }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        // An abstract name has no end mark: its length is part of the address.
        length = socklen_t(MemoryLayout<sa_family_t>.size + name.count + (name[0] == 0 ? 0 : 1))
    }

    mutating func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        let length = length
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}
