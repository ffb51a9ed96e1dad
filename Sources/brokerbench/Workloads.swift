import Base
import Synchronization

/// Producers only: how many messages a second the broker confirms.
struct PublishWorkload {
    private let options: Options

    init(_ options: Options) { self.options = options }

    func run() throws -> Report {
        let run = try Run(options)
        let producers = try (0..<options.producers).map { try startProducer(run, $0) }
        try run.awaitArrivals()
        let schedule = run.begin()
        let (made, use) = try watchProducers(run, producers, schedule)
        if let path = options.stateOut {
            let saved = SavedRun(id: run.body.run, size: options.size, confirmed: made.map(\.confirmed))
            try saved.write(to: path)
        } else {
            try run.rethrow()
        }
        let last = made.map(\.lastConfirm).max() ?? 0
        let seconds = measuredSeconds(options, schedule, last: last)
        let confirm = made.reduce(into: Histogram()) { $0.merge($1.measured) }
        let sent = made.reduce(0) { $0 + $1.sent }
        let confirms = made.reduce(0) { $0 + $1.confirms }
        var report = Report(options)
        report.addRate(messages: confirm.count, seconds: seconds, size: options.size)
        report.add("confirm_us", confirm)
        report.add("sent", sent)
        report.add("confirmed", confirms)
        if options.stateOut != nil { report.add("broken", run.hasFailed.load(ordering: .relaxed)) }
        report.add(use)
        if confirms < sent, options.stateOut == nil { report.complaint = "messages: \(sent - confirms) not confirmed" }
        return report
    }
}

/// Producers and consumers on one queue: how many messages a second come through and are acknowledged.
struct EndToEndWorkload {
    private let options: Options

    /// What happened beside the producers and consumers.
    private struct Course {
        var backlogSeconds = 0.0
        var backlogPeakMiB: Double?
        /// When the first consumer was about to connect.
        var consumersFrom: UInt64 = 0
        var schedule = Schedule()
        var leftAtStop: UInt64 = 0
        var dead: Verdict?
    }

    init(_ options: Options) { self.options = options }

    func run() throws -> Report {
        let run = try Run(options)
        var course = Course()
        // A backlog is stored before the consumers come; without one they are there from the start.
        var producers: [Worker<Producer.Outcome>] = []
        if options.backlog > 0 {
            let from = Instant.now.nanoseconds
            producers = try startProducers(run)
            course.backlogSeconds = Double(Instant.now.nanoseconds - from) / 1e9
            course.backlogPeakMiB = ProcessorUse.peakMiB(of: options.serverPID)
            ProcessorUse.forgetPeak(of: options.serverPID)
        }
        course.consumersFrom = Instant.now.nanoseconds
        let consumers = try (0..<options.consumers).map { try startConsumer(run, $0) }
        try run.awaitArrivals()
        if options.backlog == 0 { producers = try startProducers(run) }
        course.schedule = run.begin()
        var (made, use) = try watchProducers(run, producers, course.schedule)
        let confirmed = made.reduce(0) { $0 + $1.confirms }
        let already = run.receivedCount
        course.leftAtStop = confirmed > already ? confirmed - already : 0
        run.endConsumers(wanted: confirmed)
        if options.drains { use.end() }
        let taken = try consumers.map { try $0.join() }
        try run.rethrow()
        if options.refusesEvery > 0 { course.dead = try consumeDead(run, taken) }
        return report(run, course, made, taken, use)
    }

    private func startProducers(_ run: Run) throws -> [Worker<Producer.Outcome>] {
        let producers = try (0..<options.producers).map { try startProducer(run, $0) }
        try run.awaitArrivals()
        return producers
    }

    /// Empties the dead-letter queue; `confirmed` of the verdict is what was refused.
    private func consumeDead(_ run: Run, _ taken: [Consumer.Outcome]) throws -> Verdict {
        let dead = options.deadDestination ?? run.destination + ".dlq"
        let deadRun = Run(behind: run, destination: dead)
        let consumer = try Consumer.start(deadRun, index: 0)
        try deadRun.awaitArrivals()
        _ = deadRun.begin()
        var refused = Array(repeating: SequenceSet(), count: options.producers)
        for outcome in taken {
            for index in refused.indices { _ = refused[index].formUnion(outcome.refused[index]) }
        }
        deadRun.endConsumers(wanted: refused.reduce(0) { $0 + $1.count })
        let seen = try consumer.join().seen
        try deadRun.rethrow()
        return Verdict(confirmed: refused, seen: [seen])
    }

    private func report(
        _ run: Run, _ course: Course, _ made: [Producer.Outcome], _ taken: [Consumer.Outcome], _ use: ProcessorUse
    ) -> Report {
        let last = taken.map(\.lastMessage).max() ?? 0
        let first = taken.map(\.firstMessage).filter { $0 > 0 }.min() ?? 0
        var schedule = course.schedule
        if options.drains { schedule.start = max(schedule.start, run.firstFixedTime) }
        let seconds = measuredSeconds(options, schedule, last: last)
        let onTheWay = taken.reduce(into: Histogram()) { $0.merge($1.measured) }
        let confirm = made.reduce(into: Histogram()) { $0.merge($1.measured) }
        let verdict = Verdict(confirmed: made.map(\.confirmed), seen: taken.map(\.seen))
        var report = Report(options)
        if options.backlog > 0 {
            report.add("backlog", options.backlog)
            report.add("backlog_rate", Double(options.backlog) / max(course.backlogSeconds, 1e-9))
            if let peak = course.backlogPeakMiB { report.add("backlog_peak_mib", peak) }
        }
        report.addRate(messages: onTheWay.count, seconds: seconds, size: options.size)
        report.add("confirmed_rate", Double(confirm.count) / seconds)
        report.add("first_message_ms", first > course.consumersFrom ? Double(first - course.consumersFrom) / 1e6 : 0)
        let ago = Instant.now.milliseconds(since: Instant(nanoseconds: first))
        report.add("first_message_at", first > 0 ? wallClockMilliseconds() &- ago : 0)
        report.add("e2e_us", onTheWay)
        report.add("confirm_us", confirm)
        report.add("backlog_at_stop", course.leftAtStop)
        report.add(verdict)
        report.complaint = verdict.complaint
        if let dead = course.dead { report.add(dead: dead) }
        report.add(use)
        if let peak = ProcessorUse.peakMiB(of: options.serverPID) { report.add("server_peak_mib", peak) }
        return report
    }
}

private func startProducer(_ run: Run, _ index: Int) throws -> Worker<Producer.Outcome> {
    switch run.options.client {
    case .wire: try Producer.start(run, index: index)
    case .brokerClient, .brokerClientOneByOne: try LibraryProducer.start(run, index: index)
    }
}

private func startConsumer(_ run: Run, _ index: Int) throws -> Worker<Consumer.Outcome> {
    switch run.options.client {
    case .wire: try Consumer.start(run, index: index)
    case .brokerClient, .brokerClientOneByOne: try LibraryConsumer.start(run, index: index)
    }
}

/// The producers' outcomes, and the CPU time of the measured part.
private func watchProducers(
    _ run: Run, _ producers: [Worker<Producer.Outcome>], _ schedule: Schedule
) throws -> ([Producer.Outcome], ProcessorUse) {
    if !run.options.goesByCount {
        let use = run.watch(schedule)
        return (try producers.map { try $0.join() }, use)
    }
    var use = ProcessorUse(server: run.options.serverPID)
    let made = try producers.map { try $0.join() }
    use.end()
    return (made, use)
}

/// With --messages or --drain: from the start to the last one.
private func measuredSeconds(_ options: Options, _ schedule: Schedule, last: UInt64) -> Double {
    guard options.goesByCount else { return options.seconds }
    return last > schedule.start ? Double(last - schedule.start) / 1e9 : 1e-9
}
