import Base
import Glibc

/// Consumers alone empty a queue: what was stored right before, what a file says that was, or whatever is there.
struct DrainWorkload {
    private let options: Options
    private let saved: SavedRun?

    private struct Filling {
        var confirmed: [SequenceSet] = []
        var rate = 0.0
        let run: Run
    }

    init(_ options: Options) throws {
        saved = try options.stateIn.map { path in try SavedRun(path: path) }
        var options = options
        if let saved {
            options.size = saved.size
            options.producers = saved.confirmed.count
        }
        self.options = options
    }

    func run() throws -> Report {
        let filling = try fill()
        let from = Instant.now.nanoseconds
        var use = ProcessorUse(server: options.serverPID)
        let run = Run(behind: filling.run, consumers: options.consumers)
        let consumers = try (0..<options.consumers).map { try Consumer.start(run, index: $0) }
        try run.awaitArrivals()
        _ = run.begin()
        let wanted = filling.confirmed.reduce(0) { $0 + $1.count }
        run.endConsumers(wanted: wanted > 0 ? wanted : .max)
        use.end()
        let taken = try consumers.map { try $0.join() }
        try run.rethrow()
        return report(filling, taken, from: from, use)
    }

    private func fill() throws -> Filling {
        if let saved { return Filling(confirmed: saved.confirmed, run: try Run(options, id: saved.id)) }
        let run = try Run(options)
        guard options.fills else { return Filling(run: run) }
        let producers = try (0..<options.producers).map { try Producer.start(run, index: $0) }
        try run.awaitArrivals()
        let schedule = run.begin()
        let made = try producers.map { try $0.join() }
        try run.rethrow()
        let last = made.map(\.lastConfirm).max() ?? 0
        let confirms = made.reduce(0) { $0 + $1.confirms }
        let seconds = Double(last > schedule.start ? last - schedule.start : 1) / 1e9
        usleep(500_000)  // what the broker does right behind a burst is no part of draining
        return Filling(confirmed: made.map(\.confirmed), rate: Double(confirms) / seconds, run: run)
    }

    private func report(_ filling: Filling, _ taken: [Consumer.Outcome], from: UInt64, _ use: ProcessorUse) -> Report {
        let last = taken.map(\.lastMessage).max() ?? 0
        let total = taken.reduce(0) { $0 + $1.total }
        let verdict = Verdict(confirmed: filling.confirmed, seen: taken.map(\.seen))
        var report = Report(options)
        report.addRate(messages: total, seconds: last > from ? Double(last - from) / 1e9 : 1e-9, size: options.size)
        report.add("fill_rate", filling.rate)
        report.add(verdict)
        // Whose messages they are nobody can say when none were stored.
        if !filling.confirmed.isEmpty { report.complaint = verdict.complaint }
        report.add(use)
        return report
    }
}
