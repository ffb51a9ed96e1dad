import Base

/// What a client may have open, where its user has other connections too.
public struct Allowance: Equatable, Sendable {
    /// On this connection.
    public var subscriptions = Int.max
    public var transactions = Int.max
    /// The user's limits, for the sentence of the ERROR.
    public var subscriptionsOfUser = 0
    public var transactionsOfUser = 0

    public init() {}
}

extension Session {
    /// Counts from the next frame on.
    public mutating func allow(_ allowance: Allowance) { self.allowance = allowance }

    /// The frames just received are not to be answered, but by this ERROR. Their commands must not be carried out.
    public mutating func refuse(_ error: SessionError) {
        staged.clear()
        stagedHold = false
        stagedEnd = nil
        stagedErrorReceipt = nil
        stagedError = error
    }

    func checkSubscriptions() throws(SessionError) {
        if slots.count >= settings.subscriptions {
            throw SessionError(
                .tooManySubscriptions,
                "a connection may have \(settings.subscriptions) subscriptions (limits.subscriptions_per_connection)")
        }
        if slots.count >= allowance.subscriptions {
            throw SessionError(
                .tooManySubscriptions,
                "a user may have \(allowance.subscriptionsOfUser) subscriptions (limits.subscriptions_per_user)")
        }
    }

    func checkTransactions() throws(SessionError) {
        if transactions.count >= settings.transactions {
            throw SessionError(
                .tooManyTransactions,
                "a connection may have \(settings.transactions) open transactions (limits.transactions_per_connection)")
        }
        if transactions.count >= allowance.transactions {
            throw SessionError(
                .tooManyTransactions,
                "a user may have \(allowance.transactionsOfUser) open transactions (limits.transactions_per_user)")
        }
    }
}
