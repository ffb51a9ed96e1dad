/// What all connections of a loop are held to.
public struct LoopSettings: Sendable {
    /// Above this many unsent bytes an outbox counts as full, until it falls to `outboxLowBytes`.
    public var outboxHighBytes = 1 << 20
    public var outboxLowBytes = 256 << 10
    /// How long `finish` goes on reading after its last byte was sent. A close with unread input would
    /// make the kernel send RST, and RST makes the peer throw away what it has not read yet.
    public var drainMilliseconds: UInt64 = 2_000
    /// How long `finish` tries to send what is owed to a peer that does not read.
    public var finishMilliseconds: UInt64 = 10_000

    public init() {}
}
