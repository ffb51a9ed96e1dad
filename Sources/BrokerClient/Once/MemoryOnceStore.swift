import Base
import Synchronization

/// Remembers in memory: for effects that are lost with the process as well (a cache, a display), and for tests.
///
/// It knows the last `most` messages, by default 100,000; a message that comes again after that many others has its
/// effect again.
///
///     let store = MemoryOnceStore(most: 10_000)
///     try await orders.once(as: "display", in: store) { order, _ in print(order.text) }
public final class MemoryOnceStore: OnceStore {
    /// There is nothing to make a change with.
    public typealias Transaction = Void

    private struct Marks {
        var keys: Set<MessageKey> = []
        /// Oldest first.
        var order = Deque<MessageKey>()
    }

    private let most: Int
    private let marks = Mutex(Marks())
    private let turns = Turns<MessageKey>()

    /// With nothing remembered yet. `most` bounds its memory; fewer than one counts as one.
    public init(most: Int = 100_000) { self.most = max(1, most) }

    /// Messages that are remembered.
    public var count: Int { marks.withLock { $0.keys.count } }

    /// See `OnceStore`. What `change` throws is passed on; `CancellationError` when the task is cancelled while it waits for
    /// another call with the same key.
    nonisolated(nonsending) public func once<R: Sendable>(
        _ key: MessageKey, _ change: (Transaction) async throws -> R
    ) async throws -> R? {
        try await turns.enter(key)
        defer { turns.leave(key) }
        if marks.withLock({ $0.keys.contains(key) }) { return nil }
        let result = try await change(())
        marks.withLock { marks in
            marks.keys.insert(key)
            marks.order.append(key)
            while marks.keys.count > most, let oldest = marks.order.popFirst() { marks.keys.remove(oldest) }
        }
        return result
    }
}
