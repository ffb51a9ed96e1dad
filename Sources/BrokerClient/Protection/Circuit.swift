import Base

/// When a circuit breaker opens, and for how long.
public struct CircuitBreakerOptions: Sendable, Equatable {
    /// So many failures one after the other open it.
    public var consecutiveFailures = 5
    /// So does this share of failures among the calls of the last `window`, from 0 to 1, once there were `minimumCalls`.
    public var failureRate = 0.5
    /// How far back the share of failures looks.
    public var window: Duration = .seconds(10)
    /// With fewer calls than this in the window, a share says nothing.
    public var minimumCalls = 20
    /// How long it refuses calls before it lets some through to see whether things are better.
    public var openFor: Duration = .seconds(10)
    /// So many calls are let through then, and all of them have to succeed.
    public var trials = 1

    /// Five failures in a row, or half of at least 20 calls within 10 s; closed again by one success after 10 s.
    public init() {}
}

/// What a circuit breaker does with calls.
///
/// ```text
/// closed ---failures---> open ---time---> halfOpen ---trials succeed---> closed
///                          ^                  |
///                          `---a trial fails--'
/// ```
public enum CircuitState: Sendable, Equatable {
    /// Calls are let through, and counted.
    case closed
    /// Calls are refused.
    case open
    /// A few are let through.
    case halfOpen
}

/// A circuit breaker as a value: calls begin and end, and time is told.
struct Circuit {
    /// Of a call that was let through. What it comes to counts only as long as the circuit has not changed its state.
    struct Ticket: Sendable, Equatable {
        fileprivate let generation: UInt64
    }

    enum Result: Sendable {
        case succeeded
        case failed
        /// It says nothing about the other side: it was cancelled, or wrong from the start.
        case neither
    }

    private static let slices: UInt64 = 10

    private struct Slice {
        var number: UInt64 = 0
        var calls = 0
        var failures = 0
    }

    private(set) var state = CircuitState.closed
    private let options: CircuitBreakerOptions
    private let sliceNanoseconds: UInt64
    private var generation: UInt64 = 0
    private var inARow = 0
    /// The window in tenths, each overwritten when its time comes again.
    private var slices = [Slice](repeating: Slice(), count: Int(Self.slices))
    private var opensAgainAt = Instant(nanoseconds: 0)
    private var trialsBegun = 0
    private var trialsSucceeded = 0

    init(_ options: CircuitBreakerOptions) {
        self.options = options
        let window = options.window.wholeMilliseconds.multipliedReportingOverflow(by: 1_000_000)
        sliceNanoseconds = max(1, (window.overflow ? .max : window.partialValue) / Self.slices)
    }

    /// Nil: the call is refused.
    mutating func begin(at now: Instant) -> Ticket? {
        if state == .open, now >= opensAgainAt { change(to: .halfOpen) }
        switch state {
        case .closed: break
        case .open: return nil
        case .halfOpen:
            guard trialsBegun < trialsAllowed else { return nil }
            trialsBegun += 1
        }
        return Ticket(generation: generation)
    }

    mutating func finished(_ ticket: Ticket, _ result: Result, at now: Instant) {
        guard isOfNow(ticket) else { return }
        switch state {
        case .open: break
        case .closed: count(result, at: now)
        case .halfOpen: tried(result, at: now)
        }
    }

    /// Until calls are let through again; 0 if they are.
    func milliseconds(at now: Instant) -> UInt64 { state == .open ? opensAgainAt.milliseconds(since: now) : 0 }

    var trialsAllowed: Int { max(1, options.trials) }

    /// What it comes to will count.
    func isOfNow(_ ticket: Ticket) -> Bool { ticket.generation == generation }

    private mutating func count(_ result: Result, at now: Instant) {
        if result == .neither { return }
        let number = now.nanoseconds / sliceNanoseconds
        let index = Int(number % Self.slices)
        if slices[index].number != number { slices[index] = Slice(number: number) }
        slices[index].calls += 1
        if result == .succeeded {
            inARow = 0
            return
        }
        slices[index].failures += 1
        inARow += 1
        if inARow >= max(1, options.consecutiveFailures) || isRateReached(number) { open(at: now) }
    }

    private func isRateReached(_ number: UInt64) -> Bool {
        var calls = 0
        var failures = 0
        for slice in slices where number - min(number, slice.number) < Self.slices {
            calls += slice.calls
            failures += slice.failures
        }
        return calls >= max(1, options.minimumCalls) && Double(failures) >= options.failureRate * Double(calls)
    }

    private mutating func tried(_ result: Result, at now: Instant) {
        switch result {
        case .neither: trialsBegun -= 1
        case .failed: open(at: now)
        case .succeeded:
            trialsSucceeded += 1
            if trialsSucceeded >= trialsAllowed { change(to: .closed) }
        }
    }

    private mutating func open(at now: Instant) {
        opensAgainAt = now.adding(milliseconds: options.openFor.wholeMilliseconds)
        change(to: .open)
    }

    private mutating func change(to state: CircuitState) {
        self.state = state
        generation += 1
        inARow = 0
        trialsBegun = 0
        trialsSucceeded = 0
        slices = [Slice](repeating: Slice(), count: Int(Self.slices))
    }
}
