/// Hands each message to the handler of its type and major version, decoded.
///
///     let router = MessageRouter()
///         .on(OrderPlaced.self) { order, message in … }         // shop.order-placed, 2.x
///         .on(OrderPlacedV1.self) { order, message in … }       // shop.order-placed, 1.x
///         .on(OrderCancelled.self) { order, message in … }
///     try await orders.route(to: router)
///
/// What no handler understands goes to `otherwise`, if there is one, and else is an error for who called `route`.
public struct MessageRouter: Sendable {
    /// Deals with a message that no handler understands; the error says why none does.
    public typealias Otherwise = @Sendable (Message, BodyError) async throws -> Void

    private struct Form: Hashable {
        let type: String
        let major: UInt32
    }

    private typealias Handler = @Sendable (Message, SchemaVersion) async throws -> Void

    private var handlers: [Form: Handler] = [:]
    private var unknown: Otherwise?

    /// Understands nothing yet: add handlers with `on`.
    public init() {}

    /// With a handler for the major versions that this type understands, instead of those that there were for them.
    public func on<Body: MessageBody>(
        _ type: Body.Type, _ handler: @escaping @Sendable (Body, Message) async throws -> Void
    ) -> MessageRouter {
        var copy = self
        for major in Body.understoodMajors {
            copy.handlers[Form(type: Body.messageType, major: major)] = { message, version in
                try await handler(try TypedHeaders.decode(message, as: type, version: version), message)
            }
        }
        return copy
    }

    /// With a handler for what the others do not understand: an unknown type or major version, a body that is not what
    /// its headers say. When it returns, the message counts as dealt with.
    public func otherwise(_ handler: @escaping Otherwise) -> MessageRouter {
        var copy = self
        copy.unknown = handler
        return copy
    }

    /// Has the message dealt with; acknowledging it is the caller's business, so it goes together with `Message.once` and
    /// with consumers that settle by themselves. The trace of the message is `TraceContext.current` meanwhile.
    ///
    /// Throws what the handler threw, and `BodyError` if there is none for this message.
    nonisolated(nonsending) public func route(_ message: Message) async throws {
        let trace = TraceContext(of: message) ?? TraceContext.current
        try await TraceContext.$current.withValue(trace) {
            do {
                let identity = try TypedHeaders.identity(of: message)
                try await handler(for: identity)(message, identity.version)
            } catch let error as BodyError {
                guard let unknown else { throw error }
                try await unknown(message, error)
            }
        }
    }

    private func handler(for identity: (type: String, version: SchemaVersion)) throws(BodyError) -> Handler {
        if let handler = handlers[Form(type: identity.type, major: identity.version.major)] { return handler }
        let understood = handlers.keys.filter { $0.type == identity.type }.map(\.major).sorted()
        if understood.isEmpty { throw .typeUnknown(identity.type) }
        throw .majorUnknown(type: identity.type, version: identity.version, understood: understood)
    }
}

extension Subscription {
    /// Takes messages, one after the other, until the subscription ends, and hands each to its handler.
    ///
    /// * The handler returns: the message is acknowledged.
    /// * It throws: the message is rejected, and comes again as often as the queue's settings allow.
    /// * Nobody understands the message: trying again would not help. It goes to the dead-letter queue with the reason, as
    ///   `deadLetter` does it. So does one whose handler throws a `BodyError`.
    ///
    /// `failed` is told of both kinds of error first. Throws as iterating does, what `deadLetter` throws, and
    /// `ClientError.cancelled` when the task is cancelled.
    nonisolated(nonsending) public func route(
        to router: MessageRouter, deadLetterQueue: String? = nil,
        failed: (Message, any Error) -> Void = { _, _ in }
    ) async throws(ClientError) {
        while let message = try await next() {
            do {
                try await router.route(message)
                try await Self.unlessItComesAgain { () throws(ClientError) in try await message.acknowledge() }
            } catch {
                if Task.isCancelled { throw .cancelled }
                failed(message, error)
                let reason = (error as? BodyError)?.description
                try await Self.unlessItComesAgain { () throws(ClientError) in
                    if let reason {
                        try await deadLetter(message, because: reason, to: deadLetterQueue)
                    } else {
                        try await message.reject()
                    }
                }
            }
        }
    }

    /// Without an error for what makes the message come again anyway, or says that it is settled; that the subscription
    /// is over is said by `next`.
    static nonisolated(nonsending) func unlessItComesAgain(
        _ settle: () async throws(ClientError) -> Void
    ) async throws(ClientError) {
        do throws(ClientError) {
            try await settle()
        } catch {
            switch error {
            case .connectionLost, .outcomeUnknown, .alreadySettled, .subscriptionEnded: return
            default: throw error
            }
        }
    }
}
