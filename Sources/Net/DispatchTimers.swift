import Dispatch

/// Dispatch opens the descriptor behind its timers at the first timer of the process. When no
/// descriptor is free at that moment, it gives up without a word and the timer never fires: a listener
/// that pauses because descriptors ran out would never go on. So the first timer comes early.
enum DispatchTimers {
    static func prepare() {
        _ = prepared
    }

    private static let prepared: Void = {
        // Not sooner: a timer that is due when Dispatch looks at it is fired without a descriptor.
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(2)) {}
    }()
}
