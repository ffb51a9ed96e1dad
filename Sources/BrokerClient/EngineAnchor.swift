import Synchronization

/// How what waits for a time, or for credentials, finds the engine, as long as it has something to do: from `connect` until it has
/// said that it is closed, which it does at the latest when its client goes. A weak reference to the engine would do the same, and make all
/// others to it slower to count, of which each message has one.
final class EngineAnchor: Sendable {
    private let held = Mutex<Engine?>(nil)

    var engine: Engine? { held.withLock { $0 } }
    func hold(_ engine: Engine) { held.withLock { $0 = engine } }

    /// The caller has the engine, too: it must not end in here.
    func letGo() { held.withLock { $0 = nil } }
}
