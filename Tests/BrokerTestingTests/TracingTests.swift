import BrokerClient
import BrokerTesting
import Synchronization
import Testing

/// A tracer as libraries of tracing have it: spans that know their parents, and the present one in the task.
private final class Tracer: Sendable {
    struct Span: Sendable, Equatable {
        let name: String
        let trace: String
        let id: Int
        let parent: String?

        var traceparent: String {
            let digits = String(id, radix: 16)
            return "00-\(trace)-\(String(repeating: "0", count: 16 - digits.count))\(digits)-01"
        }
    }

    @TaskLocal static var span: Span?

    private let ended = Mutex<(spans: [(span: Span, error: String?)], lastID: Int)>(([], 0))

    func spans(_ name: String) -> [Span] { ended.withLock { $0.spans.filter { $0.span.name == name }.map(\.span) } }
    func errors(_ name: String) -> [String] {
        ended.withLock { $0.spans.filter { $0.span.name == name }.compactMap(\.error) }
    }

    /// With the parameters that `withSpan` of swift-distributed-tracing has, so that what is handed to it compiles.
    func withSpan<T>(
        _ name: String, parent: String?, isolation: isolated (any Actor)? = #isolation,
        _ operation: (Span) async throws -> T
    ) async rethrows -> T {
        let id = ended.withLock { ended in
            ended.lastID += 1
            return ended.lastID
        }
        let trace = parent.map { String($0.dropFirst(3).prefix(32)) } ?? String(repeating: "f", count: 32)
        let span = Span(name: name, trace: trace, id: id, parent: parent)
        do {
            let value = try await Self.$span.withValue(span) { try await operation(span) }
            ended.withLock { $0.spans.append((span, nil)) }
            return value
        } catch {
            ended.withLock { $0.spans.append((span, "\(error)")) }
            throw error
        }
    }

    var options: ClientOptions {
        var options = ClientOptions()
        options.observer.span = { span, run in
            let parent = span.message?.headers["traceparent"] ?? Self.span?.traceparent
            try await self.withSpan(span.name, parent: parent) { made in
                try await run(TraceContext(traceparent: made.traceparent))
            }
        }
        return options
    }
}

private struct Trouble: Error {}

private let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

@Suite(.timeLimit(.minutes(2))) struct TracingTests {
    let broker = TestBroker(startingAt: 1_800_000_000_000)

    /// In the trace of an order that is being worked on, unless there is another.
    private func begun(_ body: () async throws -> Void) async throws {
        try await TraceContext.$current.withValue(TraceContext(traceparent: trace, tracestate: "vendor=1")) {
            try await body()
        }
    }

    // MARK: Without a tracer

    @Test func whatIsSentCarriesTheTraceOfTheTask() async throws {
        let client = try await broker.connect()
        let messages = try await client.subscribe(to: "/queue/q")
        try await begun {
            try await client.send("plain", to: "/queue/q")
            try await client.send("own", to: "/queue/q", headers: ["traceparent": "mine"])
            try await client.transaction { try await $0.send("transacted", to: "/queue/q") }
        }
        try await client.send("none", to: "/queue/q")
        var traces: [String: String] = [:]
        for _ in 0..<4 {
            let message = try #require(try await messages.next())
            traces[message.text] = message.headers["traceparent"] ?? "none"
        }
        #expect(traces == ["plain": trace, "own": "mine", "transacted": trace, "none": "none"])
        try await client.close()
    }

    /// It would break the connection for everybody.
    @Test func aTraceThatCannotBeSentIsRefusedAndOneThatIsTooLongIsNone() async throws {
        let client = try await broker.connect()
        let broken = TraceContext(traceparent: trace, tracestate: "vendor=\0")
        await #expect(throws: ClientError.self) {
            try await TraceContext.$current.withValue(broken) { try await client.send("x", to: "/queue/q") }
        }
        #expect(await broker.queue("/queue/q").messages == 0)
        let long = String(repeating: "x", count: 10_000)
        #expect(TraceContext(traceparent: "01" + trace.dropFirst(2) + "-" + long) == nil)
        #expect(TraceContext(traceparent: trace, tracestate: long)?.tracestate == nil)
        try await client.close()
    }

    /// Through a service, a pipe and a consumer, without a word of the program.
    @Test func aTraceGoesThroughHandlers() async throws {
        let client = try await broker.connect()
        let (seen, see) = AsyncStream.makeStream(of: TraceContext?.self)
        let service = try await client.serve("/queue/prices") { _ in
            try await client.send("asked", to: "/queue/in")
            return Answer("890")
        }
        let pipe = try await client.pipe("/queue/in") { [Outgoing($0.text, to: "/queue/out")] }
        let consumer = try await client.consume("/queue/out") { _ in see.yield(TraceContext.current) }
        var reply: Message?
        try await begun { reply = try await client.request("bicycle", to: "/queue/prices") }
        #expect(reply?.headers["traceparent"] == trace)
        for await context in seen {
            #expect(context == TraceContext(traceparent: trace, tracestate: "vendor=1"))
            break
        }
        #expect(TraceContext.current == nil)
        for each in [service, pipe, consumer] { try await each.stop() }
        try await client.close()
    }

    /// The trace in which a program began to consume is not that of its messages.
    @Test func aMessageWithoutATraceHasNone() async throws {
        let client = try await broker.connect()
        let (seen, see) = AsyncStream.makeStream(of: TraceContext?.self)
        var consumer: Consumer?
        try await begun {
            consumer = try await client.consume("/queue/q") { _ in see.yield(TraceContext.current) }
        }
        try await client.send("x", to: "/queue/q")
        for await context in seen {
            #expect(context == nil)
            break
        }
        try await consumer?.stop()
        try await client.close()
    }

    @Test func whatIsDoneOnceIsDoneInTheTraceOfTheMessage() async throws {
        let client = try await broker.connect()
        let messages = try await client.subscribe(to: "/queue/q")
        try await begun { try await client.send("x", to: "/queue/q") }
        let message = try #require(try await messages.next())
        let seen = try await message.once(as: "test", in: MemoryOnceStore()) { _ in TraceContext.current?.traceparent }
        #expect(seen == .done(trace))
        try await client.close()
    }

    // MARK: With one

    @Test func spansAreChildrenAcrossTheQueue() async throws {
        let tracer = Tracer()
        let client = try await broker.connect(tracer.options)
        let service = try await client.serve("/queue/prices") { request in
            try await client.send("asked", to: "/queue/log")
            return Answer(request.headers["traceparent"] ?? "none")
        }
        let reply = try await tracer.withSpan("order", parent: nil) { _ in
            try await client.request("bicycle", to: "/queue/prices")
        }
        try await service.stop()
        let order = try #require(tracer.spans("order").first)
        let request = try #require(tracer.spans("request /queue/prices").first)
        let handling = try #require(tracer.spans("handle /queue/prices").first)
        let send = try #require(tracer.spans("send /queue/log").first)
        #expect(request.parent == order.traceparent)
        #expect(handling.parent == request.traceparent && reply.text == request.traceparent)
        #expect(send.parent == handling.traceparent)
        #expect(reply.headers["traceparent"] == handling.traceparent)
        try await client.close()
    }

    @Test func aSpanLearnsWhatWentWrong() async throws {
        let tracer = Tracer()
        let client = try await broker.connect(tracer.options)
        let service = try await client.serve("/queue/prices") { _ in throw Trouble() }
        let failure = RequestFailure(code: RequestFailure.internalError)
        do {
            _ = try await client.request("bicycle", to: "/queue/prices")
            Issue.record("the request did not fail")
        } catch {
            guard case .requestFailed(let failed) = error else { throw error }
            #expect(failed.code == failure.code)
        }
        try await service.stop()
        #expect(tracer.errors("handle /queue/prices") == ["Trouble()"])
        #expect(tracer.errors("request /queue/prices").count == 1)
        try await client.close()
    }

    /// A tracer has no say in what is done, whatever it does itself.
    @Test(arguments: 0..<3) func aTracerCannotSpoilACall(way: Int) async throws {
        var options = ClientOptions()
        options.observer.span = { _, run in
            if way == 0 { return }
            try await run(nil)
            if way == 1 { try await run(nil) } else { throw Trouble() }
        }
        let client = try await broker.connect(options)
        try await client.send("x", to: "/queue/q")
        try await broker.until("/queue/q") { $0.received == 1 && $0.messages == 1 }
        await #expect(throws: ClientError.self) {
            try await client.send("x", to: "/queue/q", headers: ["receipt": "1"])
        }
        try await client.close()
    }
}
