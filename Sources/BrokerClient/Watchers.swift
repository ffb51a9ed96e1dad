import Synchronization

/// Those who follow the state of the connection. Each sees every state once and in order, but for the oldest ones
/// when it falls behind by many.
final class Watchers: Sendable {
    private typealias Continuation = AsyncStream<ConnectionState>.Continuation

    private struct List {
        /// With the number of the last state that each was given.
        var watching: [UInt64: (continuation: Continuation, seen: UInt64)] = [:]
        var lastKey: UInt64 = 0
    }

    private static let most = 64
    private let list = Mutex(List())

    /// The states from this one on, which has this number. Ends after `closed`.
    func stream(from state: ConnectionState, _ number: UInt64) -> AsyncStream<ConnectionState> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: ConnectionState.self, bufferingPolicy: .bufferingNewest(Self.most))
        continuation.yield(state)
        if case .closed = state {
            continuation.finish()
            return stream
        }
        let key = list.withLock { list in
            list.lastKey += 1
            list.watching[list.lastKey] = (continuation, number)
            return list.lastKey
        }
        continuation.onTermination = { [weak self] _ in self?.forget(key) }
        return stream
    }

    /// Called on the loop only, so that all see the same order, and without the lock: it resumes those who wait.
    func announce(_ state: ConnectionState, _ number: UInt64) {
        let watching = list.withLock { list in
            let watching = list.watching.filter { $0.value.seen < number }
            for key in watching.keys { list.watching[key]?.seen = number }
            return watching.values.map(\.continuation)
        }
        for continuation in watching {
            continuation.yield(state)
            if case .closed = state { continuation.finish() }
        }
    }

    private func forget(_ key: UInt64) {
        list.withLock { $0.watching[key] = nil }
    }
}
