import STOMP

/// Verbs whose messages are worked on by a command.
enum CommandVerbs {
    /// Errors: `usage`, and `failed` if the system has no room for it.
    static func crew(_ call: Invocation, keepsOutput: Bool) throws(CtlFailure) -> (crew: Crew, concurrency: Int) {
        guard let text = call.value("--command"), !text.isEmpty else { throw call.usage("--command must not be empty") }
        let concurrency = try call.number("--concurrency", in: 1...1000) ?? 1
        let seconds = try call.number("--command-timeout", in: 1...86_400) ?? 30
        let crew = try Crew(ShellCommand(text: text, seconds: seconds, keepsOutput: keepsOutput))
        return (crew, Int(concurrency))
    }

    /// A message is acknowledged when its command has succeeded, and else given back.
    static func consume(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let limits = try TakingLimits(call)
        if call.isGiven("--body-only") || call.wantsJSON {
            throw call.usage("With --command nothing is printed but what the command prints")
        }
        let more = try MessageVerbs.headers(call)
        let (crew, concurrency) = try crew(call, keepsOutput: false)
        let watch = console.whenInterrupted { crew.interrupt() }
        defer { withExtendedLifetime(watch) {} }
        let connection = try MessageVerbs.connect(call, console)
        // What is not in hand here is better off with another consumer.
        try MessageVerbs.subscribe(
            to: call.argument(0), ack: "client-individual", prefetch: min(limits.wanted, UInt64(concurrency)), more,
            connection)
        let bench = Workbench(
            connection: connection, crew: crew, concurrency: concurrency, wanted: limits.wanted,
            idleSeconds: limits.seconds)
        var failures: UInt64 = 0
        let taken = try bench.run { _ in
        } ended: { result throws(CtlFailure) in
            if let complaint = result.ending.complaint {
                failures += 1
                console.complain("brokerctl: \(harmless(result.message["message-id"] ?? "")): \(complaint)")
            }
            try connection.settle(result.ending == .succeeded ? .ack : .nack, result.message)
        }
        try connection.send(Frame(.unsubscribe, ["id": "1", "destination": call.argument(0)]))
        try connection.disconnect(waiting: true)
        if failures > 0 {
            throw CtlFailure(.failed, "\(counted(failures, "message")) of \(taken) went back to the broker")
        }
        if !crew.isInterrupted { try limits.check(taken) }
    }
}
