/// Remembers which messages a consumer is done with, together with what it did about them.
///
/// `MemoryOnceStore` forgets with its process. `SQLiteOnceStore` (product `BrokerClientSQLite`) has the mark and the
/// change of the application in one transaction. One for another database looks the same: begin, insert the key where it
/// must be unique, run the change, commit.
public protocol OnceStore: Sendable {
    /// What a change is made with: a transaction of the database, so that the mark and the change come to be together.
    associatedtype Transaction

    /// Runs `change` and marks the key, both or neither; if the key is marked already it does nothing and returns nil.
    ///
    /// Of two calls with one key at the same time the second waits for the first. When `change` throws, nothing is
    /// marked, nothing is changed, and the error is passed on.
    nonisolated(nonsending) func once<R: Sendable>(
        _ key: MessageKey, _ change: (Transaction) async throws -> R
    ) async throws -> R?
}

/// What became of a message that is to have its effect once.
public enum Once<R: Sendable>: Sendable {
    /// The effect was had now; with what the closure returned.
    case done(R)
    /// It was had before: nothing was done.
    case seenBefore
}

extension Once {
    public var isSeenBefore: Bool {
        if case .seenBefore = self { return true }
        return false
    }
}

extension Once: Equatable where R: Equatable {}

/// A message that nothing tells from others: it has neither a `dedup-id` nor a `message-id`.
public struct UnknowableMessage: Error, Equatable, Sendable, CustomStringConvertible {
    public let destination: String

    public var description: String { "a message from \(destination) has neither a dedup-id nor a message-id" }
}

extension Message {
    /// Has the effect of this message once, however often it is delivered, and acknowledges it.
    ///
    ///     let outcome = try await order.once(as: "billing", in: store) { database in
    ///         try await database.execute("INSERT INTO invoices (customer) VALUES (?)", [.text(customer)])
    ///     }
    ///
    /// `consumer` names what is done about the message; keep the name, or it is done again. The change belongs to the
    /// mark in `store`: when the process dies before both are there, neither is, and the message comes again; when it
    /// dies after that and before the ACK, the message comes again too, is recognised and acknowledged without effect.
    ///
    /// Throws what the closure or the store threw; then the message is neither marked nor acknowledged: `reject` it, or
    /// leave it and it comes back when the subscription ends. Throws `ClientError` when the effect was had but the
    /// acknowledgement could not be said; a lost connection and a subscription that was cancelled meanwhile are none of
    /// these, since the message comes again.
    @discardableResult
    nonisolated(nonsending) public func once<Store: OnceStore, R: Sendable>(
        as consumer: String, in store: Store, _ change: (Store.Transaction) async throws -> R
    ) async throws -> Once<R> {
        guard let key = MessageKey(of: self, for: consumer) else { throw UnknowableMessage(destination: destination) }
        let result = try await store.once(key, change)
        do throws(ClientError) {
            try await acknowledge()
        } catch {
            switch error {
            // It comes again, and is known then.
            case .connectionLost, .subscriptionEnded: break
            default: throw error
            }
        }
        return result.map { .done($0) } ?? .seenBefore
    }
}

extension Subscription {
    /// Takes messages, one after the other, until the subscription ends, and has the effect of each once: see
    /// `Message.once`. A message whose handler throws is rejected, so that it comes again, later and at most as often as
    /// the queue's settings allow; `failed` is told before.
    ///
    /// Throws as iterating does, and `ClientError.cancelled` when the task is cancelled.
    nonisolated(nonsending) public func once<Store: OnceStore>(
        as consumer: String, in store: Store, failed: (Message, any Error) -> Void = { _, _ in },
        _ handler: (Message, Store.Transaction) async throws -> Void
    ) async throws(ClientError) {
        while let message = try await next() {
            do {
                try await message.once(as: consumer, in: store) { try await handler(message, $0) }
            } catch {
                if Task.isCancelled { throw .cancelled }
                failed(message, error)
                try await Self.unlessItComesAgain { () throws(ClientError) in try await message.reject() }
            }
        }
    }
}
