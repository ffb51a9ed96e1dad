/// The messages of one destination, as a sequence.
///
///     for try await message in orders {
///         try await handle(message)
///         try await message.acknowledge()
///     }
///
/// Ends after `cancel()` and after `Client.close()`; throws when the connection is lost for good or the broker
/// refuses to restore the subscription. After a lost connection that comes back it simply goes on. Several tasks
/// may iterate at once: each message goes to one of them.
///
/// The last reference to a subscription cancels it.
public final class Subscription: AsyncSequence, Sendable {
    /// What it gives.
    public typealias Element = Message
    /// What iterating throws.
    public typealias Failure = ClientError

    /// What it was made with: one name, or a pattern of topics.
    public let destination: String
    private let id: SubscriptionID
    /// Also keeps the client open.
    private let client: Client

    init(_ id: SubscriptionID, to destination: String, of client: Client) {
        self.id = id
        self.destination = destination
        self.client = client
    }

    deinit { leave() }

    var clock: ClientClock { client.clock }

    /// UNSUBSCRIBE without waiting for its receipt.
    func leave() { client.engine.apply { $0.forget(id, at: $1) } }

    /// The next message; nil when the subscription has ended. With `Acknowledgement.automatic` the message is
    /// acknowledged here.
    ///
    /// Waits as long as it takes. Throws `cancelled` when the task is cancelled, and what ended the subscription if that was
    /// not the program: `refused` when the broker does not restore it, or why the client has given up its connection.
    nonisolated(nonsending) public func next() async throws(ClientError) -> Message? {
        if Task.isCancelled { throw .cancelled }
        let engine = client.engine
        if let delivery = try engine.ask({ $0.take(from: id, at: $1) }) { return Message(delivery, engine) }
        switch try await engine.call({ $0.next(from: id, as: $1, at: $2) }) {
        case .message(let delivery): return Message(delivery, engine)
        case .done, .end, .replies, .unfinished: return nil
        }
    }

    /// The messages that are here already, at most `count` of them (at least one is wanted); waits for one if there is none.
    /// Empty when the subscription has ended. For work that is done for many at once, as rows of a database.
    ///
    ///     while case let orders = try await subscription.next(atMost: 100), !orders.isEmpty {
    ///         try await save(orders)
    ///         try await orders.acknowledge()
    ///     }
    ///
    /// No more come at once than the broker sends ahead: the `prefetch` of the subscription. Throws as `next` does.
    nonisolated(nonsending) public func next(atMost count: Int) async throws(ClientError) -> [Message] {
        if Task.isCancelled { throw .cancelled }
        let engine = client.engine
        let count = Swift.max(1, count)
        let waiting = try engine.ask { $0.take(from: id, atMost: count, at: $1) }
        if !waiting.isEmpty { return waiting.map { Message($0, engine) } }
        guard let first = try await next() else { return [] }
        // What came together with it; not what comes behind a reconnect, when it comes again itself.
        let more = try engine.ask { conversation, now in
            conversation.holds(first.delivery) ? conversation.take(from: id, atMost: count - 1, at: now) : []
        }
        return [first] + more.map { Message($0, engine) }
    }

    /// UNSUBSCRIBE; returns when the broker has confirmed it. Messages that are not acknowledged by now, read
    /// or not, go back to their queue. A durable subscription stays with the broker, and goes on to collect.
    ///
    /// Throws `timedOut` or `cancelled` when the broker has not confirmed it; it is over for the program all the same.
    nonisolated(nonsending) public func cancel(timeout: Duration? = nil) async throws(ClientError) {
        let deadline = client.engine.deadline(timeout)
        _ = try await client.engine.call { $0.cancel(id, as: $1, deadline: deadline, at: $2) }
    }

    /// Messages that are here already and were not read yet; never more than the prefetch.
    public var buffered: Int { client.engine.buffered(of: id) }

    /// For `for try await`. All iterators of a subscription share its messages.
    public func makeAsyncIterator() -> Iterator { Iterator(subscription: self) }

    /// Takes messages from the subscription, which it keeps alive.
    public struct Iterator: AsyncIteratorProtocol {
        let subscription: Subscription

        /// The next message; nil when the subscription has ended. See `Subscription.next`.
        public mutating func next() async throws(ClientError) -> Message? {
            try await subscription.next()
        }

        /// The same, for loops that run on an actor.
        public mutating func next(isolation: isolated (any Actor)?) async throws(ClientError) -> Message? {
            try await subscription.next()
        }
    }
}
