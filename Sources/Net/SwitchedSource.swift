import Dispatch

/// A Dispatch source that can be switched on and off. Dispatch traps when a suspended source is
/// released, and a suspended source never hears of its cancellation: both are taken care of here.
struct SwitchedSource {
    private let source: any DispatchSourceProtocol
    private var isActivated = false

    /// Off at first.
    init(_ source: any DispatchSourceProtocol) {
        self.source = source
    }

    var isOn = false {
        didSet {
            if isOn == oldValue { return }
            if !isOn {
                source.suspend()
            } else if isActivated {
                source.resume()
            } else {
                isActivated = true
                source.activate()
            }
        }
    }

    /// The cancel handler will be called, and the source may be let go of.
    mutating func cancel() {
        source.cancel()
        isOn = true
    }
}
