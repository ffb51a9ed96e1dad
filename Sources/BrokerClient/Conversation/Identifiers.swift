/// One call that waits for its outcome. Its number is also the `receipt` on the wire.
struct RequestID: Hashable, Comparable, Sendable {
    let number: UInt64

    static func < (a: RequestID, b: RequestID) -> Bool { a.number < b.number }
}

/// Unique in the life of a client, so that an answer to an old one never meets a new one.
struct SubscriptionID: Hashable, Comparable, Sendable {
    let number: UInt64

    static func < (a: SubscriptionID, b: SubscriptionID) -> Bool { a.number < b.number }
}

struct TransactionID: Hashable, Sendable {
    let number: UInt64
}

/// One attempt to connect, and the connection that came of it.
struct LinkNumber: Hashable, Sendable {
    let number: UInt64

    var next: LinkNumber { LinkNumber(number: number + 1) }
}
