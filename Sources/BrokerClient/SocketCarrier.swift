import Base
import Net
import Synchronization

/// Carries over sockets, on one of the loops that all clients of the process share.
final class SocketCarrier: Carrier {
    private let loop: IOLoop
    private let addresses: [SocketAddress]

    init(_ addresses: [String]) throws(ClientError) {
        var parsed: [SocketAddress] = []
        for address in addresses {
            do throws(NetError) {
                parsed.append(try SocketAddress(parsing: address))
            } catch {
                throw ClientError(error, address: address)
            }
        }
        guard !parsed.isEmpty else { throw .invalidAddress("", reason: "no address is given") }
        self.addresses = parsed
        do throws(NetError) { loop = try ClientLoops.next() } catch { throw ClientError(error, address: addresses[0]) }
    }

    var now: Instant { Instant.now }
    var wallMilliseconds: UInt64 { wallClockMilliseconds() }

    func submit(_ work: @escaping @Sendable () -> Void) { loop.submit { _ in work() } }

    func after(milliseconds: UInt64, _ work: @escaping () -> Void) { loop.after(milliseconds: milliseconds, work) }

    func sleep(until time: Instant) async throws(CancellationError) {
        while true {
            let now = Instant.now
            if Task.isCancelled { throw CancellationError() }
            if time <= now { return }
            let nanoseconds = Int64(clamping: time.nanoseconds - now.nanoseconds)
            // The only error of it is that of a cancelled task.
            do { try await Task.sleep(for: .nanoseconds(nanoseconds)) } catch { throw CancellationError() }
        }
    }

    func connection(_ id: UInt64) -> (any CarriedConnection)? { loop.connection(id) }

    func dial(
        address: Int, timeoutMilliseconds: UInt64,
        then: @escaping @Sendable (Result<any CarriedConnection, ClientError>) -> Void,
        handler: @escaping @Sendable () -> any CarriedHandler
    ) {
        let address = addresses[address]
        loop.submit { loop in
            _ = loop.connect(to: address, timeoutMilliseconds: timeoutMilliseconds) { result in
                switch result {
                case .success(let connection): then(.success(connection))
                case .failure(let error): then(.failure(ClientError(error, address: address.description)))
                }
            } handler: { _ in
                SocketHandler(handler())
            }
        }
    }
}

extension Connection: CarriedConnection {
    package var isCongested: Bool { outbox.isOverHighMark }

    package func write(_ bytes: UnsafeBufferPointer<UInt8>) {
        outbox.append(bytes)
        markDirty()
    }

    package func tickSoon() { deadline = loop.now }
    package func finish(code: String) { finish(.finished(code)) }
    package func abort(code: String) { abort(.aborted(code)) }
}

/// Tells a link what happens to its socket.
private final class SocketHandler: ConnectionHandler {
    private let link: any CarriedHandler

    init(_ link: any CarriedHandler) { self.link = link }

    func received(_ bytes: UnsafeMutableBufferPointer<UInt8>, on connection: Connection) -> Int {
        link.received(UnsafeBufferPointer(bytes), on: connection)
    }

    func receivedEnd(on connection: Connection) {
        link.ended(code: EndReason.peerClosed.code)
        connection.finish(.peerClosed)
    }

    func outboxDrained(on connection: Connection) { link.outboxDrained(on: connection) }
    func deadlineReached(on connection: Connection, now: Instant) { link.deadlineReached(on: connection) }
    func ended(on connection: Connection, reason: EndReason) { link.ended(code: reason.code) }
}

extension ClientError {
    init(_ error: NetError, address: String) {
        switch error {
        case .invalidAddress(let text, let why): self = .invalidAddress(text, reason: why)
        case .timedOut: self = .connectTimedOut(address: address)
        default: self = .connectFailed(address: address, reason: "\(error)")
        }
    }
}

/// The loops that all clients of this process share. Two: more would only help a program that moves millions of
/// messages a second.
enum ClientLoops {
    private static let all = Mutex<[IOLoop]>([])
    private static let turn = Atomic<Int>(0)

    /// Throws if the system has no descriptors or threads for them now.
    static func next() throws(NetError) -> IOLoop {
        try all.withLock { (all) throws(NetError) in
            while all.count < 2 { all.append(try IOLoop(index: all.count)) }
            return all[turn.add(1, ordering: .relaxed).oldValue & 1]
        }
    }
}
