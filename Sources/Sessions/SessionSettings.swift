import STOMP

/// What a session goes by; each comes from a setting of the daemon.
public struct SessionSettings: Sendable {
    public var limits = FrameLimits()
    public var limitsBeforeLogin = FrameLimits.beforeLogin
    public var subscriptions = 1000
    public var transactions = 16
    public var temporaries = 100
    /// Destination names that a session remembers by number.
    public var memos = 1024
    public var prefetchCount: UInt32 = 1000
    public var prefetchBytes: UInt64 = 1 << 20
    /// The most that a client may ask for: what it holds unacknowledged is kept in memory. As in AMQP.
    public var prefetchCountMost: UInt32 = 65_535
    public var prefetchBytesMost: UInt64 = 1 << 30
    /// Longest id of a subscription or transaction, in bytes: each is kept as long as it is in use.
    public var idBytes = 1024
    /// What we offer to send and want to receive, in milliseconds; 0 for never.
    public var heartBeat: UInt64 = 10_000
    /// Shortest interval that we agree to, in milliseconds.
    public var heartBeatMinimum: UInt64 = 100
    /// How late a heart-beat may be, in percent of the interval.
    public var heartBeatTolerance: UInt64 = 200
    public var loginMilliseconds: UInt64 = 10_000
    /// A frame that has begun must bring `frameProgressBytes` in this time, or its end.
    public var frameMilliseconds: UInt64 = 30_000
    public var frameProgressBytes = 16 << 10
    /// Virtual hosts that exist; `host` is not looked at when empty.
    public var hosts: [String] = []
    /// Refuse a 1.1 or 1.2 CONNECT without `host`.
    public var strictHost = false
    /// The `server` header, name/version.
    public var server = "brokerd"
    /// Start of ids of stored messages: names the data directory.
    public var storeTag = "0"
    /// Start of ids of messages that are not stored: names this run of the process.
    public var bootTag = "0"

    public init() {}
}
