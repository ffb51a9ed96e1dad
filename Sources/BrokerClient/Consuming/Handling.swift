/// What a consumer does with one message: calls the handler, and settles the message as it went.
final class Handling: Sendable {
    /// What a handler wants when it returns.
    enum Result: Sendable {
        case acknowledge
        case sendOn([Outgoing])
    }

    let ordering: Ordering
    let tally = Tally()
    private let retry: RetryPolicy
    private let rule: FailureRule
    private let work: @Sendable (Message) async throws -> Result

    init(
        _ ordering: Ordering, _ retry: RetryPolicy, _ rule: @escaping FailureRule,
        work: @escaping @Sendable (Message) async throws -> Result
    ) {
        self.ordering = ordering
        self.retry = retry
        self.rule = rule
        self.work = work
    }

    /// Why a message is not worked on any further.
    private enum Verdict {
        case done(Result)
        case failed(FailureAction)
        /// It is not settled: with its subscription, or its connection, it goes back.
        case left
    }

    func handle(_ message: Message, in workshop: Workshop) async {
        let verdict = await attempt(message, in: workshop)
        do throws(ClientError) {
            switch verdict {
            case .done(.acknowledge): try await message.acknowledge()
            case .done(.sendOn(let results)): try await message.settle(sendingOn: results)
            case .failed(.acknowledge): try await message.acknowledge()
            case .failed(.redeliver):
                try await message.reject()
                tally.count(\.rejected)
            case .failed(.deadLetter):
                try await message.reject(requeue: false)
                tally.count(\.deadLettered)
            case .left: tally.count(\.lost)
            }
        } catch .alreadySettled {
            // The handler did it itself, which it may.
        } catch {
            // Nothing to be done about it here: what was not settled comes again.
            tally.count(\.lost)
        }
    }

    private func attempt(_ message: Message, in workshop: Workshop) async -> Verdict {
        var backoff = retry.backoff()
        while message.isHeld {
            do {
                let result = try await work(message)
                tally.count(\.handled)
                return .done(result)
            } catch {
                tally.count(\.failed)
                // A handler that is cancelled says nothing about its message.
                if Task.isCancelled { return .left }
                let action = rule(message, error)
                guard action == .redeliver, ordering.group(message) != nil else { return .failed(action) }
                guard let delay = backoff.next() else { return .failed(.deadLetter) }
                guard await workshop.pause(milliseconds: delay) else { return .left }
            }
        }
        return .left
    }
}

/// What becomes of a message whose handler threw.
public enum FailureAction: Sendable, Equatable {
    /// It is done with all the same.
    case acknowledge
    /// It is delivered again, here or elsewhere, when the wait that the broker has for it is over.
    case redeliver
    /// It goes to the dead-letter queue at once.
    case deadLetter
}

/// Decides by the message and the error. Called once for each time that a handler throws.
///
///     let rule: FailureRule = { message, error in
///         (message.deliveryCount ?? 1) > 3 ? .deadLetter : .redeliver
///     }
public typealias FailureRule = @Sendable (Message, any Error) -> FailureAction

/// Thrown by a handler for a message that will never be any better: it goes to the dead-letter queue.
///
///     let consumer = try await client.consume("/queue/orders") { order in
///         guard order.headers["customer"] != nil else { throw Unprocessable("an order has a customer") }
///         try await handle(order)
///     }
public struct Unprocessable: Error, Equatable, Sendable, CustomStringConvertible {
    /// Why, in a sentence.
    public let description: String

    /// `description` is for people; nothing but the consumer's own program sees it.
    public init(_ description: String) { self.description = description }

    /// Dead letter for this error, delivery again for all others.
    public static let rule: FailureRule = { _, error in error is Unprocessable ? .deadLetter : .redeliver }
}
