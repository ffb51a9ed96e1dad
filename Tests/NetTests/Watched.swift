import Foundation

/// A value that one thread changes and another waits for, never longer than a bound.
final class Watched<Value>: @unchecked Sendable {  // Sendable: `value` is touched under the condition's lock
    private let condition = NSCondition()
    private var value: Value

    init(_ value: Value) {
        self.value = value
    }

    var current: Value {
        condition.lock()
        defer { condition.unlock() }
        return value
    }

    func change(_ body: (inout Value) -> Void) {
        condition.lock()
        body(&value)
        condition.broadcast()
        condition.unlock()
    }

    /// True as soon as `isReached`; false if that did not happen in time. Looks at every change and every
    /// few milliseconds, for conditions that do not depend on the value alone.
    func wait(seconds: Double = 20, until isReached: (Value) -> Bool) -> Bool {
        let limit = Date(timeIntervalSinceNow: seconds)
        condition.lock()
        defer { condition.unlock() }
        while !isReached(value) {
            if Date() >= limit { return false }
            _ = condition.wait(until: Date(timeIntervalSinceNow: 0.005))
        }
        return true
    }
}
