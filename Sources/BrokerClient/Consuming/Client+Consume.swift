extension Client {
    /// Has the messages of a destination worked on, `concurrency` at once, until the consumer is stopped.
    ///
    ///     let consumer = try await client.consume("/queue/orders", concurrency: 8) { order in
    ///         try await handle(order)
    ///     }
    ///     …
    ///     try await consumer.stop()
    ///
    /// When the handler returns, its message is acknowledged. When it throws, `onFailure` says what becomes of the
    /// message; if it says nothing else, it is delivered again, and after an `Unprocessable` it goes to the dead-letter
    /// queue. Several consumers of a queue, here or elsewhere, share its messages. After a lost connection messages
    /// come again that were worked on and not acknowledged: the work must be repeatable.
    ///
    /// `orderedBy`: messages of one group are worked on one after the other. One that fails and is to be delivered again
    /// holds its group up, and its place among the `concurrency`, and is tried again here as `retry` says; then it
    /// goes to the dead-letter queue. `prefetch` messages (nil: twice the concurrency) are held at most, those in hand
    /// included. `timeout` is for the SUBSCRIBE, and this throws as `subscribe` does; what the handler throws stays in the
    /// consumer.
    nonisolated(nonsending) public func consume(
        _ destination: String, concurrency: Int = 1, orderedBy ordering: Ordering = .none, prefetch: Int? = nil,
        headers: Headers = [:], retry: RetryPolicy = RetryPolicy(), timeout: Duration? = nil,
        onFailure: @escaping FailureRule = Unprocessable.rule,
        handler: @escaping @Sendable (Message) async throws -> Void
    ) async throws(ClientError) -> Consumer {
        let handling = Handling(ordering, retry, onFailure, tally(of: destination)) { message in
            try await handler(message)
            return .acknowledge
        }
        return try await consume(destination, concurrency, prefetch, headers, timeout, handling)
    }

    /// Has each message of a destination worked on and its results sent on: the acknowledgement and the results are
    /// one transaction, so after any crash either the message is there or all of its results are, never both.
    ///
    ///     let stage = try await client.pipe("/queue/orders") { order in
    ///         [Outgoing(try await invoice(order), to: "/queue/invoices")]
    ///     }
    ///
    /// A result with a header that cannot be sent is a failure of the handler. When the broker refuses one, nothing of the
    /// transaction happens, and the message comes again. For the rest see `consume`.
    nonisolated(nonsending) public func pipe(
        _ destination: String, concurrency: Int = 1, orderedBy ordering: Ordering = .none, prefetch: Int? = nil,
        headers: Headers = [:], retry: RetryPolicy = RetryPolicy(), timeout: Duration? = nil,
        onFailure: @escaping FailureRule = Unprocessable.rule,
        handler: @escaping @Sendable (Message) async throws -> [Outgoing]
    ) async throws(ClientError) -> Consumer {
        let handling = Handling(ordering, retry, onFailure, tally(of: destination)) { message in
            let results = try await handler(message)
            // Found out in the transaction it would be nobody's failure, and the message would stay in hand.
            for result in results { try result.check() }
            return .sendOn(results)
        }
        return try await consume(destination, concurrency, prefetch, headers, timeout, handling)
    }

    func tally(of destination: String) -> Tally { Tally(of: destination, engine.options.observer) }

    private nonisolated(nonsending) func consume(
        _ destination: String, _ concurrency: Int, _ prefetch: Int?, _ headers: Headers, _ timeout: Duration?,
        _ handling: Handling
    ) async throws(ClientError) -> Consumer {
        let concurrency = min(max(1, concurrency), 10_000)
        let room = max(concurrency, min(prefetch ?? 2 * concurrency, 65_535))
        let subscription = try await subscribe(
            to: destination, prefetch: room, headers: headers, timeout: timeout)
        let workshop = Workshop(
            subscription, concurrency: concurrency, room: room, ordering: handling.ordering, handling.tally
        ) {
            await handling.handle($0, in: $1)
        }
        return Consumer(workshop, handling.tally)
    }
}
