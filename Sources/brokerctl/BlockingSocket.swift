import Base
import Glibc
import Net

extension SocketAddress {
    /// Errors: `usage`, saying what is wrong with it.
    static func parsed(_ text: String) throws(CtlFailure) -> SocketAddress {
        do throws(NetError) { return try SocketAddress(parsing: text) } catch { throw CtlFailure(.usage, "\(error)") }
    }
}

/// A connected socket that blocks, up to a point in time. All that a command line tool needs.
final class BlockingSocket {
    enum Failure: Error {
        /// A phrase: why.
        case cannotConnect(String)
        case broken(String)
        case timedOut
    }

    private let descriptor: Int32

    /// Tries every address that `address` stands for. Errors: `cannotConnect`, `timedOut`.
    init(to address: SocketAddress, until deadline: Instant) throws(Failure) {
        var failure = Failure.cannotConnect("it has no address")
        for target in try BlockingSocket.targets(of: address) {
            do throws(Failure) {
                descriptor = try BlockingSocket.connect(to: target, until: deadline)
                return
            } catch {
                failure = error
            }
        }
        throw failure
    }

    deinit { close(descriptor) }

    /// All of it, or an error.
    func send(_ bytes: UnsafeBufferPointer<UInt8>, until deadline: Instant) throws(Failure) {
        var rest = UnsafeRawBufferPointer(bytes)
        while !rest.isEmpty {
            let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
            let count = Glibc.send(descriptor, rest.baseAddress, rest.count, flags)
            if count > 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
            } else if errno == EAGAIN {
                try BlockingSocket.wait(for: descriptor, POLLOUT, until: deadline)
            } else if errno != EINTR {
                throw .broken(systemError(errno))
            }
        }
    }

    /// Whatever has come, at the end of `buffer`; waits for the first byte. False when the other end has
    /// closed. Errors: `timedOut`, `broken`.
    func receive(into buffer: inout Buffer, until deadline: Instant) throws(Failure) -> Bool {
        while true {
            buffer.reserve(64 << 10)
            let room = buffer.room
            let count = recv(descriptor, room.baseAddress, room.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                buffer.written(count)
                return true
            }
            if count == 0 { return false }
            if errno == EAGAIN {
                try BlockingSocket.wait(for: descriptor, POLLIN, until: deadline)
            } else if errno != EINTR {
                throw .broken(systemError(errno))
            }
        }
    }

    /// Waits until something can be read here, or from `other`; both may be so, and neither when the time is over.
    func wait(or other: Int32, readsHere: Bool, until deadline: Instant) throws(Failure) -> (here: Bool, other: Bool) {
        while true {
            // A negative number is passed over.
            var entries = [
                pollfd(fd: readsHere ? descriptor : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: other, events: Int16(POLLIN), revents: 0),
            ]
            let result = poll(&entries, 2, Int32(clamping: deadline.milliseconds(since: .now)))
            if result > 0 { return (entries[0].revents != 0, entries[1].revents != 0) }
            if result == 0, Instant.now >= deadline { return (false, false) }
            if result < 0, errno != EINTR { throw .broken(systemError(errno)) }
        }
    }

    /// Says that nothing more will be sent.
    func shutDownWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

    private static func wait(for descriptor: Int32, _ events: Int32, until deadline: Instant) throws(Failure) {
        while true {
            let left = deadline.milliseconds(since: .now)
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let result = poll(&entry, 1, Int32(clamping: left))
            if result > 0 { return }
            if result == 0, Instant.now >= deadline { throw .timedOut }
            if result < 0, errno != EINTR { throw .broken(systemError(errno)) }
        }
    }

    // MARK: Connecting

    private struct Target {
        var family: Int32
        var bytes: [UInt8]
    }

    private static func targets(of address: SocketAddress) throws(Failure) -> [Target] {
        switch address.place {
        case .unix(let path):
            var name = sockaddr_un()
            name.sun_family = sa_family_t(AF_UNIX)
            // The parser of the address has checked that it fits.
            withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
            return [Target(family: AF_UNIX, bytes: withUnsafeBytes(of: name) { [UInt8]($0) })]
        case .any(let port): return try lookUp("localhost", port)
        case .ipv4(let host, let port), .ipv6(let host, let port), .name(let host, let port):
            return try lookUp(host, port)
        }
    }

    private static func lookUp(_ host: String, _ port: UInt16) throws(Failure) -> [Target] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0 else { throw .cannotConnect(String(cString: gai_strerror(code)).lowercased()) }
        defer { freeaddrinfo(list) }
        var targets: [Target] = []
        var next = list
        while let entry = next?.pointee {
            if let address = entry.ai_addr {
                let bytes = UnsafeRawBufferPointer(start: address, count: Int(entry.ai_addrlen))
                targets.append(Target(family: entry.ai_family, bytes: [UInt8](bytes)))
            }
            next = entry.ai_next
        }
        return targets
    }

    private static func connect(to target: Target, until deadline: Instant) throws(Failure) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(target.family, kind, 0)
        guard descriptor >= 0 else { throw .cannotConnect(systemError(errno)) }
        do throws(Failure) {
            let result = target.bytes.withUnsafeBytes { bytes in
                Glibc.connect(
                    descriptor, bytes.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t(bytes.count))
            }
            if result != 0 {
                guard errno == EINPROGRESS else { throw .cannotConnect(systemError(errno)) }
                try wait(for: descriptor, POLLOUT, until: deadline)
                var error: Int32 = 0
                var length = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length)
                guard error == 0 else { throw .cannotConnect(systemError(error)) }
            }
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }
}
