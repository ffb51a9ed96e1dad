import Base

/// What carries the bytes of a client to its broker, and tells it the time: sockets (`SocketCarrier`), or in tests
/// of programs a broker in the same process with a time of its own (`BrokerTesting`).
///
/// Work is done one after the other, on the carrier's loop; `connection` and `after` are for that work only.
package protocol Carrier: AnyObject, Sendable {
    /// Deadlines, heart-beats and the pauses between attempts are measured by this one.
    var now: Instant { get }

    /// Milliseconds since 1970, for what is compared with the broker's time.
    var wallMilliseconds: UInt64 { get }

    /// Soon, and not inside of this call's locks.
    func submit(_ work: @escaping @Sendable () -> Void)

    /// After so many milliseconds, never before.
    func after(milliseconds: UInt64, _ work: @escaping () -> Void)

    /// Returns at that time, not before. Throws when the task is cancelled.
    func sleep(until time: Instant) async throws(CancellationError)

    /// Nil when it has ended.
    func connection(_ id: UInt64) -> (any CarriedConnection)?

    /// Opens a connection to the address with this index. `then` is called once, on the loop; `handler` before it,
    /// if the connection is there.
    func dial(
        address: Int, timeoutMilliseconds: UInt64,
        then: @escaping @Sendable (Result<any CarriedConnection, ClientError>) -> Void,
        handler: @escaping @Sendable () -> any CarriedHandler)
}

/// One connection, on the loop of its carrier.
package protocol CarriedConnection: AnyObject {
    var id: UInt64 { get }
    var isOpen: Bool { get }
    /// More is waiting to leave than should.
    var isCongested: Bool { get }

    func write(_ bytes: UnsafeBufferPointer<UInt8>)
    func pauseReading()
    func resumeReading()
    /// Reads what there is, then calls `deadlineReached`.
    func tickSoon()
    /// What was written still leaves.
    func finish(code: String)
    /// At once.
    func abort(code: String)
}

/// Who speaks on a carried connection; see `Net.ConnectionHandler` for what each call means.
package protocol CarriedHandler: AnyObject {
    func received(_ bytes: UnsafeBufferPointer<UInt8>, on connection: any CarriedConnection) -> Int
    func outboxDrained(on connection: any CarriedConnection)
    func deadlineReached(on connection: any CarriedConnection)
    func ended(code: String)
}

extension Instant {
    /// Milliseconds from `earlier` to here, rounded up, so that who waits for them does not come too early; 0 if it is
    /// later.
    package func millisecondsRoundedUp(since earlier: Instant) -> UInt64 {
        if nanoseconds <= earlier.nanoseconds { return 0 }
        let (milliseconds, rest) = (nanoseconds - earlier.nanoseconds).quotientAndRemainder(dividingBy: 1_000_000)
        return rest == 0 ? milliseconds : milliseconds + 1
    }
}
