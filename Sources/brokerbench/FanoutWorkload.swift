import Base
import Glibc
import Synchronization

/// One producer, a topic, many subscribers: how many deliveries a second.
struct FanoutWorkload {
    private let options: Options

    init(_ options: Options) {
        var options = options
        options.producers = 1
        self.options = options
    }

    func run() throws -> Report {
        let run = try Run(options)
        let consumers = try (0..<options.consumers).map { try Consumer.start(run, index: $0) }
        try run.awaitArrivals()
        let producer = try FanoutProducer.start(run)
        try run.awaitArrivals()
        let use = run.watch(run.begin())
        let sent = try producer.join()
        run.endConsumers(wanted: sent * UInt64(options.consumers))
        let taken = try consumers.map { try $0.join() }
        try run.rethrow()
        return report(sent, taken, use)
    }

    private func report(_ sent: UInt64, _ taken: [Consumer.Outcome], _ use: ProcessorUse) -> Report {
        let onTheWay = taken.reduce(into: Histogram()) { $0.merge($1.measured) }
        let all = SequenceSet(upTo: sent)
        var verdict = Verdict()
        for outcome in taken { verdict.add(Verdict(confirmed: [all], seen: [outcome.seen])) }
        var report = Report(options)
        report.addRate(messages: onTheWay.count, seconds: options.seconds, size: options.size)
        report.add("deliver_us", onTheWay)
        report.add("sent", sent)
        report.add(verdict)
        verdict.lost = 0  // what is not stored may be lost
        report.complaint = verdict.complaint
        report.add(use)
        return report
    }
}

/// Sends to the topic, at most a window ahead of the slowest subscriber.
private struct FanoutProducer: ~Copyable {
    private let run: Run
    private let template: SendTemplate
    private var out = Buffer(capacity: 512 << 10)
    private var sent: UInt64 = 0
    /// Messages that the slowest subscriber will not get, as far as we can tell.
    private var forgiven: UInt64 = 0
    private var slowest: UInt64 = 0
    private var slowestMoved = Instant.now.nanoseconds
    private static let mostAtOnce: UInt64 = 512
    private static let patienceNanoseconds: UInt64 = 2_000_000_000

    private init(_ run: Run) {
        self.run = run
        template = SendTemplate(
            options: run.options, headers: run.sendHeaders, body: run.body.first(ofProducer: 0), receipts: false)
    }

    /// The value of the thread is how many it sent.
    static func start(_ run: Run) throws -> Worker<UInt64> {
        run.expectOne()
        return try Worker {
            var producer = FanoutProducer(run)
            do {
                let link = try connect(run)
                let schedule = run.awaitBegin()
                try producer.work(link, schedule)
            } catch {
                run.fail("producer", error)
            }
            return producer.sent
        }
    }

    private static func connect(_ run: Run) throws -> Link {
        defer { run.arrive() }
        do {
            return try Link(run.options)
        } catch {
            run.fail("producer", error)  // before the arrival, so that the run sees it
            throw error
        }
    }

    private mutating func work(_ link: Link, _ schedule: Schedule) throws {
        let enough = min(UInt64(run.options.batchSize), Self.mostAtOnce)
        while !run.hasFailed.load(ordering: .relaxed) {
            let now = Instant.now.nanoseconds
            guard now < schedule.measured.upperBound else { break }
            let free = freeCount(at: now)
            guard free >= enough else {
                usleep(20)
                continue
            }
            for _ in 0..<free {
                template.append(sequence: sent, nanoseconds: now, to: &out)
                sent += 1
                if out.count >= Link.writeBytes { try link.send(&out) }
            }
            try link.send(&out)
        }
        // A broker that sees a client go may drop what it has not read yet.
        if !run.hasFailed.load(ordering: .relaxed) { try link.disconnect() }
    }

    private mutating func freeCount(at now: UInt64) -> UInt64 {
        let received = run.leastReceived
        if received != slowest {
            slowest = received
            slowestMoved = now
        } else if now - slowestMoved > Self.patienceNanoseconds {
            forgiven = sent - min(received, sent)
            slowestMoved = now
        }
        let ahead = sent - min(received, sent)
        let most = UInt64(run.options.window) + forgiven
        return min(most - min(ahead, most), Self.mostAtOnce)
    }
}
