import Base
import Synchronization

/// Takes messages and acknowledges each by itself, but not those of topics.
struct Consumer: ~Copyable {
    struct Outcome: Sendable {
        var seen: Seen
        var total: UInt64 = 0
        /// Received within the measured time, and how long they were on the way.
        var measured = Histogram()
        var firstMessage: UInt64 = 0
        var lastMessage: UInt64 = 0
        /// What was refused, for each producer.
        var refused: [SequenceSet]

        init(_ run: Run) {
            let options = run.options
            seen = Seen(producers: options.producers, kinds: run.sendHeaders.count, isOrdered: !options.isAnyOrder)
            refused = Array(repeating: SequenceSet(), count: options.producers)
        }
    }

    private let run: Run
    private let index: Int
    // Of the options: to copy all of them for each message was a fifth of what it cost us.
    private let acknowledges: Bool
    private let refusesEvery: UInt64
    private var outcome: Outcome
    private var acks = Buffer(capacity: 256 << 10)

    private init(_ run: Run, index: Int) {
        self.run = run
        self.index = index
        acknowledges = run.options.acknowledges
        refusesEvery = run.options.refusesEvery
        outcome = Outcome(run)
    }

    /// Starts the thread; it arrives when subscribed and takes messages until the run is over.
    static func start(_ run: Run, index: Int) throws -> Worker<Outcome> {
        run.expectOne()
        return try Worker {
            var consumer = Consumer(run, index: index)
            do {
                let link = try openLink(run, index)
                let schedule = run.awaitBegin()
                try consumer.work(link, schedule)
            } catch {
                run.fail("consumer \(index)", error)
            }
            return consumer.outcome
        }
    }

    private static func openLink(_ run: Run, _ index: Int) throws -> Link {
        defer { run.arrive() }
        do {
            let link = try Link(run.options)
            try link.subscribe(
                to: run.destinations(ofConsumer: index), ack: run.options.acknowledges ? "client-individual" : "auto",
                headers: run.subscribeHeaders.lines(at: index), isConfirmed: !run.hasBacklog)
            return link
        } catch {
            run.fail("consumer", error)  // before the arrival, so that the run sees it
            throw error
        }
    }

    private mutating func work(_ link: Link, _ schedule: Schedule) throws {
        var isFresh = true  // messages may have come right behind the RECEIPT of SUBSCRIBE
        while !run.isOver.load(ordering: .relaxed) {
            guard try isFresh || link.receive() else { continue }
            isFresh = false
            try take(link, schedule)
            try link.send(&acks)
            run.noteReceived(outcome.total - outcome.seen.duplicates, byConsumer: index)
        }
        if !run.hasFailed.load(ordering: .relaxed) { try link.disconnect() }
    }

    private mutating func take(_ link: Link, _ schedule: Schedule) throws {
        let now = Instant.now.nanoseconds
        let isMeasured = schedule.measured.contains(now)
        try link.takeFrames { frame in
            guard frame.kind == .message else { return }
            guard let stamp = outcome.note(frame.body, run, at: now, isMeasured: isMeasured) else {
                return answer(frame, refuses: false)
            }
            let refuses =
                refusesEvery > 0 && outcome.total % refusesEvery == 0 && stamp.producer < outcome.refused.count
            if refuses { _ = outcome.refused[Int(stamp.producer)].insert(stamp.sequence) }
            answer(frame, refuses: refuses)
        }
    }

    private mutating func answer(_ frame: ServerFrame, refuses: Bool) {
        guard acknowledges else { return }
        acks.append(refuses ? "NACK\nrequeue:false\nid:" : "ACK\nid:")
        acks.append(frame.ack)
        acks.append("\n\n\0")
    }
}

extension Consumer.Outcome {
    /// The broker's times are milliseconds, and its clock may run a little beside ours.
    private static let earlyNanoseconds: UInt64 = 2_000_000

    /// Counts a message. Nil: it is none of the run.
    @discardableResult
    mutating func note(_ body: UnsafeRawBufferPointer, _ run: Run, at now: UInt64, isMeasured: Bool) -> Stamp? {
        let reading = run.body.read(body)
        seen.note(reading)
        total += 1
        if firstMessage == 0 { firstMessage = now }
        lastMessage = now
        guard case .ours(let stamp) = reading else { return nil }
        let due = run.due(stamp) ?? 0
        if now + Self.earlyNanoseconds < due { seen.early += 1 }
        let from = max(due, stamp.nanoseconds)
        if isMeasured { measured.record(now > from ? now - from : 0) }
        return stamp
    }
}
