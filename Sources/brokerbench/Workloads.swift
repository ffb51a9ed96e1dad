import Base

/// Producers only: how many messages a second the broker confirms.
struct PublishWorkload {
    private let options: Options

    init(_ options: Options) { self.options = options }

    func run() throws -> Report {
        let run = Run(options)
        let producers = try (0..<options.producers).map { try Producer.start(run, index: $0) }
        try run.awaitArrivals()
        let schedule = run.begin()
        let (made, use) = try watchProducers(run, producers, schedule)
        try run.rethrow()
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
        report.add(use)
        if confirms < sent { report.complaint = "messages: \(sent - confirms) not confirmed" }
        return report
    }
}

/// Producers and consumers on one queue: how many messages a second come through and are acknowledged.
struct EndToEndWorkload {
    private let options: Options

    init(_ options: Options) { self.options = options }

    func run() throws -> Report {
        let run = Run(options)
        let consumers = try (0..<options.consumers).map { try Consumer.start(run, index: $0) }
        try run.awaitArrivals()
        let producers = try (0..<options.producers).map { try Producer.start(run, index: $0) }
        try run.awaitArrivals()
        let schedule = run.begin()
        let (made, use) = try watchProducers(run, producers, schedule)
        let confirmed = made.reduce(0) { $0 + $1.confirms }
        let already = run.receivedCount
        run.endConsumers(wanted: confirmed)
        let taken = try consumers.map { try $0.join() }
        try run.rethrow()
        return report(schedule, made, taken, use, backlog: confirmed > already ? confirmed - already : 0)
    }

    private func report(
        _ schedule: Schedule, _ made: [Producer.Outcome], _ taken: [Consumer.Outcome], _ use: ProcessorUse,
        backlog: UInt64
    ) -> Report {
        let seconds = measuredSeconds(options, schedule, last: taken.map(\.lastMessage).max() ?? 0)
        let onTheWay = taken.reduce(into: Histogram()) { $0.merge($1.measured) }
        let confirm = made.reduce(into: Histogram()) { $0.merge($1.measured) }
        let verdict = Verdict(confirmed: made.map(\.confirmed), seen: taken.map(\.seen))
        var report = Report(options)
        report.addRate(messages: onTheWay.count, seconds: seconds, size: options.size)
        report.add("confirmed_rate", Double(confirm.count) / seconds)
        report.add("e2e_us", onTheWay)
        report.add("confirm_us", confirm)
        report.add("backlog_at_stop", backlog)
        report.add(verdict)
        report.add(use)
        report.complaint = verdict.complaint
        return report
    }
}

/// The producers' outcomes, and the CPU time of the measured part.
private func watchProducers(
    _ run: Run, _ producers: [Worker<Producer.Outcome>], _ schedule: Schedule
) throws -> ([Producer.Outcome], ProcessorUse) {
    if run.options.messages == 0 {
        let use = run.watch(schedule)
        return (try producers.map { try $0.join() }, use)
    }
    var use = ProcessorUse(server: run.options.serverPID)
    let made = try producers.map { try $0.join() }
    use.end()
    return (made, use)
}

/// With --messages: from the start to the last one.
private func measuredSeconds(_ options: Options, _ schedule: Schedule, last: UInt64) -> Double {
    guard options.messages > 0 else { return options.seconds }
    return last > schedule.start ? Double(last - schedule.start) / 1e9 : 1e-9
}
