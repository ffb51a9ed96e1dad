import Base
import Synchronization

/// When each unconfirmed message was sent, oldest first; 0 once it is confirmed.
struct Flight {
    private var times: [UInt64]
    private var base: UInt64 = 0
    private(set) var next: UInt64 = 0
    private(set) var open = 0

    init(window: Int) {
        var capacity = 1024
        while capacity < window { capacity *= 2 }
        times = Array(repeating: 0, count: capacity)
    }

    /// Takes the next sequence number.
    mutating func add(sentAt nanoseconds: UInt64) {
        if next - base == UInt64(times.count) { grow() }
        times[slot(next)] = max(nanoseconds, 1)
        next += 1
        open += 1
    }

    /// When it was sent; nil when it was never sent or is confirmed already.
    mutating func confirm(_ sequence: UInt64) -> UInt64? {
        guard sequence >= base, sequence < next else { return nil }
        let sent = times[slot(sequence)]
        guard sent > 0 else { return nil }
        times[slot(sequence)] = 0
        open -= 1
        while base < next, times[slot(base)] == 0 { base += 1 }
        return sent
    }

    private func slot(_ sequence: UInt64) -> Int { Int(sequence & UInt64(times.count - 1)) }

    /// One old message stays unconfirmed while many newer ones are: keep them all.
    private mutating func grow() {
        let old = self
        times = Array(repeating: 0, count: old.times.count * 2)
        for sequence in base..<next { times[slot(sequence)] = old.times[old.slot(sequence)] }
    }
}

/// Sends messages, at most a window of them unconfirmed.
struct Producer: ~Copyable {
    struct Outcome: Sendable {
        var confirmed = SequenceSet()
        var confirms: UInt64 = 0
        var sent: UInt64 = 0
        /// Confirmed within the measured time, and how long that took.
        var measured = Histogram()
        var lastConfirm: UInt64 = 0
    }

    private let run: Run
    private let index: Int
    private var outcome = Outcome()
    private var flight: Flight
    private var out = Buffer(capacity: 512 << 10)

    private init(_ run: Run, index: Int) {
        self.run = run
        self.index = index
        flight = Flight(window: run.options.window)
    }

    /// Starts the thread; it arrives when logged in and sends once the run begins.
    static func start(_ run: Run, index: Int) throws -> Worker<Outcome> {
        run.expectOne()
        return try Worker {
            var producer = Producer(run, index: index)
            do {
                let link = try openLink(run)
                let schedule = run.awaitBegin()
                if !run.hasFailed.load(ordering: .relaxed) { try producer.work(link, schedule) }
            } catch {
                run.fail("producer \(index)", error)
            }
            return producer.outcome
        }
    }

    private static func openLink(_ run: Run) throws -> Link {
        defer { run.arrive() }
        do {
            return try Link(run.options)
        } catch {
            run.fail("producer", error)  // before the arrival, so that the run sees it
            throw error
        }
    }

    private mutating func work(_ link: Link, _ schedule: Schedule) throws {
        let options = run.options
        let template = SendTemplate(
            destination: run.destination, options: options, body: run.body.first(ofProducer: index), receipts: true)
        let quota = options.quota(ofProducer: index)
        let pace = Pace(options, start: schedule.start)
        var giveUpAt = UInt64.max
        while true {
            let now = Instant.now.nanoseconds
            let sendingIsOver =
                now >= schedule.measured.upperBound || outcome.sent >= quota || run.hasFailed.load(ordering: .relaxed)
            if sendingIsOver {
                if flight.open == 0 || now > giveUpAt { return }
                if giveUpAt == .max { giveUpAt = now + Schedule.nanoseconds(options.graceSeconds) }
            } else {
                try sendWhatIsFree(link, template, quota, pace, now)
            }
            if !sendingIsOver, let pace, outcome.sent < quota {
                let due = pace.due(outcome.sent)
                let current = Instant.now.nanoseconds
                if flight.open < options.window, !link.waitReadable(nanoseconds: due > current ? due - current : 0) {
                    continue
                }
            }
            if try link.receive() { try takeReceipts(link, schedule) }
        }
    }

    private mutating func sendWhatIsFree(
        _ link: Link, _ template: SendTemplate, _ quota: UInt64, _ pace: Pace?, _ now: UInt64
    ) throws {
        let left = quota - outcome.sent
        var free = min(UInt64(run.options.window - flight.open), left)
        if let pace { free = min(free, pace.dueCount(at: now) - min(outcome.sent, pace.dueCount(at: now))) }
        let enough = pace != nil ? 1 : UInt64(run.options.batchSize)
        guard free > 0, free >= enough || flight.open == 0 || free == left else { return }
        var time = now
        for count in 0..<free {
            if count & 31 == 31 { time = Instant.now.nanoseconds }  // the clock is read once for 32 messages
            let at = pace?.due(outcome.sent) ?? time
            template.append(sequence: outcome.sent, nanoseconds: at, to: &out)
            flight.add(sentAt: at)
            outcome.sent += 1
            if out.count >= Link.writeBytes { try link.send(&out) }
        }
        try link.send(&out)
    }

    private mutating func takeReceipts(_ link: Link, _ schedule: Schedule) throws {
        let now = Instant.now.nanoseconds
        let isMeasured = schedule.measured.contains(now)
        try link.takeFrames { frame in
            guard frame.kind == .receipt, let sequence = frame.receiptID.decimal,
                let sent = flight.confirm(sequence)
            else { return }
            _ = outcome.confirmed.insert(sequence)
            outcome.confirms += 1
            outcome.lastConfirm = now
            if isMeasured { outcome.measured.record(now > sent ? now - sent : 0) }
        }
    }
}

/// Fixed times for the messages of one producer: message n is due n gaps behind the start, however
/// late the one before was. So a broker that stalls cannot hide it (coordinated omission).
struct Pace {
    private let start: UInt64
    private let gap: Double

    /// Nil without --rate.
    init?(_ options: Options, start: UInt64) {
        guard options.rate > 0 else { return nil }
        self.start = start
        gap = 1e9 * Double(options.producers) / options.rate
    }

    func due(_ sequence: UInt64) -> UInt64 { start + UInt64(Double(sequence) * gap) }

    /// How many are due by now in all.
    func dueCount(at now: UInt64) -> UInt64 { now < start ? 0 : UInt64(Double(now - start) / gap) + 1 }
}
