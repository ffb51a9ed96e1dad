import Base

/// What can be done in a transaction. Valid until the closure that got it returns.
public struct Transaction: Sendable {
    private let id: TransactionID
    private let engine: Engine

    init(_ id: TransactionID, _ engine: Engine) {
        self.id = id
        self.engine = engine
    }

    /// Sends text, as `text/plain;charset=utf-8` unless `headers` say otherwise, as a part of the transaction.
    nonisolated(nonsending) public func send(
        _ text: String, to destination: String, headers: Headers = [:], persistent: Bool = true,
        timeout: Duration? = nil
    ) async throws(ClientError) {
        try await send(
            Array(text.utf8), to: destination, headers: headers.asText, persistent: persistent, timeout: timeout)
    }

    /// Sends a message as a part of the transaction. Returns when it is on its way: the COMMIT confirms it.
    ///
    /// Throws `connectionLost` when the connection of the transaction is gone, and with it the transaction; `timedOut` and
    /// `cancelled` when it could not leave in time; `transactionEnded` after the closure has returned; `invalidHeader`.
    nonisolated(nonsending) public func send(
        _ body: [UInt8], to destination: String, headers: Headers = [:], persistent: Bool = true,
        timeout: Duration? = nil
    ) async throws(ClientError) {
        let frame = try Client.frame(body, destination, headers, persistent)
        let deadline = engine.deadline(timeout)
        _ = try await engine.call { $0.send(frame, in: id, as: $1, deadline: deadline, at: $2) }
    }

    /// The message counts as acknowledged when the transaction is committed. Throws `connectionLost` if it came on another
    /// connection than the transaction's, and `alreadySettled`, `subscriptionEnded` or `transactionEnded`.
    public func acknowledge(_ message: Message) throws(ClientError) {
        try settle(message, .acknowledge)
    }

    /// The message counts as rejected when the transaction is committed. See `Message.reject`.
    public func reject(_ message: Message, requeue: Bool = true) throws(ClientError) {
        try settle(message, .reject(requeue: requeue))
    }

    private func settle(_ message: Message, _ verdict: Verdict) throws(ClientError) {
        try engine.ask { (conversation, now) throws(ClientError) in
            try conversation.settle(message.delivery, verdict, in: id, deadline: now, at: now)
        }
    }

    // MARK: For the client

    nonisolated(nonsending) func begin(_ deadline: Instant) async throws(ClientError) {
        _ = try await engine.call { $0.begin(id, as: $1, deadline: deadline, at: $2) }
    }

    nonisolated(nonsending) func commit(_ deadline: Instant) async throws(ClientError) {
        _ = try await engine.call { $0.commit(id, as: $1, deadline: deadline, at: $2) }
    }

    /// Harmless when it was committed, or never begun.
    func abort() {
        engine.apply { $0.abort(id, at: $1) }
    }
}

extension Engine {
    /// See `Client.transaction`.
    nonisolated(nonsending) func transaction<Value>(
        timeout: Duration?, _ body: (Transaction) async throws -> Value
    ) async throws -> Value {
        let transaction = Transaction(TransactionID(number: nextNumber()), self)
        do {
            try await transaction.begin(deadline(timeout))
            let value = try await body(transaction)
            try await transaction.commit(deadline(timeout))
            return value
        } catch {
            transaction.abort()
            throw error
        }
    }
}
