import Base
import CSystem
import Glibc

/// One logged-in connection with blocking reads and writes, owned by one thread.
final class Link {
    private let descriptor: Int32
    private var inbox = Buffer(capacity: 256 << 10)
    /// Most bytes of one write.
    static let writeBytes = 128 << 10
    /// How long a read waits before it says that nothing came.
    static let readMilliseconds = 50
    private static let answerSeconds = 60.0

    init(_ options: Options) throws {
        descriptor = try Link.connect(host: options.host, port: options.port)
        do {
            try setUp()
            try logIn(options)
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    // MARK: Frames

    /// Takes every whole frame out of what was received. ERROR is thrown.
    func takeFrames(_ body: (ServerFrame) throws -> Void) throws {
        while try takeFrame(body) {}
    }

    /// Waits for a frame of this kind and takes no more than it; others in front of it are passed over.
    func waitFor(_ kind: ServerFrame.Kind) throws {
        let until = Instant.now.adding(milliseconds: UInt64(Link.answerSeconds * 1000))
        var came = false
        while true {
            while try !came && takeFrame({ came = $0.kind == kind }) {}
            if came { return }
            guard Instant.now < until else { throw Failure("no answer from the broker within 60 s") }
            _ = try receive()
        }
    }

    /// False when no whole frame is there.
    private func takeFrame(_ body: (ServerFrame) throws -> Void) throws -> Bool {
        var bytes = UnsafeRawBufferPointer(inbox.readable)
        var eols = 0
        while eols < bytes.count, bytes[eols] == 0x0A || bytes[eols] == 0x0D { eols += 1 }
        if eols > 0 {
            inbox.consume(eols)
            bytes = UnsafeRawBufferPointer(inbox.readable)
        }
        guard let frame = ServerFrame.scan(bytes) else { return false }
        switch frame.kind {
        case .error: throw Failure("the broker said ERROR: \(Link.printable(bytes, most: min(frame.count, 400)))")
        case .unknown: throw Failure("unknown frame: \(Link.printable(bytes, most: min(frame.count, 80)))")
        default: try body(frame)
        }
        inbox.consume(frame.count)
        return true
    }

    /// One subscription for each destination, with its number as id. The last is confirmed, and it speaks for all;
    /// but not where messages may be waiting, since they may come before the RECEIPT.
    func subscribe(
        to destinations: [String], ack: String, headers: [Options.HeaderLine], isConfirmed: Bool = true
    ) throws {
        let lines = headers.map { "\(HeaderText.escape($0.name)):\(HeaderText.escape($0.value))\n" }.joined()
        var out = Buffer()
        for (id, destination) in destinations.enumerated() {
            let isLast = isConfirmed && id == destinations.count - 1
            out.append(utf8: "SUBSCRIBE\nid:\(id)\ndestination:\(HeaderText.escape(destination))\nack:\(ack)\n\(lines)")
            out.append(utf8: isLast ? "receipt:ready\n\n\0" : "\n\0")
            if out.count >= Link.writeBytes { try send(&out) }
        }
        try send(&out)
        if isConfirmed { try waitFor(.receipt) }
    }

    /// Says goodbye, so that what was sent before is known to have been processed.
    func disconnect() throws {
        try send(text: "DISCONNECT\nreceipt:bye\n\n\0")
        try waitFor(.receipt)
    }

    private func logIn(_ options: Options) throws {
        var frame = "CONNECT\naccept-version:1.2\nhost:\(options.virtualHost)\nheart-beat:0,0\n"
        if let login = options.login { frame += "login:\(login)\n" }
        if let passcode = options.passcode { frame += "passcode:\(passcode)\n" }
        try send(text: frame + "\n\0")
        try waitFor(.connected)
    }

    private static func printable(_ bytes: UnsafeRawBufferPointer, most: Int) -> String {
        String(decoding: bytes.prefix(most), as: UTF8.self).unicodeScalars.map { scalar in
            scalar == "\n" || scalar == "\0" ? " " : scalar.value < 32 ? "?" : String(scalar)
        }.joined()
    }

    // MARK: Bytes

    /// Sends all of `out` and empties it.
    func send(_ out: inout Buffer) throws {
        while !out.isEmpty {
            let sent = Glibc.send(descriptor, out.readable.baseAddress, out.count, Int32(MSG_NOSIGNAL))
            if sent > 0 {
                out.consume(sent)
            } else if errno != EINTR {
                throw errno == EAGAIN ? Failure("the broker took no byte for 60 s") : Failure.system("write")
            }
        }
    }

    /// Gives the memory of the receive buffer back until the next read.
    func rest() {
        if inbox.isEmpty { inbox.release() }
    }

    func send(text: String) throws {
        var out = Buffer()
        out.append(utf8: text)
        try send(&out)
    }

    /// One read. False: nothing came within the read time-out.
    func receive() throws -> Bool {
        inbox.reserve(64 << 10)
        let room = inbox.room
        while true {
            let count = recv(descriptor, room.baseAddress, room.count, 0)
            if count > 0 {
                inbox.written(count)
                return true
            }
            if count == 0 { throw Failure("the broker closed the connection") }
            if errno == EAGAIN { return false }
            if errno != EINTR { throw Failure.system("read") }
        }
    }

    /// Waits until bytes can be read, `nanoseconds` at most. False: none came.
    func waitReadable(nanoseconds: UInt64) -> Bool {
        csystem_wait_readable(descriptor, nanoseconds) > 0
    }

    private func setUp() throws {
        var one: Int32 = 1
        var wait = timeval(tv_sec: 0, tv_usec: Link.readMilliseconds * 1000)
        var sendWait = timeval(tv_sec: 60, tv_usec: 0)
        let length = socklen_t(MemoryLayout<timeval>.size)
        guard setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size)) == 0,
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, length) == 0,
            setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &sendWait, length) == 0
        else { throw Failure.system("setsockopt") }
    }

    private static func connect(host: String, port: UInt16) throws -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0 else { throw Failure("cannot find \(host): \(String(cString: gai_strerror(code)))") }
        defer { freeaddrinfo(list) }
        var reason = ECONNREFUSED
        var next = list
        while let entry = next?.pointee {
            let kind = entry.ai_socktype | Int32(SOCK_CLOEXEC.rawValue)
            let descriptor = socket(entry.ai_family, kind, entry.ai_protocol)
            if descriptor >= 0 {
                if Glibc.connect(descriptor, entry.ai_addr, entry.ai_addrlen) == 0 { return descriptor }
                reason = errno
                close(descriptor)
            } else {
                reason = errno
            }
            next = entry.ai_next
        }
        throw Failure.system("cannot reach \(host):\(port)", reason)
    }
}
