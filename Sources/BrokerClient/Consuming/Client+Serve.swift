extension Client {
    /// Answers the requests to a destination, `concurrency` at once, until the consumer is stopped.
    ///
    ///     let service = try await client.serve("/queue/prices", concurrency: 8) { request in
    ///         guard let price = prices[request.text] else { throw RequestFailure(code: "unknown-article") }
    ///         return Answer("\(price)")
    ///     }
    ///
    /// What the handler returns goes to the `reply-to` of the request, with its `correlation-id`. What it throws goes
    /// there, too: a `RequestFailure` as it is, anything else as `RequestFailure.internalError` without details. A request
    /// without `reply-to` is worked on and not answered. One whose asker has given up meanwhile is dropped without
    /// work. Several services on a queue, here or elsewhere, share its requests.
    ///
    /// `name` goes along as `replied-by`; who gathers replies can tell by it who is missing.
    ///
    /// A reply to a reply channel is sent right behind the acknowledgement and not confirmed: when the connection breaks
    /// then, neither would find its way. A reply to a queue is confirmed first, so it is there once the request is gone;
    /// the request may be worked on twice.
    ///
    /// Returns when the broker has confirmed the subscription, and throws as `subscribe` does; what the handler throws stays
    /// in the service.
    nonisolated(nonsending) public func serve(
        _ destination: String, concurrency: Int = 1, name: String? = nil, headers: Headers = [:],
        timeout: Duration? = nil, handler: @escaping @Sendable (Message) async throws -> Answer
    ) async throws(ClientError) -> Consumer {
        if let name { try Headers.check("replied-by", name) }
        let concurrency = min(max(1, concurrency), 10_000)
        // No request is held that another service could work on now.
        let subscription = try await subscribe(
            to: destination, prefetch: concurrency, headers: headers, timeout: timeout)
        let serving = Serving(name, handler)
        let workshop = Workshop(subscription, concurrency: concurrency, room: concurrency, ordering: .none) {
            request, _ in await serving.handle(request)
        }
        return Consumer(workshop, serving.tally)
    }
}

/// What a service answers.
public struct Answer: Sendable {
    /// The bytes of the reply.
    public var body: [UInt8]
    /// Go with the reply. `correlation-id`, `replied-by` and `error-code` are the library's own.
    public var headers: Headers

    /// A reply of bytes. It has no `content-type` unless `headers` give one.
    public init(_ body: [UInt8], headers: Headers = [:]) {
        self.body = body
        self.headers = headers
    }

    /// As `text/plain;charset=utf-8` unless `headers` say otherwise.
    public init(_ text: String, headers: Headers = [:]) {
        self.init(Array(text.utf8), headers: headers.asText)
    }
}
