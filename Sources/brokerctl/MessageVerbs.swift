import Base
import DaemonKit
import Net
import STOMP

/// Verbs that speak STOMP.
enum MessageVerbs {
    /// Connects to the address given, or to the one that the broker names.
    static func connect(_ call: Invocation, _ console: Console) throws(CtlFailure) -> StompConnection {
        let given = call.value("--stomp")
        let text = if let given { given } else { try addressFromStatus(call, console) }
        let address = try SocketAddress.parsed(text)
        let host: String =
            switch address.place {
            case .ipv4(let host, _), .ipv6(let host, _), .name(let host, _): host
            case .any, .unix: "localhost"
            }
        return try StompConnection(to: address, host: host)
    }

    private static func addressFromStatus(_ call: Invocation, _ console: Console) throws(CtlFailure) -> String {
        let status = try AdminClient(call, console).ask(API.Status.self, "GET", "/v1/status")
        guard let stomp = status.addresses.first(where: { $0.service == "stomp" }) else {
            throw CtlFailure(.unreachable, "The broker names no STOMP address; say where it is with --stomp")
        }
        return stomp.address
    }

    static func headers(_ call: Invocation) throws(CtlFailure) -> [Frame.Header] {
        var headers: [Frame.Header] = []
        for text in call.values("--header") {
            guard let colon = text.firstIndex(of: ":"), colon != text.startIndex else {
                throw call.usage("--header wants NAME:VALUE")
            }
            headers.append(Frame.Header(String(text[..<colon]), String(text[text.index(after: colon)...]).trimmed))
        }
        return headers
    }

    // MARK: publish

    /// Frames between two that ask for a receipt, and how many such receipts may be owed.
    private static let framesPerReceipt: UInt64 = 500
    private static let receiptsOwed = 8

    @Sendable static func publish(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let count = try call.number("--count", in: 1...UInt64.max) ?? 1
        let waits = try choice(call, "--receipt", "--no-receipt")
        let frame = try message(call, console, persistent: try choice(call, "--persistent", "--no-persistent"))
        let connection = try connect(call, console)
        try send(frame, count, waits: waits, connection, console)
        try connection.disconnect(waiting: waits)
        console.endProgress()
        if call.wantsJSON {
            try console.print("{\"confirmed\":\(waits),\"messages\":\(count)}")
        } else {
            try console.print("\(counted(count, "message")) \(waits ? "confirmed" : "sent").")
        }
    }

    /// True for the first option or none, false for the second.
    private static func choice(_ call: Invocation, _ yes: String, _ no: String) throws(CtlFailure) -> Bool {
        if call.isGiven(yes), call.isGiven(no) { throw call.usage("Give \(yes) or \(no)") }
        return !call.isGiven(no)
    }

    /// The SEND that BODY, --file, --header and their like describe.
    static func message(_ call: Invocation, _ console: Console, persistent: Bool) throws(CtlFailure) -> Frame {
        var frame = Frame(.send, ["destination": call.argument(0), "persistent": persistent ? "true" : "false"])
        if let type = call.value("--content-type") { frame.headers.append(.init("content-type", type)) }
        if let reply = call.value("--reply-to") { frame.headers.append(.init("reply-to", reply)) }
        frame.headers += try headers(call)
        switch (call.arguments.count > 1, call.value("--file")) {
        case (true, nil): frame.body = Array(call.argument(1).utf8)
        case (true, _?): throw call.usage("Give BODY or --file")
        case (false, let file): frame.body = try console.read(file)
        }
        return frame
    }

    /// Every so many frames ask for a receipt, so that the broker is never far behind; the last one does too.
    private static func send(
        _ frame: Frame, _ count: UInt64, waits: Bool, _ connection: StompConnection, _ console: Console
    ) throws(CtlFailure) {
        var owed = Deque<UInt64>()
        for number in 1...count {
            guard waits, number == count || number.isMultiple(of: framesPerReceipt) else {
                try connection.send(frame)
                continue
            }
            var marked = frame
            marked.headers.append(.init("receipt", "\(number)"))
            try connection.send(marked)
            try connection.flush()
            owed.append(number)
            while let oldest = owed.first, number == count || owed.count > receiptsOwed {
                try confirm("\(oldest)", connection)
                owed.popFirst()
                if count > 1 { console.progress("\(oldest) of \(count) confirmed") }
            }
        }
        try connection.flush()
    }

    private static func confirm(_ receipt: String, _ connection: StompConnection) throws(CtlFailure) {
        while true {
            let frame = try connection.receive(until: StompConnection.deadline())
            if frame.command == .receipt, frame["receipt-id"] == receipt { return }
        }
    }

    // MARK: consume

    @Sendable static func consume(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let ack = call.value("--ack") ?? "client-individual"
        if call.isGiven("--command") {
            guard ack == "client-individual" else { throw call.usage("--command acknowledges each message by itself") }
            return try CommandVerbs.consume(call, console)
        }
        if let option = ["--concurrency", "--command-timeout"].first(where: { call.isGiven($0) }) {
            throw call.usage("\(option) is for --command")
        }
        try take(from: call.argument(0), ack: ack, try headers(call), call, console)
    }

    /// The same for topics, by their bare names, too.
    @Sendable static func subscribe(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let name = call.argument(0)
        var more = try headers(call)
        if let durable = call.value("--durable-name") {
            more += [.init("durable", "true"), .init("x-queue-name", durable)]
        }
        let topic = name.hasPrefix("/") ? name : "/topic/\(name)"
        try take(from: topic, ack: "client-individual", more, call, console)
    }

    private static func take(
        from destination: String, ack: String, _ more: [Frame.Header], _ call: Invocation, _ console: Console
    ) throws(CtlFailure) {
        let limits = try TakingLimits(call)
        let printer = MessagePrinter(call, console)
        let connection = try connect(call, console)
        try subscribe(to: destination, ack: ack, prefetch: min(limits.wanted, 100), more, connection)

        var got: UInt64 = 0
        while got < limits.wanted {
            guard let message = try next(connection, limits.seconds) else { break }
            got += 1
            try printer.print(message, number: got)
            if ack != "auto" { try connection.settle(.ack, message) }
        }
        try connection.send(Frame(.unsubscribe, ["id": "1", "destination": destination]))
        try connection.disconnect(waiting: true)
        try limits.check(got)
    }

    static func subscribe(
        to destination: String, ack: String, prefetch: UInt64, _ more: [Frame.Header], _ connection: StompConnection
    ) throws(CtlFailure) {
        var frame = Frame(
            .subscribe, ["id": "1", "destination": destination, "ack": ack, "receipt": "subscribe"])
        if !more.contains(where: { $0.name == "prefetch-count" }) {
            frame.headers.append(.init("prefetch-count", "\(prefetch)"))
        }
        frame.headers += more
        try connection.send(frame)
        try connection.flush()
    }

    /// Nil when none came in time.
    private static func next(_ connection: StompConnection, _ seconds: UInt64?) throws(CtlFailure) -> Frame? {
        let deadline = seconds.map { Instant.now.adding(milliseconds: $0 * 1000) } ?? Instant(nanoseconds: .max)
        do throws(CtlFailure) {
            while true {
                let frame = try connection.receive(until: deadline)
                if frame.command == .message { return frame }
            }
        } catch {
            if error.kind == .timedOut { return nil }
            throw error
        }
    }
}
