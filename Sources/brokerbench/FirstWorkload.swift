import Base
import Glibc

/// How long it takes, from now on, until the broker lets us in, and until a message that waits in it has come.
struct FirstWorkload {
    private let options: Options
    private static let pauseMicroseconds: UInt32 = 1000

    init(_ options: Options) { self.options = options }

    func run() throws -> Report {
        let start = Instant.now.nanoseconds
        var accepted: UInt64?
        var came: UInt64?
        try retry(until: start + Schedule.nanoseconds(options.seconds)) { until in
            let link = try Link(options)
            accepted = accepted ?? Instant.now.nanoseconds
            guard options.consumers > 0 else { return }
            try awaitMessage(on: link, until: until)
            came = Instant.now.nanoseconds
        }
        var report = Report(options)
        if let accepted { report.add("accepts_ms", Double(accepted - start) / 1e6) }
        if let came { report.add("first_message_ms", Double(came - start) / 1e6) }
        if options.serverPID > 0 {
            report.add("server_rss_mib", ProcessorUse.residentMiB(of: options.serverPID))
        }
        return report
    }

    /// A broker that is starting may also let us in and close, or answer ERROR.
    private func retry(until: UInt64, _ attempt: (UInt64) throws -> Void) throws {
        while true {
            do {
                return try attempt(until)
            } catch let failure as Failure {
                guard Instant.now.nanoseconds < until else {
                    throw Failure("not within \(options.seconds) s: \(failure.line)")
                }
                usleep(Self.pauseMicroseconds)
            }
        }
    }

    private func awaitMessage(on link: Link, until: UInt64) throws {
        let destination = options.destination ?? ""
        try link.subscribe(
            to: [destination], ack: "client-individual", headers: options.subscribeHeaders, isConfirmed: false)
        var hasCome = false
        while true {
            try link.takeFrames { hasCome = hasCome || $0.kind == .message }
            if hasCome { return }
            guard Instant.now.nanoseconds < until else { throw Failure("no message") }
            _ = try link.receive()
        }
    }
}
