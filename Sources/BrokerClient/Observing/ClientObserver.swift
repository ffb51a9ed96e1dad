/// What a program is told of a client at work: numbers, sentences, and where a span begins and ends. Nothing of it is set
/// at first, and then nothing of it is done.
///
///     options.observer.log = { entry in print(entry) }
///
/// No lock is held when one of them is called, so it may call the client. It should return soon: what happens to
/// connections is told on the client's loop, which neither reads nor writes meanwhile; everything else in the task of the
/// call, or of the handler, that it is about.
public struct ClientObserver: Sendable {
    /// Around a call or a handler. It must run what it is given, once, with the trace of its span, or nil to leave the trace as
    /// it is; what that throws should be passed on, and what this throws by itself changes nothing.
    public typealias SpanHook =
        nonisolated(nonsending) @Sendable (
            ClientSpan, nonisolated(nonsending) (TraceContext?) async throws -> Void
        ) async throws -> Void

    /// Counts and durations.
    public var measure: (@Sendable (ClientMeasurement) -> Void)?
    /// Sentences for people. The library itself prints nothing.
    public var log: (@Sendable (ClientLogEntry) -> Void)?
    /// Spans for a tracer. Without it the trace of a message that is handled goes along with what its handler sends.
    public var span: SpanHook?

    /// One that is told nothing.
    public init() {}
}

extension ClientObserver {
    func measure(
        _ name: ClientMeasurement.Name, _ value: ClientMeasurement.Value = .count(1), of destination: String? = nil,
        _ outcome: String? = nil
    ) {
        measure?(ClientMeasurement(name, value, of: destination, outcome))
    }

    /// Runs `body` in a span, if somebody wants one.
    nonisolated(nonsending) func inSpan<Value, Failure: Error>(
        _ span: ClientSpan, _ body: () async throws(Failure) -> Value
    ) async -> Result<Value, Failure> {
        guard let hook = self.span else { return await Self.result(of: body) }
        var result: Result<Value, Failure>?
        do {
            try await hook(span) { trace in
                if result == nil {
                    result = await TraceContext.$current.withValue(trace ?? TraceContext.current) {
                        await Self.result(of: body)
                    }
                }
                _ = try result?.get()
            }
        } catch {
            // Either it is in the result, or the tracer's own affair.
        }
        if let result { return result }
        return await Self.result(of: body)
    }

    private nonisolated(nonsending) static func result<Value, Failure: Error>(
        of body: () async throws(Failure) -> Value
    ) async -> Result<Value, Failure> {
        do throws(Failure) {
            return .success(try await body())
        } catch {
            return .failure(error)
        }
    }
}

extension Engine {
    /// Runs a call in its span and measures it. `outcome` is the word for a call that succeeds.
    nonisolated(nonsending) func observed<Value>(
        _ name: ClientMeasurement.Name, _ span: ClientSpan, _ body: () async throws(ClientError) -> Value,
        outcome: (Value) -> String
    ) async throws(ClientError) -> Value {
        let observer = options.observer
        if !observer.seesCalls { return try await body() }
        let began = now
        let result = await observer.inSpan(span, body)
        let word: String
        switch result {
        case .success(let value): word = outcome(value)
        case .failure(let error): word = error.word
        }
        observer.measure(name, .duration(now.duration(since: began)), of: span.destination, word)
        return try result.get()
    }
}
