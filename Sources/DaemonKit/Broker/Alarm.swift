import Dispatch
import Synchronization

/// Wakes the core when something in it is due. Setting it to the same or a later time costs one comparison.
final class Alarm: Sendable {
    private let queue = DispatchQueue(label: "brokerd.alarm")
    private let state = Mutex(State())
    private let armed = Atomic<UInt64>(.max)

    private struct State {
        var timer: (any DispatchSourceTimer)?
    }

    /// `ring` is called on a queue of the alarm's own.
    func start(_ ring: @escaping @Sendable () -> Void) {
        state.withLock { [queue] state in
            let timer = DispatchSource.makeTimerSource(flags: .strict, queue: queue)
            timer.setEventHandler { [unowned self] in
                armed.store(.max, ordering: .relaxed)
                ring()
            }
            timer.activate()
            state.timer = timer
        }
    }

    /// To ring at `due`, in milliseconds since 1970 as `now` is. Called with the core's lock held, so one at a time.
    @inline(__always)
    func set(_ due: UInt64?, now: UInt64) {
        guard let due, due < armed.load(ordering: .relaxed) else { return }
        schedule(due, now: now)
    }

    private func schedule(_ due: UInt64, now: UInt64) {
        armed.store(due, ordering: .relaxed)
        let milliseconds = due > now ? Int(clamping: min(due - now, 86_400_000)) : 0
        state.withLock { $0.timer?.schedule(deadline: .now() + .milliseconds(milliseconds), leeway: .nanoseconds(0)) }
    }
}
