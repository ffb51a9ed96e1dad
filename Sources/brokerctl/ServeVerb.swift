import BrokerClient
import STOMP

/// The verb that answers requests, as a service made with BrokerClient does.
final class ServeVerb {
    private enum Answering {
        case text([UInt8])
        case echo
        case command(Crew)
    }

    private struct Answer {
        var body: [UInt8]
        var contentType: String?
        var errorCode: String?
    }

    private let answering: Answering
    private let name: String?
    private let contentType: String?
    private let console: Console
    private let connection: StompConnection
    private var answered: UInt64 = 0
    private var failed: UInt64 = 0
    private var unanswered: UInt64 = 0

    @Sendable static func run(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let ways = ["--reply", "--echo", "--command"].filter { call.isGiven($0) }
        guard ways.count == 1 else { throw call.usage("Give one of --reply, --echo and --command") }
        let wanted = try call.number("--count", in: 1...UInt64.max) ?? .max
        let more = try MessageVerbs.headers(call)
        var crew: Crew?
        var concurrency = 1
        var answering = Answering.echo
        if call.isGiven("--command") {
            let (made, number) = try CommandVerbs.crew(call, keepsOutput: true)
            (crew, concurrency, answering) = (made, number, .command(made))
        } else if let option = ["--concurrency", "--command-timeout"].first(where: { call.isGiven($0) }) {
            throw call.usage("\(option) is for --command")
        } else if let text = call.value("--reply") {
            answering = .text(Array(text.utf8))
        }
        let watch = crew.flatMap { crew in console.whenInterrupted { crew.interrupt() } }
        defer { withExtendedLifetime(watch) {} }
        let service = ServeVerb(answering, call, console, try MessageVerbs.connect(call, console))
        try service.serve(call.argument(0), more, crew, concurrency, wanted)
        if call.wantsJSON {
            try console.print(
                "{\"answered\":\(service.answered),\"failed\":\(service.failed),\"unanswered\":\(service.unanswered)}")
        } else {
            try console.print(
                "\(counted(service.answered, "request")) answered, \(service.failed) of them with an error; "
                    + "\(service.unanswered) had nowhere to be answered to.")
        }
    }

    private init(_ answering: Answering, _ call: Invocation, _ console: Console, _ connection: StompConnection) {
        self.answering = answering
        self.console = console
        self.connection = connection
        name = call.value("--name")
        contentType = call.value("--content-type")
    }

    private func serve(
        _ destination: String, _ more: [Frame.Header], _ crew: Crew?, _ concurrency: Int, _ wanted: UInt64
    ) throws(CtlFailure) {
        // No request is held that another service could work on now.
        try MessageVerbs.subscribe(
            to: destination, ack: "client-individual", prefetch: min(wanted, UInt64(concurrency)), more, connection)
        let bench = Workbench(
            connection: connection, crew: crew, concurrency: concurrency, wanted: wanted, idleSeconds: nil)
        _ = try bench.run { request throws(CtlFailure) in
            try self.reply(self.answer(request), to: request)
        } ended: { result throws(CtlFailure) in
            // Somebody else is to answer.
            if result.ending == .interrupted { return try self.connection.settle(.nack, result.message) }
            try self.reply(self.answer(result), to: result.message)
        }
        try connection.send(Frame(.unsubscribe, ["id": "1", "destination": destination]))
        try connection.disconnect(waiting: true)
    }

    // MARK: Answers

    private func answer(_ request: Frame) -> Answer {
        if case .text(let text) = answering {
            return Answer(body: text, contentType: contentType ?? "text/plain;charset=utf-8")
        }
        return Answer(body: request.body, contentType: contentType ?? request["content-type"])
    }

    private func answer(_ result: Crew.Result) -> Answer {
        guard let complaint = result.ending.complaint else {
            return Answer(body: result.output, contentType: contentType)
        }
        console.complain("brokerctl: \(harmless(result.message["message-id"] ?? "")): \(complaint)")
        return Answer(
            body: Array(complaint.utf8), contentType: "text/plain;charset=utf-8",
            errorCode: RequestFailure.internalError)
    }

    // MARK: Replies

    /// A reply to a channel leaves behind the acknowledgement: when the connection breaks, neither would find its way.
    /// One to a queue goes with it in one transaction.
    private func reply(_ answer: Answer, to request: Frame) throws(CtlFailure) {
        guard let address = ReplyAddress(request["reply-to"]), Self.takes(address) else {
            unanswered += 1
            return try connection.settle(.ack, request)
        }
        answered += 1
        if answer.errorCode != nil { failed += 1 }
        var frame = frame(answer, to: request, address)
        if address.isChannel {
            try connection.settle(.ack, request)
            return try connection.send(frame)
        }
        let transaction = "reply-\(answered)"
        frame.headers.append(.init("transaction", transaction))
        try connection.send(Frame(.begin, ["transaction": transaction]))
        try connection.send(frame)
        try connection.settle(.ack, request, transaction: transaction)
        try connection.send(Frame(.commit, ["transaction": transaction]))
    }

    /// Whether the broker has such a place. An ERROR for the answer to one request would end the service for all others, and
    /// the request would come again.
    private static func takes(_ address: ReplyAddress) -> Bool {
        if address.isChannel { return address.destination.hasPrefix("/reply-queue/") }
        var name = address.destination[...]
        for kind in ["/queue/", "/topic/"] where name.hasPrefix(kind) { name = name.dropFirst(kind.count) }
        return !name.hasPrefix("/") && (1...255).contains(name.utf8.count)
    }

    private func frame(_ answer: Answer, to request: Frame, _ address: ReplyAddress) -> Frame {
        let isPersistent = !address.isChannel && request["persistent"] != "false"
        var frame = Frame(
            .send, ["destination": address.destination, "persistent": isPersistent ? "true" : "false"])
        let headers = [
            ("correlation-id", request["correlation-id"]), ("replied-by", name), ("content-type", answer.contentType),
            ("error-code", answer.errorCode), ("traceparent", request["traceparent"]),
            ("tracestate", request["tracestate"]),
        ]
        for (name, value) in headers { if let value { frame.headers.append(.init(name, value)) } }
        frame.body = answer.body
        return frame
    }
}
