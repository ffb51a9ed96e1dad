import Synchronization

/// How many connections a listener admits.
public struct ListenerLimits: Sendable {
    /// Together with other listeners of the same `Admission`.
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

/// Counts who is inside, over all listeners that share it.
public final class Admission: Sendable {
    /// The limit that was reached.
    public enum Refusal: Error, Equatable, Sendable {
        case connections(most: Int)
        case address(most: Int)
    }

    private struct State {
        var maxConnections: Int
        var maxPerAddress: Int?
        var current = 0
        var perAddress: [UInt64: Int] = [:]
    }

    private let state: Mutex<State>

    /// `maxPerAddress`: as in `ListenerLimits`.
    public init(maxConnections: Int, maxPerAddress: Int?) {
        state = Mutex(State(maxConnections: maxConnections, maxPerAddress: maxPerAddress))
    }

    /// For connections that come from now on. Who is inside stays.
    public func setLimits(maxConnections: Int, maxPerAddress: Int?) {
        state.withLock { state in
            state.maxConnections = maxConnections
            state.maxPerAddress = maxPerAddress
        }
    }

    func enter(_ peer: PeerAddress) throws(Refusal) {
        try state.withLock { (state) throws(Refusal) in
            guard state.current < state.maxConnections else { throw .connections(most: state.maxConnections) }
            if let key = peer.limitKey {
                let present = state.perAddress[key, default: 0]
                if let most = state.maxPerAddress, present >= most { throw .address(most: most) }
                state.perAddress[key] = present + 1
            }
            state.current += 1
        }
    }

    func leave(_ peer: PeerAddress) {
        state.withLock { state in
            state.current -= 1
            guard let key = peer.limitKey, let present = state.perAddress[key] else { return }
            state.perAddress[key] = present > 1 ? present - 1 : nil
        }
    }
}

/// What one listener counts. Used by its queue and by all loops.
final class Gate: Sendable {
    private let admission: Admission
    private let state = Mutex(ListenerCounters())

    init(_ admission: Admission) {
        self.admission = admission
    }

    var counters: ListenerCounters { state.withLock { $0 } }

    /// If a limit is reached the connection is counted as refused.
    func enter(_ peer: PeerAddress) throws(Admission.Refusal) {
        do throws(Admission.Refusal) {
            try admission.enter(peer)
        } catch {
            state.withLock { $0.refused += 1 }
            throw error
        }
        state.withLock { counters in
            counters.current += 1
            counters.accepted += 1
        }
    }

    func leave(_ peer: PeerAddress) {
        admission.leave(peer)
        state.withLock { $0.current -= 1 }
    }

    func paused() {
        state.withLock { $0.pauses += 1 }
    }
}
