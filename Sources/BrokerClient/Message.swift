import Base
import STOMP

/// A message as it was received.
public struct Message: Sendable {
    let delivery: Delivery
    let engine: Engine

    init(_ delivery: Delivery, _ engine: Engine) {
        self.delivery = delivery
        self.engine = engine
    }

    /// The bytes of the body, as they were sent.
    public var body: [UInt8] { delivery.frame.body }
    /// The body as text. What is not UTF-8 is replaced.
    public var text: String { delivery.frame.text }
    /// All headers of the MESSAGE frame, those of the sender and those of the broker.
    public var headers: Headers { delivery.frame.headers }

    /// Where the message was sent to. For a copy in a dead-letter queue this is that queue.
    public var destination: String { delivery.frame["destination"] ?? "" }
    /// The broker's name for the message. With brokerd the same at every delivery.
    public var messageID: String { delivery.frame["message-id"] ?? "" }
    /// What the sender says that the bytes are, parameters included; nil if it says nothing.
    public var contentType: String? { delivery.frame["content-type"] }
    /// Where the sender wants the reply; nil if it wants none. `Client.serve` looks at it by itself.
    public var replyTo: String? { delivery.frame["reply-to"] }
    /// The broker has tried to deliver it before.
    public var redelivered: Bool { delivery.frame["redelivered"] == "true" }
    /// How often it was delivered, this time included; nil if the broker does not say.
    public var deliveryCount: Int? { delivery.frame["delivery-count"].flatMap { Int($0) } }

    /// It can still be settled: the connection that it came on is there, and its subscription.
    var isHeld: Bool { engine.holds(delivery) }

    // MARK: Settling

    /// The message is done with. With `Acknowledgement.cumulative`, so are all before it.
    ///
    /// Returns when it is on its way, or with `confirmation: .receipt` when the broker has it safely. Not needed
    /// for at-least-once: an acknowledgement that is lost means that the message comes again.
    ///
    /// Throws `connectionLost` if the connection it came on is gone: the message will come again. Throws `alreadySettled`,
    /// `subscriptionEnded` or `closed` when it is too late, and with a receipt `timedOut` or `cancelled` when nobody knows.
    nonisolated(nonsending) public func acknowledge(
        confirmation: Confirmation = .none, timeout: Duration? = nil
    ) async throws(ClientError) {
        try await settle(.acknowledge, confirmation, timeout)
    }

    /// The message could not be handled. The broker delivers it again, here or elsewhere, and gives it up after
    /// its limit of deliveries; with `requeue: false` at once, to the dead-letter queue. With
    /// `Acknowledgement.cumulative` it counts for all before it, too.
    ///
    /// Throws as `acknowledge` does, and `notSupported` with a broker that speaks only STOMP 1.0.
    nonisolated(nonsending) public func reject(
        requeue: Bool = true, confirmation: Confirmation = .none, timeout: Duration? = nil
    ) async throws(ClientError) {
        try await settle(.reject(requeue: requeue), confirmation, timeout)
    }

    private nonisolated(nonsending) func settle(
        _ verdict: Verdict, _ confirmation: Confirmation, _ timeout: Duration?
    ) async throws(ClientError) {
        switch confirmation {
        case .none:
            try engine.ask { (conversation, now) throws(ClientError) in
                try conversation.settle(delivery, verdict, deadline: now, at: now)
            }
        case .receipt:
            let deadline = engine.deadline(timeout)
            _ = try await engine.call { conversation, request, now in
                conversation.settleConfirmed(delivery, verdict, as: request, deadline: deadline, at: now)
            }
        }
    }

    /// Acknowledges it and sends these, all or nothing.
    nonisolated(nonsending) func settle(sendingOn results: [Outgoing]) async throws(ClientError) {
        do {
            try await engine.transaction(timeout: nil) { transaction in
                try transaction.acknowledge(self)
                for result in results {
                    try await transaction.send(
                        result.body, to: result.destination, headers: result.headers, persistent: result.persistent)
                }
            }
        } catch let error as ClientError {
            throw error
        } catch {
            assertionFailure("only the library's own errors come from here")
            throw .outcomeUnknown
        }
    }
}

extension Collection<Message> {
    /// Acknowledges them in this order, as `Message.acknowledge` does each, in one go. Those of which one cannot be acknowledged any
    /// more do not keep the others from it: all that can be are, then the first error is thrown.
    ///
    /// With `confirmation: .receipt` it returns, or throws, when the broker has answered the last one, and with that has all
    /// before it (STOMP 1.2, RECEIPT).
    ///
    ///     let orders = try await subscription.next(atMost: 100)
    ///     try await save(orders)
    ///     try await orders.acknowledge(confirmation: .receipt)
    ///
    /// Throws what `Message.acknowledge` throws.
    nonisolated(nonsending) public func acknowledge(
        confirmation: Confirmation = .none, timeout: Duration? = nil
    ) async throws(ClientError) {
        var failure: ClientError?
        // What is computed while it is gone through is so once, and outside of locks.
        var rest = Array(self)[...]
        while let engine = rest.first?.engine {
            // Hardly ever are they of several clients.
            let deliveries = rest.prefix { $0.engine === engine }.map(\.delivery)
            rest = rest.dropFirst(deliveries.count)
            do throws(ClientError) {
                switch confirmation {
                case .none: try engine.acknowledge(deliveries)
                case .receipt:
                    try await engine.acknowledgeConfirmed(deliveries, deadline: engine.deadline(timeout))
                }
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }
}

extension Engine {
    /// All that can be; then the first error is thrown.
    fileprivate func acknowledge(_ deliveries: [Delivery]) throws(ClientError) {
        try ask { (conversation, now) throws(ClientError) in
            if let failure = conversation.acknowledge(deliveries, deadline: now, at: now) { throw failure }
        }
    }

    fileprivate nonisolated(nonsending) func acknowledgeConfirmed(
        _ deliveries: [Delivery], deadline: Instant
    ) async throws(ClientError) {
        var failure: ClientError?
        _ = try await call { conversation, request, now in
            failure = conversation.acknowledge(deliveries, as: request, deadline: deadline, at: now)
        }
        if let failure { throw failure }
    }
}
