import Base
import STOMP

/// Verbs that ask and wait for replies.
enum RequestVerbs {
    @Sendable static func request(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let asking = try Asking(call, console)
        let printer = MessagePrinter(call, console)
        guard let reply = try asking.next() else {
            throw CtlFailure(.timedOut, "No reply came within \(counted(asking.seconds, "second"))")
        }
        try printer.print(reply, number: 1)
        try asking.connection.disconnect(waiting: true)
        if let failure = Asking.failure(in: reply) { throw CtlFailure(.failed, "The service failed: \(failure)") }
    }

    /// Prints replies as they come.
    @Sendable static func gather(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let most = try call.number("--at-most", in: 1...UInt64.max) ?? 100
        var missing = Set(call.values("--from"))
        let namesSome = !missing.isEmpty
        let asking = try Asking(call, console)
        let printer = MessagePrinter(call, console)
        var got: UInt64 = 0
        while got < most, !(namesSome && missing.isEmpty), let reply = try asking.next() {
            got += 1
            try printer.print(reply, number: got)
            if let name = reply["replied-by"] { missing.remove(name) }
        }
        try asking.connection.disconnect(waiting: true)
        let limit = counted(asking.seconds, "second")
        if !missing.isEmpty {
            let names = missing.sorted().joined(separator: ", ")
            throw CtlFailure(
                .timedOut, "No answer from \(names) " + (got < most ? "within \(limit)" : "among the first \(most)"))
        }
        if got == 0 { throw CtlFailure(.timedOut, "Nobody answered within \(limit)") }
    }
}

/// A request that is on its way, in the headers that BrokerClient uses, and the replies to it.
private struct Asking {
    private static let channel = "/temp-queue/replies"
    /// The library's own, and ours.
    private static let reserved = ["reply-to", "correlation-id", "ttl", "expires", "expiration", "JMSExpiration"]

    let connection: StompConnection
    let seconds: UInt64
    private let correlationID: String
    private let deadline: Instant

    /// Connects, and sends it.
    init(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        seconds = try call.number("--timeout", in: 1...31_536_000) ?? 10
        var frame = try MessageVerbs.message(call, console, persistent: false)
        if let name = frame.headers.map(\.name).first(where: { Asking.reserved.contains($0) }) {
            throw call.usage("The header \(name) is written by brokerctl here")
        }
        connection = try MessageVerbs.connect(call, console)
        // Nobody else in the world has this one, so that a reply that strays finds nobody.
        correlationID =
            "brokerctl-" + String(UInt64.random(in: .min ... .max), radix: 36)
            + String(UInt64.random(in: .min ... .max), radix: 36)
        frame.headers += [
            .init("reply-to", Asking.channel), .init("correlation-id", correlationID),
            .init("ttl", String(seconds * 1000)),
        ]
        try connection.send(Frame(.subscribe, ["id": "replies", "destination": Asking.channel, "ack": "auto"]))
        try connection.send(frame)
        try connection.flush()
        deadline = Instant.now.adding(milliseconds: seconds * 1000)
    }

    /// Nil when the time is over.
    func next() throws(CtlFailure) -> Frame? {
        do throws(CtlFailure) {
            while true {
                let frame = try connection.receive(until: deadline)
                if frame.command == .message, frame["correlation-id"] == correlationID { return frame }
            }
        } catch {
            if error.kind == .timedOut { return nil }
            throw error
        }
    }

    /// What the service says that went wrong; nil if nothing did.
    static func failure(in reply: Frame) -> String? {
        guard let code = reply["error-code"] else { return nil }
        return reply.text.isEmpty ? code : "\(code): \(reply.text)"
    }
}
