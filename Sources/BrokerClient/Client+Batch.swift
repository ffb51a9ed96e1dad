import Base

extension Client {
    /// Sends messages in this order, to one destination or to several, and returns when the broker has all of them
    /// safely. One call for a thousand messages costs a fraction of a thousand calls.
    ///
    ///     try await client.send(prices.map { Outgoing($0.value, to: "/queue/prices") }, timeout: .seconds(60))
    ///
    /// It is no transaction: each message counts by itself, and has a `dedup-id` of its own with which it goes out again
    /// after a reconnect as long as it is unconfirmed. More than `ClientOptions.unconfirmedMessages` or `unconfirmedBytes`
    /// go one part after the other; sends that come later stand behind all of them. `timeout` is for the whole.
    ///
    /// The first message that the broker refuses ends the call, for those behind it may rest on it. `retry` is for what it
    /// refuses for now, as in `send` of one: all that are not confirmed go out again, in order and with the same
    /// `dedup-id`. With circuit breakers those of all destinations have to let it through.
    ///
    /// Throws what ended it, together with what is known of each message. `invalidHeader` means that none was sent.
    nonisolated(nonsending) public func send(
        _ messages: [Outgoing], timeout: Duration? = nil, retry: RetryPolicy = .never
    ) async throws(BatchError) {
        if messages.isEmpty { return }
        var sending = BatchSending(messages, engine, deadline: engine.deadline(timeout))
        try await sending.run(retry)
    }
}

/// One call that sends many messages: its tries, and what is known after each.
private struct BatchSending {
    private let engine: Engine
    private let deadline: Instant
    private let messages: [Outgoing]
    private var outcomes: [BatchError.Outcome]
    /// Those that the next try sends; of later ones each has the `dedup-id` of the first.
    private var rest: [Outgoing]
    /// Where these stand among all.
    private var places: [Int]

    init(_ messages: [Outgoing], _ engine: Engine, deadline: Instant) {
        self.engine = engine
        self.deadline = deadline
        self.messages = messages
        rest = messages
        outcomes = [BatchError.Outcome](repeating: .notSent, count: messages.count)
        places = Array(messages.indices)
    }

    nonisolated(nonsending) mutating func run(_ retry: RetryPolicy) async throws(BatchError) {
        let observer = engine.options.observer
        guard observer.seesCalls else { return try await attempts(retry) }
        let began = engine.now
        let span = ClientSpan(.send, messages[0].destination)
        let result = await observer.inSpan(span) { () throws(BatchError) in try await attempts(retry) }
        let duration = engine.now.duration(since: began)
        var cause: ClientError?
        if case .failure(let error) = result { cause = error.cause }
        for (message, outcome) in zip(messages, outcomes) {
            observer.measure(.send, .duration(duration), of: message.destination, outcome.word(cause))
        }
        try result.get()
    }

    private nonisolated(nonsending) mutating func attempts(_ retry: RetryPolicy) async throws(BatchError) {
        do throws(ClientError) {
            try prepare()
            try await engine.retrying(retry, deadline, if: \.isTransientRefusal) { _ throws(ClientError) in
                try await attempt()
            }
        } catch {
            throw BatchError(error, outcomes)
        }
    }

    private mutating func prepare() throws(ClientError) {
        let trace = TraceContext.current
        for index in rest.indices {
            trace?.add(to: &rest[index].headers)
            try Client.check(rest[index].destination, rest[index].headers)
        }
    }

    private nonisolated(nonsending) mutating func attempt() async throws(ClientError) {
        let tickets = try engine.circuits.begin(
            Set(engine.options.circuitBreaker == nil ? [] : rest.map(\.destination)))
        let batch = engine.newBatch(rest)
        let error = await trySending(batch)
        if !tickets.isEmpty {
            let fates = fates
            for (destination, breaker, ticket) in tickets {
                breaker.finished(ticket, verdict(error, fates[destination] ?? Fate()))
            }
        }
        guard let error else { return }
        repeatUnconfirmed(of: batch)
        throw error
    }

    /// What has become of the messages of one destination.
    private struct Fate {
        var areAllConfirmed = true
        var isOneRefused = false
    }

    /// Of destinations with something else than confirmed messages.
    private var fates: [String: Fate] {
        var fates: [String: Fate] = [:]
        for (message, outcome) in zip(messages, outcomes) where outcome != .confirmed {
            fates[message.destination, default: Fate()].areAllConfirmed = false
            if outcome == .refused { fates[message.destination]?.isOneRefused = true }
        }
        return fates
    }

    /// What it says about one destination.
    private func verdict(_ error: ClientError?, _ fate: Fate) -> Circuit.Result {
        guard let error, !fate.areAllConfirmed else { return .succeeded }
        // Another destination was refused.
        if case .refused = error, !fate.isOneRefused, outcomes.contains(.refused) { return .neither }
        return CircuitBreaker.result(of: error)
    }

    private nonisolated(nonsending) mutating func trySending(_ batch: Batch) async -> ClientError? {
        do throws(ClientError) {
            let reply = try await engine.send(batch, deadline: deadline)
            guard case .unfinished(let known, let error) = reply else {
                for place in places { outcomes[place] = .confirmed }
                return nil
            }
            for (place, outcome) in zip(places, known) {
                // What is known from an earlier try is not undone by one that did not come to it.
                if outcome == .notSent, outcomes[place] != .notSent { continue }
                outcomes[place] = outcome
            }
            return error
        } catch {
            return error
        }
    }

    private mutating func repeatUnconfirmed(of batch: Batch) {
        var next: (messages: [Outgoing], places: [Int]) = ([], [])
        for (index, place) in places.enumerated() where outcomes[place] != .confirmed {
            var message = batch.messages[index]
            message.headers["dedup-id"] = batch.dedupID(index)
            next.messages.append(message)
            next.places.append(place)
        }
        (rest, places) = next
    }
}

extension BatchError.Outcome {
    /// For the observer.
    fileprivate func word(_ cause: ClientError?) -> String {
        switch (self, cause) {
        case (.confirmed, _): "confirmed"
        case (.refused, _): "refused"
        case (.unknown, .refused?): "outcome-unknown"
        case (.notSent, .refused?): "not-sent"
        case (_, let cause?): cause.word
        // Only a call that succeeds has none.
        case (_, nil): "confirmed"
        }
    }
}

extension CircuitBoard {
    typealias Begun = (destination: String, breaker: CircuitBreaker, ticket: Circuit.Ticket)

    /// A call to all of these at once: if one is not let through, none is.
    fileprivate func begin(_ destinations: Set<String>) throws(ClientError) -> [Begun] {
        var begun: [Begun] = []
        for destination in destinations.sorted() {
            guard let breaker = breaker(for: destination) else { continue }
            do throws(ClientError) {
                begun.append((destination, breaker, try breaker.begin()))
            } catch {
                for (_, breaker, ticket) in begun { breaker.finished(ticket, .neither) }
                throw error
            }
        }
        return begun
    }
}
