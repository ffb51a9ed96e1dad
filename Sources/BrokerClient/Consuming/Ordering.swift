/// Which messages a consumer works on one after the other.
///
///     let byCustomer = Ordering.by { $0.headers["customer"] }
///     let consumer = try await client.consume("/queue/orders", concurrency: 8, orderedBy: byCustomer) { order in
///         try await handle(order)
///     }
public struct Ordering: Sendable {
    /// Those with the same answer are in one order. nil: in none.
    let group: @Sendable (Message) -> String?

    /// All at once, as far as `concurrency` goes.
    public static let none = Ordering { _ in nil }

    /// Those of one `message-group`, in any of its spellings (docs/protocol.md). The broker gives a group to one consumer at a time, so this order
    /// holds over all consumers of the queue.
    public static let messageGroup = Ordering { message in
        for name in spellings {
            if let group = message.headers[name], !group.isEmpty { return group }
        }
        return nil
    }

    private static let spellings = ["message-group", "JMSXGroupID", "message_group", "_AMQ_GROUP_ID"]

    /// By whatever the closure says, a customer's number for example. Holds within this consumer only.
    public static func by(_ group: @escaping @Sendable (Message) -> String?) -> Ordering { Ordering(group: group) }
}
