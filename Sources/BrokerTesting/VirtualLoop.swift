import Base
import BrokerClient
import BrokerCore
import Synchronization

/// The loop on which a test's broker and its clients meet, and the time that both go by.
///
/// It has no thread: whoever brings work does it, and that of others who come meanwhile. So nothing waits for anything,
/// and everything is done one after the other.
///
/// Sendable: all but the lock and the atomics is touched in turns only, and of those there is one at a time, each after
/// the one before: whoever finds `work.isBusy` false sets it, with the lock held, and takes turns until it is false again.
final class VirtualLoop: Carrier, @unchecked Sendable {
    private struct Work: Sendable {
        var jobs = Deque<@Sendable () -> Void>()
        /// Somebody is at it.
        var isBusy = false
    }

    private struct Timer: Comparable, Sendable {
        let due: Instant
        let number: UInt64

        static func < (a: Timer, b: Timer) -> Bool { (a.due, a.number) < (b.due, b.number) }
    }

    private struct Traveller {
        let until: Instant
        let arrived: @Sendable () -> Void
    }

    private let work = Mutex(Work())
    private let clock: Atomic<UInt64>
    private let start: Moment
    let broker: MemoryBroker
    private var timers = Heap<Timer>()
    private var chores: [UInt64: () -> Void] = [:]
    private var lastTimer: UInt64 = 0
    private let tickets = Counter()
    /// Who wants time to pass, and to be told when it has.
    private var travellers: [Traveller] = []
    /// Between two looks of the core at what is due about once a second.
    private var tickMilliseconds: UInt64 = 1000
    /// nil: connections are accepted.
    var refusal: String?
    var isFrozen = false
    /// Looked at when nothing moves any more.
    let watches = Watches()

    init(memoryBytes: Int, start: Moment) {
        self.start = start
        clock = Atomic(start.monotonic.nanoseconds)
        broker = MemoryBroker(memoryBytes: memoryBytes, now: start)
    }

    // MARK: Turns

    func submit(_ job: @escaping @Sendable () -> Void) {
        let mustDo = work.withLock { work in
            work.jobs.append(job)
            if work.isBusy { return false }
            work.isBusy = true
            return true
        }
        while mustDo, takeTurn() {}
    }

    /// False if there was nothing to do; then somebody else may come.
    private func takeTurn() -> Bool {
        let (job, isOver) = work.withLock { work -> ((@Sendable () -> Void)?, Bool) in
            if let job = work.jobs.popFirst() { return (job, false) }
            if travellers.isEmpty { work.isBusy = false }
            return (nil, travellers.isEmpty)
        }
        if isOver { return false }
        if let job { job() } else { step() }
        broker.carry()
        watches.look(at: self)
        return true
    }

    // MARK: Time

    var now: Instant { Instant(nanoseconds: clock.load(ordering: .acquiring)) }
    var wallMilliseconds: UInt64 { moment.wall }

    var moment: Moment {
        let now = now
        return Moment(now, wall: start.wall + now.milliseconds(since: start.monotonic))
    }

    func after(milliseconds: UInt64, _ work: @escaping () -> Void) {
        lastTimer += 1
        timers.insert(Timer(due: now.adding(milliseconds: milliseconds), number: lastTimer))
        chores[lastTimer] = work
    }

    /// Tasks that sleep by the clock, by the number of their timer.
    private var sleepers: [UInt64: CheckedContinuation<Bool, Never>] = [:]
    var sleeperCount: Int { sleepers.count }

    func sleep(until time: Instant) async throws(CancellationError) {
        let ticket = tickets.next()
        let isRested = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { return continuation.resume(returning: false) }
                submit { [self] in
                    guard time > now else { return continuation.resume(returning: true) }
                    sleepers[ticket] = continuation
                    after(milliseconds: time.millisecondsRoundedUp(since: now)) { [weak self] in
                        self?.wake(ticket, isRested: true)
                    }
                }
                // Cancelled before it slept: the handler found nobody.
                if Task.isCancelled { submit { [self] in wake(ticket, isRested: false) } }
            }
        } onCancel: {
            submit { [self] in wake(ticket, isRested: false) }
        }
        if !isRested { throw CancellationError() }
    }

    private func wake(_ ticket: UInt64, isRested: Bool) {
        sleepers.removeValue(forKey: ticket)?.resume(returning: isRested)
    }

    /// More looks than this at what has no time of its own are not worth it, however long the journey.
    private static let mostTicks: UInt64 = 1000

    /// In a turn. What the time brings is done in the turns that follow, each thing at its time; then `arrived` is called.
    func travel(milliseconds: UInt64, arrived: @escaping @Sendable () -> Void) {
        let until = (travellers.last?.until ?? now).adding(milliseconds: milliseconds)
        travellers.append(Traveller(until: until, arrived: arrived))
        tickMilliseconds = max(1000, until.milliseconds(since: now) / Self.mostTicks)
    }

    /// To the next thing that happens, or to where somebody wanted to go.
    private func step() {
        guard let traveller = travellers.first else { return }
        var next = traveller.until
        if let due = timers.first?.due { next = min(next, due) }
        // The core thinks in whole milliseconds, which this clock may be a part of one behind.
        if let due = broker.nextDue { next = min(next, max(due, now.adding(milliseconds: 1))) }
        next = max(now, min(next, broker.lastTick.adding(milliseconds: tickMilliseconds)))
        clock.store(next.nanoseconds, ordering: .releasing)
        broker.pass(to: moment)
        if next >= broker.lastTick.adding(milliseconds: tickMilliseconds) || next == traveller.until { broker.tick() }
        broker.carry()
        fireTimers()
        if next == traveller.until {
            travellers.removeFirst()
            broker.carry()
            traveller.arrived()
        }
    }

    private func fireTimers() {
        // One that sets itself again for now waits for the next turn.
        var most = timers.count
        while most > 0, let first = timers.first, first.due <= now {
            most -= 1
            timers.popFirst()
            chores.removeValue(forKey: first.number)?()
        }
    }

    // MARK: Connections

    func connection(_ id: UInt64) -> (any CarriedConnection)? { broker.connections[id] }

    func dial(
        address: Int, timeoutMilliseconds: UInt64,
        then: @escaping @Sendable (Result<any CarriedConnection, ClientError>) -> Void,
        handler: @escaping @Sendable () -> any CarriedHandler
    ) {
        submit { [self] in
            if let refusal { return then(.failure(.connectFailed(address: "in-process", reason: refusal))) }
            let connection = broker.accept(handler())
            connection.isFrozen = isFrozen
            then(.success(connection))
        }
    }
}
