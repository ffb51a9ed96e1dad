import Synchronization

/// Those who follow the state of the connection. Each sees every state in order, but for the oldest ones when it
/// falls behind by many.
final class Watchers: Sendable {
    private struct List {
        var last: ConnectionState?
        var continuations: [UInt64: AsyncStream<ConnectionState>.Continuation] = [:]
        var nextKey: UInt64 = 0
    }

    private static let most = 64
    private let list = Mutex(List())

    /// The states from the present one on. Ends after `closed`.
    func stream() -> AsyncStream<ConnectionState> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: ConnectionState.self, bufferingPolicy: .bufferingNewest(Self.most))
        let (key, isOver) = list.withLock { list in
            list.nextKey += 1
            if let last = list.last { continuation.yield(last) }
            if case .closed = list.last { return (list.nextKey, true) }
            list.continuations[list.nextKey] = continuation
            return (list.nextKey, false)
        }
        if isOver {
            continuation.finish()
        } else {
            continuation.onTermination = { [weak self] _ in self?.forget(key) }
        }
        return stream
    }

    /// Called on the loop only, so that all see the same order.
    func announce(_ state: ConnectionState) {
        let watching = list.withLock { list in
            list.last = state
            return Array(list.continuations.values)
        }
        for continuation in watching { continuation.yield(state) }
        guard case .closed = state else { return }
        for continuation in watching { continuation.finish() }
    }

    private func forget(_ key: UInt64) {
        list.withLock { $0.continuations[key] = nil }
    }
}
