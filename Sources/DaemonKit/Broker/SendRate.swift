import Base

/// A token bucket that holds one second's worth: who has been still for a second may send that much at once.
/// It is kept as the time at which all that was taken is paid for, so that it needs no refilling.
struct TokenBucket: Sendable {
    private var paidAt = Instant(nanoseconds: 0)

    private static let second: UInt64 = 1_000_000_000

    /// Takes `count`, however much is there, and says from when on more may be taken; nil: now.
    /// `rate` is for one second; 0: no limit.
    mutating func take(_ count: UInt64, rate: UInt64, now: Instant) -> Instant? {
        if rate == 0 { return nil }
        let (product, tooMuch) = count.multipliedReportingOverflow(by: Self.second)
        let price = tooMuch ? UInt64.max : product / rate
        let full = now.nanoseconds - min(now.nanoseconds, Self.second)
        let (sum, overflow) = max(paidAt.nanoseconds, full).addingReportingOverflow(price)
        paidAt = Instant(nanoseconds: overflow ? .max : sum)
        return paidAt > now ? paidAt : nil
    }

    /// Nothing is owed: a new bucket would do as well, or better.
    func isPaid(at now: Instant) -> Bool { paidAt <= now }
}

/// Messages and their bytes, measured together.
struct SendRate: Sendable {
    private var messages = TokenBucket()
    private var bytes = TokenBucket()

    /// As `TokenBucket.take`; the later time counts.
    mutating func take(messages count: UInt64, bytes size: UInt64, of limit: SendLimit, now: Instant) -> Instant? {
        let first = messages.take(count, rate: limit.messages, now: now)
        let second = bytes.take(size, rate: limit.bytes, now: now)
        guard let first, let second else { return first ?? second }
        return max(first, second)
    }

    func isPaid(at now: Instant) -> Bool { messages.isPaid(at: now) && bytes.isPaid(at: now) }
}

/// For one second; 0: no limit.
struct SendLimit: Sendable, Equatable {
    var messages: UInt64 = 0
    var bytes: UInt64 = 0

    var isNone: Bool { messages == 0 && bytes == 0 }
}

/// What clients may do, beside what a session sees to by itself. 0: no limit.
struct ClientLimits: Sendable, Equatable {
    var ofConnection = SendLimit()
    var ofUser = SendLimit()
    var ofAddress = SendLimit()
    var connectionsOfUser = 0
    var subscriptionsOfUser = 0
    var transactionsOfUser = 0

    var haveNoRates: Bool { ofConnection.isNone && ofUser.isNone && ofAddress.isNone }
}
