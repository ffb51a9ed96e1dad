import Base
import STOMP

/// A call under way, or something that the conversation itself wants a receipt for.
struct Request: Sendable {
    enum Purpose: Sendable {
        case connect
        /// A confirmed SEND. Kept until its RECEIPT, and sent again after a reconnect.
        case send(Frame, bytes: Int)
        /// Many confirmed SENDs, see `BatchBook`.
        case batch
        /// A SEND without confirmation, done as soon as it is on its way.
        case post(Frame)
        case subscribe(SubscriptionID)
        /// SUBSCRIBE again, on a new connection. Nobody waits for this one.
        case restore(SubscriptionID)
        case unsubscribe(SubscriptionID)
        /// A confirmed ACK or NACK.
        case settle
        case begin(TransactionID)
        case sendInTransaction(TransactionID, Frame)
        case commit(TransactionID)
        /// A SEND that waits for its replies.
        case ask(Ask)
        /// SUBSCRIBE to the reply channel. Nobody waits for this one.
        case replyChannel
        /// A consumer waits for a message.
        case next(SubscriptionID)
        case close
    }

    var purpose: Purpose
    var deadline: Instant?
    /// Of a confirmed SEND: it counts among the unconfirmed ones, and was written at least once. Of many: all were.
    var isUnconfirmed = false
    /// ERROR frames that named no culprit while this SEND was under way. See `Conversation.suspicions`.
    var suspicions = 0

    init(_ purpose: Purpose, deadline: Instant? = nil) {
        self.purpose = purpose
        self.deadline = deadline
    }
}

/// What a call gets when it succeeds.
enum Reply: Sendable, Equatable {
    case done
    case message(Delivery)
    /// No more messages.
    case end
    /// What came for an ask.
    case replies([Delivery], GatheringEnd)
    /// Not all of a batch is confirmed: what has become of each, and why.
    case unfinished([BatchError.Outcome], ClientError)
}

/// A message as it was received, and where. An object, since it goes through many hands.
final class Delivery: Sendable, Equatable {
    let link: LinkNumber
    let subscription: SubscriptionID
    /// Counts the deliveries of the client.
    let serial: UInt64
    let frame: MessageFrame
    let receivedAt: Instant

    init(_ frame: MessageFrame, on link: LinkNumber, of subscription: SubscriptionID, serial: UInt64, at now: Instant) {
        self.link = link
        self.subscription = subscription
        self.serial = serial
        self.frame = frame
        receivedAt = now
    }

    static func == (a: Delivery, b: Delivery) -> Bool { a === b }
}

/// ACK or NACK of one message.
struct Settlement: Sendable, Equatable {
    let delivery: Delivery
    let verdict: Verdict
    let transaction: TransactionID?
    /// Its RECEIPT answers this one.
    let request: RequestID?

    /// As every version names a message differently.
    func encode(version: Version, into out: inout Buffer) {
        out.append(verdict == .acknowledge ? "ACK\n" : "NACK\n")
        out.append(version == .v12 ? "id:" : "message-id:")
        var id = delivery.frame.acknowledgementID
        id.withUTF8 { HeaderText.escape($0, version: version, into: &out) }
        if version != .v12 { Self.append("\nsubscription:", delivery.subscription.number, into: &out) }
        if verdict == .reject(requeue: false) { out.append("\nrequeue:false") }
        if let transaction { Self.append("\ntransaction:", transaction.number, into: &out) }
        if let request { Self.append("\nreceipt:", request.number, into: &out) }
        out.append("\n\n")
        out.append(0)
    }

    private static func append(_ name: StaticString, _ number: UInt64, into out: inout Buffer) {
        out.append(name)
        out.append(decimal: number)
    }
}

/// What the owner of the conversation has to do, in this order.
enum Effect: Sendable, Equatable {
    /// Open a socket to the address with this index, get the credentials, then call `opened` or `ended`.
    case dial(LinkNumber, address: Int)
    case transmit(Frame)
    case settle(Settlement)
    /// These of the messages of a batch.
    case transmitBatch(Batch, Range<Int>)
    case heartBeat
    /// Close the socket of this link. Politely: what was transmitted still goes out.
    case hangUp(LinkNumber, politely: Bool)
    /// Begin reading again; see `Conversation.received`.
    case resumeReading(LinkNumber)
    case complete(RequestID, Result<Reply, ClientError>)
    case announce(ConnectionState)
    case tell(Note)
}
