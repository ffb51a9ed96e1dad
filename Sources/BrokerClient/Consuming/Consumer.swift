import Synchronization

/// What works on the messages of a destination, until it is stopped. Made by `Client.consume`, `pipe` and `serve`.
///
/// The last reference to it stops it.
public final class Consumer: Sendable {
    private let workshop: Workshop
    private let tally: Tally

    init(_ workshop: Workshop, _ tally: Tally) {
        self.workshop = workshop
        self.tally = tally
        workshop.open()
    }

    deinit { workshop.stop() }

    /// What became of the messages so far, and how many are in hand.
    public var counters: ConsumerCounters {
        var counters = tally.counters
        counters.inHand = workshop.inHand
        return counters
    }

    var isStopping: Bool { workshop.isStopping }

    /// Takes no more messages, lets the handlers finish what is in hand, and ends the subscription. Messages that were
    /// not begun go back to their queue.
    ///
    /// When `timeout` is over, or the task is cancelled, the handlers' tasks are cancelled and it throws `timedOut` or
    /// `cancelled` without waiting for them; what they had in hand comes again.
    nonisolated(nonsending) public func stop(within timeout: Duration = .seconds(30)) async throws(ClientError) {
        let clock = workshop.subscription.clock
        let deadline = clock.now.advanced(by: timeout)
        workshop.stop()
        guard await workshop.waitForEnd(timeout) else {
            workshop.cancelHands()
            workshop.subscription.leave()
            throw Task.isCancelled ? .cancelled : .timedOut
        }
        try await workshop.subscription.cancel(timeout: clock.now.duration(to: deadline))
    }

    /// Returns when it has been stopped. When the task that waits here is cancelled, this stops it, so a program can
    /// end with it:
    ///
    ///     try await client.serve("/queue/prices") { … }.finished()
    ///
    /// `grace` is what handlers have then to finish. Throws what ended the subscription, if that was not the program.
    nonisolated(nonsending) public func finished(grace: Duration = .seconds(30)) async throws(ClientError) {
        if await !workshop.waitForEnd() {
            // In a task of its own, since this one is cancelled and could wait for nothing.
            let outcome: Result<Void, ClientError> = await Task {
                do throws(ClientError) {
                    return .success(try await self.stop(within: grace))
                } catch {
                    return .failure(error)
                }
            }.value
            return try outcome.get()
        }
        if let failure = workshop.failure { throw failure }
    }
}

/// What became of the messages of a consumer.
public struct ConsumerCounters: Sendable, Equatable {
    /// In hand at the moment.
    public var inHand = 0
    /// The handler returned.
    public var handled: UInt64 = 0
    /// The handler threw, be it that it was called again.
    public var failed: UInt64 = 0
    /// Given back, to be delivered again.
    public var rejected: UInt64 = 0
    /// Given up: they are in the dead-letter queue.
    public var deadLettered: UInt64 = 0
    /// The connection was lost before the message could be acknowledged: it comes again, worked on or not.
    public var lost: UInt64 = 0
    /// Requests whose askers had given up, dropped without work.
    public var expired: UInt64 = 0
    /// Requests worked on whose reply could not be sent: without `reply-to`, or with one that is no destination.
    public var unanswered: UInt64 = 0

    public init() {}
}

/// Counts for one consumer.
final class Tally: Sendable {
    private let counts = Mutex(ConsumerCounters())

    var counters: ConsumerCounters { counts.withLock { $0 } }

    func count(_ field: any WritableKeyPath<ConsumerCounters, UInt64> & Sendable) {
        counts.withLock { $0[keyPath: field] &+= 1 }
    }
}
