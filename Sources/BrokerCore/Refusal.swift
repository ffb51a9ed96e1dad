/// Why the core does not carry out a command. The session answers ERROR and closes.
public struct Refusal: Error, Equatable, Sendable {
    public enum Kind: String, CaseIterable, Sendable {
        case badDestination
        case wildcardInSend
        case unsupportedDestination
        case notYourTemporary
        case noSuchTemporary
        case tooManyQueues
        case badSelector
        case unknownDelivery
        case autoAcknowledged
        case transactionTooLarge
        case transactionTooLong
        case transactionTargetGone
        case messageTooLarge
        case diskShort
        case noSuchQueue
        case paused
        case queueDeleted
        case slowConsumer
        case closedByOperator
        case queueFull
        case subscriptionInUse
        case noSuchSubscription
        case retainedFull
        case contradictoryWishes

        /// The `message` header of the ERROR frame. Part of the protocol: docs/protocol.md lists it.
        public var message: String {
            switch self {
            case .badDestination: "bad destination"
            case .wildcardInSend: "wildcard in SEND destination"
            case .unsupportedDestination: "unsupported destination"
            case .notYourTemporary: "temporary queue of another connection"
            case .noSuchTemporary: "no such temporary queue"
            case .tooManyQueues: "too many queues"
            case .badSelector: "bad selector"
            case .unknownDelivery: "unknown or settled message"
            case .autoAcknowledged: "subscription does not take ACK or NACK"
            case .transactionTooLarge: "transaction too large"
            case .transactionTooLong: "transaction timed out"
            case .transactionTargetGone: "queue of the transaction was deleted"
            case .messageTooLarge: "message too large"
            case .diskShort: "disk is short"
            case .noSuchQueue: "no such queue"
            case .paused: "queue is paused"
            case .queueDeleted: "queue deleted"
            case .slowConsumer: "slow consumer"
            case .closedByOperator: "closed by operator"
            case .queueFull: "queue full"
            case .subscriptionInUse: "durable subscription in use"
            case .noSuchSubscription: "no such durable subscription"
            case .contradictoryWishes: "wishes that contradict each other"
            case .retainedFull: "too much is retained"
            }
        }
    }

    public var kind: Kind
    /// The body of the ERROR frame: what, where, what to do.
    public var detail: String

    public init(_ kind: Kind, _ detail: String) {
        self.kind = kind
        self.detail = detail
    }

    public var message: String { kind.message }
}
