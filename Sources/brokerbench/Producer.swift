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
    private let template: SendTemplate

    /// Messages that are sent until something is over.
    private struct Stint {
        /// Of this producer, those before it too.
        var quota: UInt64
        var endsAt = UInt64.max
        var measured: Range<UInt64> = 0..<0
        var pace: Pace?
        /// Most that are sent and not received; nil: as many as like.
        var lead: UInt64?
    }

    private init(_ run: Run, index: Int) {
        self.run = run
        self.index = index
        flight = Flight(window: run.options.window)
        template = SendTemplate(
            options: run.options, headers: run.sendHeaders, body: run.body.first(ofProducer: index), receipts: true)
    }

    /// Starts the thread; it arrives when its backlog is stored, and sends more once the run begins.
    static func start(_ run: Run, index: Int) throws -> Worker<Outcome> {
        run.expectOne()
        return try Worker {
            var producer = Producer(run, index: index)
            do {
                let link = try producer.prepare()
                let schedule = run.awaitBegin()
                if !run.hasFailed.load(ordering: .relaxed) { try producer.work(link, schedule) }
            } catch {
                run.fail("producer \(index)", error)
            }
            return producer.outcome
        }
    }

    private mutating func prepare() throws -> Link {
        defer { run.arrive() }
        do {
            let link = try Link(run.options)
            let backlog = run.options.backlog(ofProducer: index)
            if backlog > 0 {
                try work(link, Stint(quota: backlog))
                guard flight.open == 0 || run.hasFailed.load(ordering: .relaxed) else {
                    throw Failure("\(flight.open) messages of the backlog were not confirmed")
                }
            }
            return link
        } catch {
            run.fail("producer", error)  // before the arrival, so that the run sees it
            throw error
        }
    }

    private mutating func work(_ link: Link, _ schedule: Schedule) throws {
        let options = run.options
        let backlog = options.backlog(ofProducer: index)
        var stint = Stint(quota: options.quota(ofProducer: index))
        stint.quota = backlog + min(stint.quota, .max - backlog)
        stint.endsAt = schedule.measured.upperBound
        stint.measured = schedule.measured
        stint.pace = Pace(options, start: schedule.start, first: backlog)
        if options.backlog > 0 { stint.lead = backlog + UInt64(options.window) }
        try work(link, stint)
    }

    private mutating func work(_ link: Link, _ stint: Stint) throws {
        let options = run.options
        var giveUpAt = UInt64.max
        while true {
            let now = Instant.now.nanoseconds
            let sendingIsOver =
                now >= stint.endsAt || outcome.sent >= stint.quota || run.hasFailed.load(ordering: .relaxed)
            if sendingIsOver {
                if flight.open == 0 || now > giveUpAt { return }
                if giveUpAt == .max { giveUpAt = now + Schedule.nanoseconds(options.graceSeconds) }
            } else if isAhead(stint) {
                if flight.open == 0 {
                    _ = link.waitReadable(nanoseconds: 200_000)
                    continue
                }
            } else {
                try sendWhatIsFree(link, stint, now)
            }
            if !sendingIsOver, let pace = stint.pace, outcome.sent < stint.quota {
                let due = pace.due(outcome.sent)
                let current = Instant.now.nanoseconds
                if flight.open < options.window, !link.waitReadable(nanoseconds: due > current ? due - current : 0) {
                    continue
                }
            }
            if try link.receive() { try takeReceipts(link, stint.measured) }
        }
    }

    private func isAhead(_ stint: Stint) -> Bool {
        guard let lead = stint.lead else { return false }
        return outcome.sent >= lead + run.receivedCount / UInt64(run.options.producers)
    }

    private mutating func sendWhatIsFree(_ link: Link, _ stint: Stint, _ now: UInt64) throws {
        let pace = stint.pace
        let left = stint.quota - outcome.sent
        var free = min(UInt64(run.options.window - flight.open), left)
        if let pace {
            let due = pace.dueCount(at: now)
            free = min(free, due - min(outcome.sent, due))
        }
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

    private mutating func takeReceipts(_ link: Link, _ measured: Range<UInt64>) throws {
        let now = Instant.now.nanoseconds
        let isMeasured = measured.contains(now)
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
    private let first: UInt64
    private let gap: Double

    /// Message number `first` is due at `start`. Nil without --rate.
    init?(_ options: Options, start: UInt64, first: UInt64 = 0) {
        guard options.rate > 0 else { return nil }
        self.start = start
        self.first = first
        gap = 1e9 * Double(options.producers) / options.rate
    }

    func due(_ sequence: UInt64) -> UInt64 { start + UInt64(Double(sequence - min(first, sequence)) * gap) }

    /// How many are due by now in all, those before `first` too.
    func dueCount(at now: UInt64) -> UInt64 { first + (now < start ? 0 : UInt64(Double(now - start) / gap) + 1) }
}
