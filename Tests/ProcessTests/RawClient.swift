import Glibc

/// A frame as it came over the wire.
struct RawFrame: CustomStringConvertible {
    var command: String
    var headers: [String: String]
    var body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }
    subscript(_ name: String) -> String? { headers[name] }
    var description: String { "\(command) \(headers) \(text.prefix(200))" }
}

/// A STOMP client by hand: blocking, bounded in time, and without a line of the broker's own code, so
/// that a misreading of the protocol is not made twice. Header values must need no escapes.
final class RawClient {
    private let descriptor: Int32
    private var inbox: [UInt8] = []
    private var start = 0
    /// Frames that came while another was waited for.
    private var unread: [RawFrame] = []
    private var receipts = 0
    private let patience: Duration

    init(port: UInt16, ipv6: Bool = false, patience: Duration = .seconds(10)) throws {
        self.patience = patience
        descriptor = try Self.open(port, ipv6)
    }

    deinit { close(descriptor) }

    private static func open(_ port: UInt16, _ ipv6: Bool) throws -> Int32 {
        let family = ipv6 ? AF_INET6 : AF_INET
        let descriptor = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        if descriptor < 0 { throw Problem.system("socket") }
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        let code: Int32
        if ipv6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_addr = in6addr_loopback
            code = connect(descriptor, &address)
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            code = connect(descriptor, &address)
        }
        if code == 0 { return descriptor }
        let problem = Problem.system("connecting to \(port)")
        close(descriptor)
        throw problem
    }

    private static func connect<Address>(_ descriptor: Int32, _ address: inout Address) -> Int32 {
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<Address>.size))
            }
        }
    }

    /// Bytes that the kernel keeps for us unread: little, so that a client that does not read is slow soon.
    func shrinkReceiveBuffer() {
        var bytes: Int32 = 4096
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
    }

    // MARK: Saying

    func login(version: String = "1.2", heartBeat: String = "0,0") throws {
        try send("CONNECT\naccept-version:\(version)\nhost:localhost\nheart-beat:\(heartBeat)\n\n\0")
        _ = try expect("CONNECTED")
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        let deadline = Deadline(patience)
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count > 0 {
                sent += count
            } else if errno == EAGAIN {
                if !waitFor(descriptor, Int32(POLLOUT), until: deadline) { throw Problem("the broker does not read") }
            } else {
                throw Problem.system("sending")
            }
        }
    }

    /// Writes as much as goes out at once.
    func sendSome(_ bytes: [UInt8]) -> Int {
        bytes.withUnsafeBytes {
            max(0, Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)))
        }
    }

    static func frame(_ command: String, _ headers: [(String, String)], _ body: String = "") -> String {
        command + "\n" + headers.map { "\($0):\($1)\n" }.joined()
            + (body.isEmpty ? "" : "content-length:\(body.utf8.count)\n")
            + "\n" + body + "\0"
    }

    func say(_ command: String, _ headers: [(String, String)], _ body: String = "") throws {
        try send(Self.frame(command, headers, body))
    }

    // MARK: Hearing

    enum Heard {
        case frame(RawFrame)
        case end
        case nothing
    }

    /// The next frame, the end of the connection, or nothing in time.
    func hear(within duration: Duration? = nil) throws -> Heard {
        if !unread.isEmpty { return .frame(unread.removeFirst()) }
        let deadline = Deadline(duration ?? patience)
        while true {
            if let frame = try parse() { return .frame(frame) }
            if !waitFor(descriptor, Int32(POLLIN), until: deadline) { return .nothing }
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 { inbox.append(contentsOf: buffer[..<count]) }
            if count == 0 || count < 0 && errno == ECONNRESET { return .end }
        }
    }

    func read(within duration: Duration? = nil) throws -> RawFrame {
        switch try hear(within: duration) {
        case .frame(let frame): return frame
        case .end: throw Problem("the broker closed the connection")
        case .nothing: throw Problem("nothing came in time")
        }
    }

    func expect(_ command: String, within duration: Duration? = nil) throws -> RawFrame {
        let frame = try read(within: duration)
        if frame.command != command { throw Problem("\(frame) instead of \(command)") }
        return frame
    }

    private func parse() throws -> RawFrame? {
        while start < inbox.count, inbox[start] == 0x0A { start += 1 }
        guard let blank = blankLine() else { return nil }
        let lines = inbox[start..<blank].split(separator: 0x0A).map { String(decoding: $0, as: UTF8.self) }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            if parts.count == 2, headers[parts[0]] == nil { headers[parts[0]] = parts[1] }
        }
        let body = blank + 2
        let end: Int
        if let length = headers["content-length"].flatMap({ Int($0) }) {
            end = body + length
        } else {
            end = inbox[body...].firstIndex(of: 0) ?? inbox.count
        }
        if end >= inbox.count { return nil }
        if inbox[end] != 0 { throw Problem("no NUL behind the body of \(lines.first ?? "")") }
        defer {
            start = end + 1
            if start > 1 << 18 || start == inbox.count {
                inbox.removeFirst(start)
                start = 0
            }
        }
        return RawFrame(command: lines.first ?? "", headers: headers, body: Array(inbox[body..<end]))
    }

    private func blankLine() -> Int? {
        inbox.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return nil }
            var at = start
            while at + 1 < bytes.count, let found = memchr(base + at, 0x0A, bytes.count - at - 1) {
                at = UnsafeRawPointer(found) - base
                if bytes[at + 1] == 0x0A { return at }
                at += 1
            }
            return nil
        }
    }

    // MARK: Conversations

    /// Says something with a receipt and waits for it. Frames that come before it are read later.
    func ask(_ command: String, _ headers: [(String, String)], _ body: String = "") throws {
        receipts += 1
        let name = "ask-\(receipts)"
        try say(command, headers + [("receipt", name)], body)
        let earlier = unread
        unread = []
        var before: [RawFrame] = []
        defer { unread = earlier + before }
        while true {
            let frame = try read()
            if frame.command == "RECEIPT", frame["receipt-id"] == name { return }
            if frame.command == "ERROR" { throw Problem("\(frame)") }
            before.append(frame)
        }
    }

    func publish(_ body: String, to queue: String) throws {
        try ask("SEND", [("destination", "/queue/\(queue)")], body)
    }

    func subscribe(_ queue: String, id: String = "1", ack: String = "client-individual", prefetch: Int? = nil) throws {
        let extra = prefetch.map { [("prefetch-count", "\($0)")] } ?? []
        try say("SUBSCRIBE", [("destination", "/queue/\(queue)"), ("id", id), ("ack", ack)] + extra)
    }

    func message() throws -> RawFrame { try expect("MESSAGE") }

    func acknowledge(_ message: RawFrame, confirmed: Bool = true) throws {
        let headers = [("id", message["ack"] ?? "")]
        if confirmed { try ask("ACK", headers) } else { try say("ACK", headers) }
    }
}

extension BrokerProcess {
    /// The bodies in a queue, oldest first; all of them go.
    func drain(_ queue: String) throws -> [String] {
        let client = try connect()
        try client.subscribe(queue, ack: "auto", prefetch: 100_000)
        // A message of our own says where the end is.
        let mark = "end of \(queue)"
        try client.say("SEND", [("destination", "/queue/\(queue)")], mark)
        var bodies: [String] = []
        while true {
            let body = try client.message().text
            if body == mark { break }
            bodies.append(body)
        }
        try client.ask("UNSUBSCRIBE", [("id", "1")])
        return bodies
    }
}
