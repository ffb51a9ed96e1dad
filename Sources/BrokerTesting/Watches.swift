import Synchronization

/// Those who wait for the broker to be as they want it. Touched in turns of the loop only.
final class Watches {
    struct Watch: Sendable {
        /// What was seen, when it is as wanted.
        let look: @Sendable (VirtualLoop) -> QueueCounts?
        /// nil: it was cancelled.
        let continuation: CheckedContinuation<QueueCounts?, Never>
    }

    private var waiting: [UInt64: Watch] = [:]

    func add(_ watch: Watch, as id: UInt64) { waiting[id] = watch }

    func cancel(_ id: UInt64) { waiting.removeValue(forKey: id)?.continuation.resume(returning: nil) }

    func look(at loop: VirtualLoop) {
        if waiting.isEmpty { return }
        for (id, watch) in waiting.sorted(by: { $0.key < $1.key }) {
            guard let seen = watch.look(loop) else { continue }
            waiting[id] = nil
            watch.continuation.resume(returning: seen)
        }
    }
}

/// Numbers that nobody else gets.
final class Counter: Sendable {
    private let last = Atomic<UInt64>(0)

    func next() -> UInt64 { last.add(1, ordering: .relaxed).newValue }
}
