import Base
import Dispatch
import Glibc
import Synchronization

/// When a run starts, and which part of it counts. Nanoseconds of the monotonic clock.
struct Schedule: Sendable {
    var start: UInt64 = 0
    /// The measured time is `measured.lowerBound ..< measured.upperBound`.
    var measured: Range<UInt64> = 0..<0

    init() {}

    init(_ options: Options) {
        start = Instant.now.nanoseconds
        if options.goesByCount {
            measured = start..<UInt64.max
        } else {
            let from = start + Schedule.nanoseconds(options.warmupSeconds)
            measured = from..<(from + Schedule.nanoseconds(options.seconds))
        }
    }

    static func nanoseconds(_ seconds: Double) -> UInt64 { UInt64(seconds * 1e9) }
}

/// What the threads of a run share.
final class Run: Sendable {
    let options: Options
    /// The first of them, or the only one.
    let destination: String
    let body: Body
    /// The destination is one of them.
    let sendHeaders: HeaderCycle
    /// All that are sent to.
    private let destinations: [String]
    /// There are messages already when the consumers come.
    let hasBacklog: Bool
    let subscribeHeaders: HeaderCycle
    /// For each kind of message how long it must not come.
    private let holds: [HeaderCycle.Hold]
    /// What the wall clock's milliseconds are on the monotonic clock: to be added to their nanoseconds.
    private let wallOffset: Int64
    /// Told to consumers when everything has come, and to all when one has failed.
    let isOver = Atomic<Bool>(false)
    let hasFailed = Atomic<Bool>(false)
    private let failure = Mutex<Failure?>(nil)
    private let ready = DispatchGroup()
    private let started = DispatchGroup()
    private let schedule = Mutex(Schedule())
    /// Messages each consumer has received, doubled ones not counted.
    private let received: [Counter]

    private final class Counter: Sendable {
        let value = Atomic<UInt64>(0)
    }

    /// Throws `Options.Misuse` for headers that are none. `id`: of the run whose messages these are; nil: a new one.
    init(_ options: Options, id: UInt32? = nil) throws {
        let now = wallClockMilliseconds()
        let id = id ?? UInt32(truncatingIfNeeded: now &* 2_654_435_761) ^ UInt32(getpid())
        let kind = options.workload == .fanout ? "topic" : "queue"
        let headers = options.allSendHeaders("/\(kind)/brokerbench.\(String(id, radix: 16))")
        self.options = options
        sendHeaders = try HeaderCycle(headers, now: now)
        destinations = try HeaderCycle(Array(headers.prefix(1)), now: now).values(of: "destination")
        destination = destinations.first ?? ""
        subscribeHeaders = try HeaderCycle(options.subscribeHeaders, now: now)
        holds = (0..<sendHeaders.count).map(sendHeaders.hold)
        wallOffset = Int64(Instant.now.nanoseconds) - Int64(now) * 1_000_000
        body = Body(size: options.size, run: id)
        hasBacklog = options.backlog > 0
        received = (0..<options.consumers).map { _ in Counter() }
        started.enter()
    }

    /// A run with the same messages that consumes only. `destination`: where they are now; nil: where they were sent.
    init(behind run: Run, destination: String? = nil, consumers: Int = 1) {
        var options = run.options
        options.consumers = consumers
        options.refusesEvery = 0
        if destination != nil { options.isAnyOrder = true }
        self.options = options
        destinations = destination.map { [$0] } ?? run.destinations
        self.destination = destinations.first ?? ""
        body = run.body
        sendHeaders = run.sendHeaders
        subscribeHeaders = destination == nil ? run.subscribeHeaders : .none
        holds = destination == nil ? run.holds : run.sendHeaders.noHolds
        wallOffset = run.wallOffset
        hasBacklog = true
        received = (0..<consumers).map { _ in Counter() }
        started.enter()
    }

    /// What a consumer subscribes to: its share of them, or one that it has together with others.
    func destinations(ofConsumer index: Int) -> [String] {
        guard destinations.count > options.consumers else { return [destinations[index % destinations.count]] }
        return stride(from: index, to: destinations.count, by: options.consumers).map { destinations[$0] }
    }

    /// When a message may come at the earliest, on the monotonic clock; nil: at once.
    func due(_ stamp: Stamp) -> UInt64? {
        switch holds.count == 1 ? holds[0] : holds[Int(stamp.sequence % UInt64(holds.count))] {
        case .none: nil
        case .after(let nanoseconds): stamp.nanoseconds &+ nanoseconds
        case .at(let milliseconds): monotonic(milliseconds)
        }
    }

    /// When the first message may come that has a fixed time; 0: none has.
    var firstFixedTime: UInt64 {
        holds.compactMap { hold in
            if case .at(let milliseconds) = hold { monotonic(milliseconds) } else { nil }
        }.min() ?? 0
    }

    private func monotonic(_ milliseconds: UInt64) -> UInt64 {
        UInt64(max(Int64(milliseconds) * 1_000_000 + wallOffset, 0))
    }

    // MARK: The common start

    /// A thread that will report by `arrive` is about to be started.
    func expectOne() { ready.enter() }
    func arrive() { ready.leave() }

    /// Waits for all that are expected; throws what any of them met.
    func awaitArrivals() throws {
        ready.wait()
        try rethrow()
    }

    func begin() -> Schedule {
        let begun = Schedule(options)
        schedule.withLock { $0 = begun }
        started.leave()
        return begun
    }

    func awaitBegin() -> Schedule {
        started.wait()
        return schedule.withLock { $0 }
    }

    // MARK: The end

    func fail(_ who: String, _ error: any Error) {
        let line = (error as? Failure)?.line ?? "\(error)"
        failure.withLock { if $0 == nil { $0 = Failure("\(who): \(line)") } }
        hasFailed.store(true, ordering: .relaxed)
        isOver.store(true, ordering: .relaxed)
    }

    func rethrow() throws {
        if let failure = failure.withLock({ $0 }) { throw failure }
    }

    func noteReceived(_ count: UInt64, byConsumer index: Int) {
        received[index].value.store(count, ordering: .relaxed)
    }

    /// Of the consumer that has received least.
    var leastReceived: UInt64 { received.map { $0.value.load(ordering: .relaxed) }.min() ?? 0 }

    var receivedCount: UInt64 { received.reduce(0) { $0 + $1.value.load(ordering: .relaxed) } }

    /// Sleeps through the measured time, and samples CPU time at both ends of it.
    func watch(_ schedule: Schedule) -> ProcessorUse {
        sleep(until: schedule.measured.lowerBound)
        var use = ProcessorUse(server: options.serverPID)
        sleep(until: schedule.measured.upperBound)
        use.end()
        return use
    }

    /// Returns at once when the run has failed.
    private func sleep(until nanoseconds: UInt64) {
        while !hasFailed.load(ordering: .relaxed) {
            let now = Instant.now.nanoseconds
            guard now < nanoseconds else { return }
            usleep(UInt32(min(50_000, (nanoseconds - now) / 1000 + 1)))
        }
    }

    /// Ends the consumers once `wanted` messages have come and it is quiet (more would be doubled
    /// ones), or when nothing has come for the grace time.
    func endConsumers(wanted: UInt64) {
        let grace = Schedule.nanoseconds(options.graceSeconds)
        var last = receivedCount
        var since = Instant.now.nanoseconds
        while !isOver.load(ordering: .relaxed) {
            usleep(5000)
            let count = receivedCount
            let now = Instant.now.nanoseconds
            if count != last {
                last = count
                since = now
            }
            let quiet = now - since
            if (count >= wanted && quiet > 200_000_000) || quiet > grace {
                isOver.store(true, ordering: .relaxed)
            }
        }
    }
}
