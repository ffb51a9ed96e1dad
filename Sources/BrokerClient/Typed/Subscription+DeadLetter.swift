extension Subscription {
    /// Gives a message up, with the reason: a copy goes to the dead-letter queue, and the message is acknowledged, in one
    /// transaction. NACK can carry no reason.
    ///
    /// The copy has body and headers of the message, and `rejected-because`, `rejected-destination` and
    /// `rejected-message-id`. `queue`: where to; nil: where brokerd would put it by its own, `/queue/NAME.dlq`. For what
    /// has no such place (topics, dead-letter queues themselves) the message is rejected without a reason.
    ///
    ///     try await subscription.deadLetter(message, because: "the customer has gone")
    ///
    /// Throws `ClientError`, and then nothing has happened, but after `outcomeUnknown` perhaps all of it.
    nonisolated(nonsending) public func deadLetter(
        _ message: Message, because reason: String, to queue: String? = nil, timeout: Duration? = nil
    ) async throws(ClientError) {
        guard let queue = queue ?? Self.deadLetterQueue(of: destination) else {
            return try await message.reject(requeue: false, timeout: timeout)
        }
        let engine = message.engine
        let transaction = Transaction(TransactionID(number: engine.nextNumber()), engine)
        do throws(ClientError) {
            try await transaction.begin(engine.deadline(timeout))
            try await transaction.send(
                message.body, to: queue, headers: Self.deadLetterHeaders(of: message, because: reason), timeout: timeout
            )
            try transaction.acknowledge(message)
            try await transaction.commit(engine.deadline(timeout))
        } catch {
            transaction.abort()
            throw error
        }
    }

    /// docs/protocol.md, "Dead letters".
    static func deadLetterQueue(of destination: String) -> String? {
        let name: Substring
        if destination.hasPrefix("/queue/") {
            name = destination.dropFirst("/queue/".count)
        } else if destination.hasPrefix("/dsub/") {
            name = "dsub." + destination.dropFirst("/dsub/".count)
        } else if destination.hasPrefix("/") {
            return nil
        } else {
            name = destination[...]
        }
        let queue = "\(name).dlq"
        // A longer one has another name, which is the broker's affair.
        return name.hasSuffix(".dlq") || queue.utf8.count > 255 ? nil : "/queue/\(queue)"
    }

    /// Headers that belong to the delivery, or to the life of the message in its queue, stay behind.
    private static let leftBehind: Set<String> = [
        "destination", "message-id", "subscription", "ack", "redelivered", "delivery-count", "content-length",
        "persistent", "receipt", "transaction", "expires", "ttl", "expiration", "JMSExpiration", "deliver-at", "delay",
        "retained", "browser", "rejected-because", "rejected-destination", "rejected-message-id",
    ]

    private static func deadLetterHeaders(of message: Message, because reason: String) -> Headers {
        var headers = Headers(message.headers.filter { !leftBehind.contains($0.name) })
        // Reasons come from everywhere, and neither NUL nor a page of text belongs into a header.
        headers.add("rejected-because", String(reason.filter { $0 != "\0" }.prefix(500)))
        headers.add("rejected-destination", message.destination)
        headers.add("rejected-message-id", message.messageID)
        return headers
    }
}
