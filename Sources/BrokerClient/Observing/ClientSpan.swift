/// What a tracer may make a span of: a call of the client, or the handling of a message.
public struct ClientSpan: Sendable {
    /// What a span is around.
    public enum Kind: String, Sendable {
        /// `send`, of a transaction too.
        case send
        /// `request`, with its reply.
        case request
        /// `gather`, with the replies.
        case gather
        /// A handler of `consume`, `pipe` or `serve`, until its message is settled and its reply or results are on their way.
        case handle
    }

    /// What it is around.
    public let kind: Kind
    /// Where the call sends to, or where the message that is handled came from.
    public let destination: String
    /// The one that is handled. Its headers say to which trace it belongs. nil in a call.
    public let message: Message?

    /// `send /queue/orders`
    public var name: String { "\(kind.rawValue) \(destination)" }

    init(_ kind: Kind, _ destination: String) {
        self.kind = kind
        self.destination = destination
        message = nil
    }

    init(handling message: Message) {
        kind = .handle
        destination = message.destination
        self.message = message
    }
}
