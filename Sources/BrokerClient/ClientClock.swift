import Base

/// The time that a client goes by: that of the machine, which never jumps; with the broker of `BrokerTesting`, the time of
/// the test. A program that waits by this clock needs no other one to be tested.
///
///     try await client.clock.sleep(for: .seconds(5))
public struct ClientClock: Clock, Sendable {
    /// A moment of one clock; those of another client's clock mean nothing here.
    public struct Instant: InstantProtocol, Sendable {
        let base: Base.Instant

        /// The moment so much later, or earlier. One that the clock has no number for is its first or its last moment.
        public func advanced(by duration: Duration) -> Instant {
            let (seconds, attoseconds) = duration.components
            let (product, tooLong) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
            let (nanoseconds, overflow) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
            if tooLong || overflow { return Instant(base: Base.Instant(nanoseconds: seconds < 0 ? 0 : .max)) }
            let (moved, outside) =
                nanoseconds < 0
                ? base.nanoseconds.subtractingReportingOverflow(nanoseconds.magnitude)
                : base.nanoseconds.addingReportingOverflow(nanoseconds.magnitude)
            return Instant(base: Base.Instant(nanoseconds: !outside ? moved : nanoseconds < 0 ? 0 : .max))
        }

        /// How long it is from here to there; negative if that was before.
        public func duration(to other: Instant) -> Duration {
            let (from, to) = (base.nanoseconds, other.base.nanoseconds)
            return from <= to
                ? .nanoseconds(Int64(clamping: to - from)) : .nanoseconds(-Int64(clamping: from - to))
        }

        /// Whether `a` was before `b`.
        public static func < (a: Instant, b: Instant) -> Bool { a.base < b.base }
    }

    private let carrier: any Carrier

    package init(_ carrier: any Carrier) { self.carrier = carrier }

    /// The present moment, on a clock that never jumps.
    public var now: Instant { Instant(base: carrier.now) }
    /// A nanosecond. Sleeping is exact to the millisecond at best.
    public var minimumResolution: Duration { .nanoseconds(1) }

    /// Throws `CancellationError` when the task is cancelled. The tolerance is not used.
    public func sleep(until deadline: Instant, tolerance: Duration? = nil) async throws {
        try await carrier.sleep(until: deadline.base)
    }
}
