import Base
import Synchronization

/// One message in flight: client A sends on ".ask", client B answers on ".answer". When stored, both
/// legs are confirmed by RECEIPT and acknowledged.
struct RoundTripWorkload {
    private let options: Options

    init(_ options: Options) {
        var options = options
        options.producers = 1
        options.consumers = 1
        self.options = options
    }

    func run() throws -> Report {
        let run = try Run(options)
        let echo = try start(run) { try Partner(run, sends: "answer", receives: "ask").echo() }
        let asker = try start(run) { try Partner(run, sends: "ask", receives: "answer").ask() }
        try run.awaitArrivals()
        let use = run.watch(run.begin())
        let times = try asker.join()
        run.isOver.store(true, ordering: .relaxed)
        _ = try echo.join()
        try run.rethrow()
        var report = Report(options)
        report.add("persistent", options.isStored)
        report.add("seconds", options.seconds)
        report.add("rate", Double(times.count) / options.seconds)
        report.add("rtt_us", times)
        report.add(use)
        return report
    }

    private func start(_ run: Run, _ body: @escaping @Sendable () throws -> Histogram) throws -> Worker<Histogram> {
        run.expectOne()
        return try Worker {
            do {
                return try body()
            } catch {
                run.fail("rtt", error)
                return Histogram()
            }
        }
    }
}

/// One of the two: sends on one connection, receives on another.
private struct Partner: ~Copyable {
    private let run: Run
    private let sender: Link
    private let receiver: Link
    private let template: SendTemplate
    private var out = Buffer()
    private var acks = Buffer()
    private static let patienceNanoseconds: UInt64 = 10_000_000_000

    init(_ run: Run, sends: String, receives: String) throws {
        let links = try Partner.openLinks(run, receives: receives)
        self.run = run
        sender = links.sender
        receiver = links.receiver
        template = SendTemplate(
            destination: "\(run.destination).\(sends)", options: run.options, headers: run.sendHeaders,
            body: run.body.first(ofProducer: 0),
            receipts: run.options.isStored)
    }

    private static func openLinks(_ run: Run, receives: String) throws -> (sender: Link, receiver: Link) {
        defer { run.arrive() }
        do {
            let receiver = try Link(run.options)
            try receiver.subscribe(
                to: ["\(run.destination).\(receives)"], ack: run.options.isStored ? "client-individual" : "auto",
                headers: run.subscribeHeaders.lines(at: 0))
            return (try Link(run.options), receiver)
        } catch {
            run.fail("rtt", error)  // before the arrival, so that the run sees it
            throw error
        }
    }

    /// Asks again and again until the measured time is over; returns the round-trip times.
    consuming func ask() throws -> Histogram {
        let schedule = run.awaitBegin()
        var times = Histogram()
        var sequence: UInt64 = 0
        while !run.isOver.load(ordering: .relaxed) {
            let sentAt = Instant.now.nanoseconds
            guard sentAt < schedule.measured.upperBound else { break }
            try send(sequence, sentAt)
            while try receive()?.sequence != sequence {
                let waited = Instant.now.nanoseconds - sentAt
                guard waited < Self.patienceNanoseconds else { throw Failure("no answer within 10 s") }
                if run.isOver.load(ordering: .relaxed) { return times }
            }
            try awaitConfirm()
            let now = Instant.now.nanoseconds
            try receiver.send(&acks)
            if schedule.measured.contains(now) { times.record(now - sentAt) }
            sequence += 1
        }
        return times
    }

    /// Answers whatever comes until the run is over.
    consuming func echo() throws -> Histogram {
        _ = run.awaitBegin()
        while !run.isOver.load(ordering: .relaxed) {
            if let stamp = try receive() {
                try send(stamp.sequence, stamp.nanoseconds)
                try awaitConfirm()
            }
            try receiver.send(&acks)
        }
        return Histogram()
    }

    private mutating func send(_ sequence: UInt64, _ nanoseconds: UInt64) throws {
        template.append(sequence: sequence, nanoseconds: nanoseconds, to: &out)
        try sender.send(&out)
    }

    private func awaitConfirm() throws {
        if run.options.isStored { try sender.waitFor(.receipt) }
    }

    /// The next message of this run; nil when none came within the read time-out.
    private mutating func receive() throws -> Stamp? {
        guard try receiver.receive() else { return nil }
        var got: Stamp?
        try receiver.takeFrames { frame in
            guard frame.kind == .message else { return }
            switch run.body.read(frame.body) {
            case .ours(let stamp): got = stamp
            case .damaged: throw Failure("a message came back changed")
            case .foreign: break
            }
            if run.options.isStored {
                acks.append("ACK\nid:")
                acks.append(frame.ack)
                acks.append("\n\n\0")
            }
        }
        return got
    }
}
