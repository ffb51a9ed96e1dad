/// Not all messages of one `Client.send` are known to be with the broker: why, and what is known of each.
///
///     do throws(BatchError) {
///         try await client.send(invoices)
///     } catch {
///         print(error.cause, "- to be looked at:", error.unconfirmed)
///     }
public struct BatchError: Error, Equatable, Sendable {
    /// What has become of one message.
    public enum Outcome: Sendable, Equatable {
        /// The broker has it safely.
        case confirmed
        /// The broker said no to this one; if that ended the call, `cause` says why.
        case refused
        /// It was sent, and no answer came: the broker has it, or not.
        case unknown
        /// It was not sent.
        case notSent
    }

    /// What ended the call: one of the errors that a `send` of one message throws.
    public let cause: ClientError
    /// One for each message, in their order.
    public let outcomes: [Outcome]

    /// Where the messages stand that are not confirmed, in order. To send these again is safe only under the `dedup-id` that
    /// they had, that is if it was yours.
    public var unconfirmed: [Int] { outcomes.indices.filter { outcomes[$0] != .confirmed } }

    /// Made by the library; public so that tests can make one.
    public init(_ cause: ClientError, _ outcomes: [Outcome]) {
        self.cause = cause
        self.outcomes = outcomes
    }
}

extension BatchError: CustomStringConvertible {
    /// One sentence for a log.
    public var description: String {
        "\(unconfirmed.count) of \(outcomes.count) messages are not confirmed: \(cause)"
    }
}
