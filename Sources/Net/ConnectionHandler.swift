import Base

/// Who speaks on a connection. All calls come on the connection's loop, never one inside another for
/// the same connection, and none after `ended`.
public protocol ConnectionHandler: AnyObject {
    /// All unread bytes, writable in place, valid during the call. Returns how many are done with; the
    /// rest comes again with more behind it, or at once after `resumeReading()`.
    func received(_ bytes: UnsafeMutableBufferPointer<UInt8>, on connection: Connection) -> Int

    /// The peer shut down its write side: nothing more will come, answers can still be sent. The owner
    /// decides when to `finish`.
    func receivedEnd(on connection: Connection)

    /// The outbox fell to the low mark after having been above the high mark.
    func outboxDrained(on connection: Connection)

    /// The connection's `deadline` has passed; it is nil now. What the socket held was read just before,
    /// so bytes that came while this process was stopped or busy already count.
    func deadlineReached(on connection: Connection, now: Instant)

    /// The end: exactly once and last.
    func ended(on connection: Connection, reason: EndReason)
}
