import Base
import Net
import STOMP

/// A STOMP conversation that blocks: enough to publish and to consume from a command line.
final class StompConnection {
    /// How long connecting, and each confirmation, may take.
    static let seconds: UInt64 = 30

    let version: Version
    private let address: SocketAddress
    private let socket: BlockingSocket
    private var parser: FrameParser
    private var input: Buffer
    private var output = Buffer()

    /// Connects and waits for CONNECTED. Errors: `unreachable`, `timedOut`, `failed` with the broker's ERROR.
    init(to address: SocketAddress, host: String) throws(CtlFailure) {
        let deadline = StompConnection.deadline()
        var input = Buffer()
        var parser = FrameParser(role: .client, limits: FrameLimits(bodyBytes: 64 << 20))
        do throws(BlockingSocket.Failure) {
            socket = try BlockingSocket(to: address, until: deadline)
            let connect = Frame(.connect, ["accept-version": "1.0,1.1,1.2", "host": host, "heart-beat": "0,0"])
            var out = Buffer()
            connect.encode(version: .v10, into: &out)
            try socket.send(UnsafeBufferPointer(out.readable), until: deadline)
        } catch {
            throw StompConnection.explained(error, address)
        }
        let answer = try StompConnection.next(&parser, &input, socket, address, .v10, until: deadline)
        guard answer.command == .connected else { throw StompConnection.refusal(answer) }
        switch answer["version"] {
        case "1.2": version = .v12
        case "1.1": version = .v11
        case "1.0", nil: version = .v10
        case let other?: throw CtlFailure(.failed, "The broker chose STOMP \(other), which brokerctl does not speak")
        }
        parser.version = version
        self.address = address
        self.parser = parser
        self.input = input
    }

    static func deadline() -> Instant { Instant.now.adding(milliseconds: seconds * 1000) }

    /// Keeps the frame until `flush`, or until nothing is left to be read, or sends it when many bytes have gathered.
    func send(_ frame: Frame) throws(CtlFailure) {
        frame.encode(version: version, into: &output)
        if output.count >= 256 << 10 { try flush() }
    }

    func flush() throws(CtlFailure) {
        guard !output.isEmpty else { return }
        do throws(BlockingSocket.Failure) {
            try socket.send(UnsafeBufferPointer(output.readable), until: StompConnection.deadline())
            output.clear()
        } catch {
            output.clear()
            // An ERROR that came before the broker closed says more than "broken pipe".
            if case .broken = error, let refusal = lastRefusal() { throw refusal }
            throw StompConnection.explained(error, address)
        }
    }

    /// The ERROR that is still to be read, if there is one.
    private func lastRefusal() -> CtlFailure? {
        do throws(CtlFailure) {
            while true { _ = try receive(until: StompConnection.deadline()) }
        } catch {
            return error.kind == .failed ? error : nil
        }
    }

    /// The next frame but an ERROR, which is thrown as `failed`. What was kept is sent before this waits for one. Errors:
    /// `timedOut`, `unreachable`.
    func receive(until deadline: Instant) throws(CtlFailure) -> Frame {
        let frame: Frame
        if let kept = try StompConnection.kept(&parser, &input, version, address) {
            frame = kept
        } else {
            try flush()
            frame = try StompConnection.next(&parser, &input, socket, address, version, until: deadline)
        }
        guard frame.command != .error else { throw StompConnection.refusal(frame) }
        return frame
    }

    enum Event {
        case frame(Frame)
        /// Something can be read from the other descriptor.
        case bell
        /// Nothing happened in time.
        case time
    }

    /// What happens first: a frame (only if it `reads`), or something to be read from `bell`; a negative one is none.
    /// What was kept is sent before this waits. An ERROR is thrown as `failed`.
    func next(orWhen bell: Int32, reads: Bool, until deadline: Instant) throws(CtlFailure) -> Event {
        while true {
            if reads, let frame = try StompConnection.kept(&parser, &input, version, address) {
                guard frame.command != .error else { throw StompConnection.refusal(frame) }
                return .frame(frame)
            }
            try flush()
            do throws(BlockingSocket.Failure) {
                let found = try socket.wait(or: bell, readsHere: reads, until: deadline)
                if found.other { return .bell }
                if !found.here { return .time }
                if try socket.receive(into: &input, until: deadline) { continue }
            } catch {
                throw StompConnection.explained(error, address)
            }
            throw StompConnection.closed(address)
        }
    }

    /// ACK or NACK of a message. Each version names it in its own way.
    func settle(_ command: Command, _ message: Frame, transaction: String? = nil) throws(CtlFailure) {
        let id = message["message-id"] ?? ""
        var frame = Frame(command)
        switch version {
        case .v12: frame.headers = [.init("id", message["ack"] ?? id)]
        case .v11: frame.headers = [.init("message-id", id), .init("subscription", message["subscription"] ?? "1")]
        case .v10:
            if command == .nack { throw CtlFailure(.failed, "STOMP 1.0, which the broker chose, has no NACK") }
            frame.headers = [.init("message-id", id)]
        }
        if let transaction { frame.headers.append(.init("transaction", transaction)) }
        try send(frame)
    }

    /// Says goodbye. With `waiting`, returns when the broker has done everything before it. Messages that
    /// come meanwhile are dropped; the broker puts them back.
    func disconnect(waiting: Bool) throws(CtlFailure) {
        try send(Frame(.disconnect, waiting ? ["receipt": "disconnect"] : [:]))
        try flush()
        if !waiting { socket.shutDownWriting() }
        let deadline = StompConnection.deadline()
        while true {
            do throws(CtlFailure) {
                let frame = try receive(until: deadline)
                if frame.command == .receipt, frame["receipt-id"] == "disconnect" { return }
            } catch {
                // Without a receipt the end of the connection is the answer.
                if !waiting, error.kind == .unreachable { return }
                throw error
            }
        }
    }

    // MARK: Reading

    private static func next(
        _ parser: inout FrameParser, _ input: inout Buffer, _ socket: BlockingSocket, _ address: SocketAddress,
        _ version: Version, until deadline: Instant
    ) throws(CtlFailure) -> Frame {
        while true {
            if let frame = try kept(&parser, &input, version, address) { return frame }
            do throws(BlockingSocket.Failure) {
                if try socket.receive(into: &input, until: deadline) { continue }
            } catch {
                throw explained(error, address)
            }
            throw closed(address)
        }
    }

    private static func closed(_ address: SocketAddress) -> CtlFailure {
        CtlFailure(.unreachable, "The broker at \(address) closed the connection")
    }

    private static func kept(
        _ parser: inout FrameParser, _ input: inout Buffer, _ version: Version, _ address: SocketAddress
    ) throws(CtlFailure) -> Frame? {
        do throws(FrameError) {
            return try kept(&parser, &input, version)
        } catch {
            throw CtlFailure(.failed, "\(address) does not answer in STOMP: \(error.detail)")
        }
    }

    /// The next frame of what has been received; heart-beats before it are passed over.
    private static func kept(
        _ parser: inout FrameParser, _ input: inout Buffer, _ version: Version
    ) throws(FrameError) -> Frame? {
        while !input.isEmpty {
            let bytes = UnsafeBufferPointer(input.readable)
            let step = try parser.next(in: bytes)
            let frame = step == .frame ? try Frame.decode(layout: parser.layout, bytes: bytes, version: version) : nil
            input.consume(parser.consumed)
            if step != .heartBeat { return frame }
        }
        return nil
    }

    private static func refusal(_ error: Frame) -> CtlFailure {
        guard error.command == .error else {
            return CtlFailure(.failed, "The broker answered \(error.command.text) where CONNECTED was expected")
        }
        let detail = error.text.trimmed
        let message = error["message"] ?? "no reason given"
        return CtlFailure(.failed, "The broker refused: \(message)" + (detail.isEmpty ? "" : " (\(detail))"))
    }

    private static func explained(_ failure: BlockingSocket.Failure, _ address: SocketAddress) -> CtlFailure {
        switch failure {
        case .cannotConnect(let why):
            CtlFailure(
                .unreachable, "No broker answers at \(address): \(why); start brokerd, or say where it is with --stomp")
        case .broken(let why): CtlFailure(.unreachable, "The connection to \(address) broke: \(why)")
        case .timedOut: CtlFailure(.timedOut, "\(address) did not answer in time")
        }
    }
}

extension String {
    /// Without white space at both ends.
    var trimmed: String {
        let front = drop { $0.isWhitespace }
        guard let last = front.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(front[...last])
    }
}
