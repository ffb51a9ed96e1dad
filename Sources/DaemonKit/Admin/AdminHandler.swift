import Base
import Net

/// What an operator changed, or tried to: one line for the log.
public struct AdminEvent: Equatable, Sendable {
    public var peer: String
    public var method: String
    /// As it came, percent-encoded.
    public var target: String
    public var status: Int
}

/// How the admin interface treats a connection.
public struct AdminHandlerSettings: Sendable {
    public var limits: HTTPLimits
    /// From the first byte of a request to its last; and from connecting to the first byte.
    public var requestMilliseconds: UInt64
    /// How long a connection may be silent between two requests.
    public var idleMilliseconds: UInt64

    public init(
        limits: HTTPLimits = HTTPLimits(), requestMilliseconds: UInt64 = 10_000, idleMilliseconds: UInt64 = 60_000
    ) {
        self.limits = limits
        self.requestMilliseconds = requestMilliseconds
        self.idleMilliseconds = idleMilliseconds
    }
}

/// One connection to the admin interface: requests in, answers out, one after the other.
///
///     waiting --first byte--> reading --whole request--> answering --answered--> waiting
///        |                       |                                       |
///        | idle                  | too slow: 408; no request: 4xx        | Connection: close
///        `-----------------------+---------------------------------------`--> finished
///
/// While the backend works the connection is not read: what is pipelined behind a request waits in
/// the kernel, and a connection never has more than one call of the backend running.
public final class AdminHandler: @unchecked Sendable {  // Sendable: touched on its loop only, tasks just carry it there
    private enum State { case waiting, reading, answering }

    private let router: AdminRouter
    private let door: AdminRouter.Door
    private let settings: AdminHandlerSettings
    private let audit: @Sendable (AdminEvent) -> Void
    private var parser: HTTPRequestParser
    private var state = State.waiting
    private var sawEnd = false

    /// Give it to `Listener` as the handler of `connection`. `audit` is called on the connection's loop
    /// for every request that is neither GET nor HEAD, and for every one that is refused.
    public init(
        on connection: Connection, backend: any AdminBackend, settings: AdminHandlerSettings = AdminHandlerSettings(),
        audit: @escaping @Sendable (AdminEvent) -> Void
    ) {
        router = AdminRouter(backend: backend)
        door = connection.peer == .unix ? .unixSocket : .tcp
        self.settings = settings
        self.audit = audit
        parser = HTTPRequestParser(limits: settings.limits)
        connection.deadline = connection.loop.now.adding(milliseconds: settings.requestMilliseconds)
    }

    private func begin(_ request: HTTPRequest, on connection: Connection) {
        state = .answering
        connection.deadline = nil
        connection.pauseReading()
        let id = connection.id
        let loop = connection.loop
        Task { [router, door] in
            let response = await router.answer(request, through: door)
            loop.submit { loop in
                guard let connection = loop.connection(id), connection.isOpen else { return }
                self.finish(request, with: response, on: connection)
            }
        }
    }

    private func finish(_ request: HTTPRequest, with response: HTTPResponse, on connection: Connection) {
        let isReading = request.method == "GET" || request.method == "HEAD"
        if !isReading || response.status == 403 {
            audit(
                AdminEvent(
                    peer: connection.peer.description, method: request.method, target: request.target,
                    status: response.status))
        }
        let keepsAlive = request.keepsAlive && !sawEnd
        send(response, keepsAlive: keepsAlive, bodyFollows: request.method != "HEAD", on: connection)
        guard keepsAlive else {
            connection.finish(.finished("answered"))
            return
        }
        state = .waiting
        connection.deadline = connection.loop.now.adding(milliseconds: settings.idleMilliseconds)
        connection.resumeReading()
    }

    private func send(_ response: HTTPResponse, keepsAlive: Bool, bodyFollows: Bool = true, on connection: Connection) {
        let date = httpDate(unixSeconds: wallClockMilliseconds() / 1000)
        connection.outbox.withTail(room: response.body.count + 512) { out in
            response.encode(keepsAlive: keepsAlive, date: date, bodyFollows: bodyFollows, into: &out)
        }
        connection.markDirty()
    }

    /// After what was no request the place of the next one is unknown.
    private func refuse(_ error: HTTPError, on connection: Connection) {
        send(AdminRouter.failure(error), keepsAlive: false, on: connection)
        connection.finish(.finished("bad-request"))
    }
}

extension AdminHandler: ConnectionHandler {
    public func received(_ bytes: UnsafeMutableBufferPointer<UInt8>, on connection: Connection) -> Int {
        guard state != .answering, !bytes.isEmpty else { return 0 }
        if state == .waiting {
            state = .reading
            connection.deadline = connection.loop.now.adding(milliseconds: settings.requestMilliseconds)
        }
        do throws(HTTPError) {
            switch try parser.next(in: UnsafeBufferPointer(bytes).span) {
            case .incomplete:
                break
            case .expectsContinue:
                connection.outbox.withTail { $0.append("HTTP/1.1 100 Continue\r\n\r\n") }
                connection.markDirty()
            case .request(let request):
                begin(request, on: connection)
            }
            return parser.consumed
        } catch {
            refuse(error, on: connection)
            return bytes.count
        }
    }

    public func receivedEnd(on connection: Connection) {
        sawEnd = true
        if state != .answering { connection.finish(.peerClosed) }
    }

    public func outboxDrained(on connection: Connection) {}

    public func deadlineReached(on connection: Connection, now: Instant) {
        if state == .reading {
            let seconds = settings.requestMilliseconds / 1000
            let error = AdminError(.invalid, "A request must have arrived within \(seconds) seconds of its first byte")
            send(AdminRouter.failure(error, status: 408), keepsAlive: false, on: connection)
        }
        connection.finish(.timedOut("request"))
    }

    public func ended(on connection: Connection, reason: EndReason) {}
}
