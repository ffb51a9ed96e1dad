import Synchronization

/// How many connections a listener admits.
public struct ListenerLimits: Sendable {
    public var maxConnections: Int
    /// For one IPv4 address, or one IPv6 network of 64 bits; nil for no limit. Unix sockets are exempt.
    public var maxPerAddress: Int?
    /// Connections the kernel keeps waiting for us.
    public var backlog: Int32
    /// How long nothing is accepted after the system ran out of descriptors or memory.
    public var pauseMilliseconds: Int

    public init(
        maxConnections: Int = 10_000, maxPerAddress: Int? = nil, backlog: Int32 = 1_024, pauseMilliseconds: Int = 200
    ) {
        self.maxConnections = maxConnections
        self.maxPerAddress = maxPerAddress
        self.backlog = backlog
        self.pauseMilliseconds = pauseMilliseconds
    }
}

/// What a listener has seen.
public struct ListenerCounters: Equatable, Sendable {
    /// Connections handed to loops.
    public var accepted: UInt64 = 0
    /// Connections closed at once because a limit was reached.
    public var refused: UInt64 = 0
    /// Connections that hold a descriptor now.
    public var current = 0
    /// Times that accepting had to pause.
    public var pauses: UInt64 = 0
}

/// Counts who is inside. Used by the listener's queue and by all loops.
final class Gate: Sendable {
    private struct State {
        var counters = ListenerCounters()
        var perAddress: [UInt64: Int] = [:]
    }

    private let limits: ListenerLimits
    private let state = Mutex(State())

    init(limits: ListenerLimits) {
        self.limits = limits
    }

    var counters: ListenerCounters { state.withLock { $0.counters } }

    /// False if a limit is reached; the connection is counted as refused then.
    func enter(_ peer: PeerAddress) -> Bool {
        state.withLock { state in
            guard state.counters.current < limits.maxConnections else {
                state.counters.refused += 1
                return false
            }
            if let most = limits.maxPerAddress, let key = peer.limitKey {
                let present = state.perAddress[key, default: 0]
                guard present < most else {
                    state.counters.refused += 1
                    return false
                }
                state.perAddress[key] = present + 1
            }
            state.counters.current += 1
            state.counters.accepted += 1
            return true
        }
    }

    func leave(_ peer: PeerAddress) {
        state.withLock { state in
            state.counters.current -= 1
            guard limits.maxPerAddress != nil, let key = peer.limitKey, let present = state.perAddress[key]
            else { return }
            state.perAddress[key] = present > 1 ? present - 1 : nil
        }
    }

    func paused() {
        state.withLock { $0.counters.pauses += 1 }
    }
}
