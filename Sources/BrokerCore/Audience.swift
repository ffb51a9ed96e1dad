/// Subscriptions on one loop of which each gets the same messages of a topic, with nothing in them that is for one
/// alone: one delivery stands for all, so that a message is counted, passed on and encoded once.
public final class Audience: Sendable {
    public struct Member: Sendable, Equatable {
        public let connection: UInt64
        public let slot: UInt32

        public init(connection: UInt64, slot: UInt32) {
            self.connection = connection
            self.slot = slot
        }
    }

    /// Where in the tables of the core a member is.
    struct Place {
        let subscription: Int32
        let queue: Int32
        let session: Int32
    }

    /// No other that ever was has the same.
    public let number: UInt64
    let loop: Int
    /// No two of one connection.
    public let members: [Member]
    /// In the order of `members`.
    let places: [Place]

    init(number: UInt64, loop: Int, _ members: [Member], _ places: [Place]) {
        self.number = number
        self.loop = loop
        self.members = members
        self.places = places
    }
}

extension Delivery {
    /// What this one stands for: a delivery for each subscription that gets it.
    public var single: [Delivery] {
        guard let audience else { return [self] }
        return audience.members.map { member in
            var delivery = self
            delivery.audience = nil
            delivery.connection = member.connection
            delivery.slot = member.slot
            return delivery
        }
    }
}
