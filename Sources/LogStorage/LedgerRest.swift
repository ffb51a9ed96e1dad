import Synchronization

/// Memory that queues needed while they were used.
extension LogEngine {
    /// Queues that are looked at while no commit can go on: some 0.1 ms.
    private static let queuesPerLook = 1000

    /// To be called about once a second: queues with nothing in the journal keep no memory for that.
    public func rest() {
        while store.state.withLock({ $0.ledger.rest(most: Self.queuesPerLook) }) {}
    }
}
