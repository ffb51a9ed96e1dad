import Base
import Net
import Sessions

/// Why a client is not read from for a while, beside what it does not read itself.
struct ClientHolds {
    /// Too much is on its way to the disk.
    var isBehindDisk = false
    /// What it sends to has no room: until there is some, and no longer than this.
    var room: Instant?
    /// It has sent more than its rate allows.
    var rate: Instant?

    var isEmpty: Bool { !isBehindDisk && room == nil && rate == nil }

    /// When to look again; nil if time does not matter.
    var until: Instant? { earlier(room, rate) }

    mutating func drop(dueAt now: Instant) {
        if let due = room, due <= now { room = nil }
        if let due = rate, due <= now { rate = nil }
    }
}

/// The nearer of two times that may be none.
func earlier(_ a: Instant?, _ b: Instant?) -> Instant? {
    guard let a, let b else { return a ?? b }
    return min(a, b)
}

extension Client {
    /// The core says that the client is to wait, or need not any more.
    func hold(until: Instant?) {
        guard let until else {
            holds.room = nil
            return resumeIfFree()
        }
        holds.room = max(until, holds.room ?? until)
        connection.pauseReading()
        setDeadline()
    }

    /// Pays for what came in since the last time, and has the client wait if that was too much.
    func pay(now: Instant) {
        let limits = home.limits
        let (messages, bytes) = (session.sends &- paid.messages, session.sendBytes &- paid.bytes)
        if messages == 0 { return }
        paid = (session.sends, session.sendBytes)
        if limits.haveNoRates { return }
        var until = rate.take(messages: messages, bytes: bytes, of: limits.ofConnection, now: now)
        func consider(_ account: Account?, _ limit: SendLimit) {
            guard let account, !limit.isNone,
                let other = account.take(messages: messages, bytes: bytes, of: limit, now: now)
            else { return }
            until = max(other, until ?? other)
        }
        consider(user, limits.ofUser)
        consider(address, limits.ofAddress)
        guard let until else { return }
        holds.rate = until
        connection.pauseReading()
    }

    /// Limits have changed: what the old ones asked for is let go.
    func forgiveRate() {
        rate = SendRate()
        holds.rate = nil
        resumeIfFree()
    }

    /// After CONNECT: the client counts as one of its user's. False if there are too many.
    func admit() -> Bool {
        if isAdmitted || !session.isConnected { return true }
        isAdmitted = true
        // Without a login there is no telling whose it is.
        if session.login.isEmpty { return true }
        let most = home.limits.connectionsOfUser
        user = home.broker.accounts.enter(.user(session.login), most: most, now: home.loop.now)
        return user != nil
    }

    static func tooMany(_ most: Int) -> SessionError {
        SessionError(
            .tooManyConnections,
            "a user may have \(most) connections at the same time (limits.connections_per_user)")
    }

    /// What the client may open yet, as far as its user's other connections leave it.
    func allowForUser() {
        let limits = home.limits
        guard let user, limits.subscriptionsOfUser > 0 || limits.transactionsOfUser > 0 else {
            return session.allow(Allowance())
        }
        let open = user.opened
        var allowance = Allowance()
        if limits.subscriptionsOfUser > 0 {
            allowance.subscriptions = counted.subscriptions + max(0, limits.subscriptionsOfUser - open.subscriptions)
            allowance.subscriptionsOfUser = limits.subscriptionsOfUser
        }
        if limits.transactionsOfUser > 0 {
            allowance.transactions = counted.transactions + max(0, limits.transactionsOfUser - open.transactions)
            allowance.transactionsOfUser = limits.transactionsOfUser
        }
        session.allow(allowance)
    }

    /// Tells the user's account what is open now.
    func countForUser() {
        guard let user else { return }
        let now = Account.Open(
            subscriptions: session.subscriptionCount, transactions: session.transactionCount)
        if now == counted { return }
        user.change(from: counted, to: now)
        counted = now
    }

    /// The client is gone.
    func leaveAccounts() {
        let now = home.loop.now
        if let user {
            user.change(from: counted, to: Account.Open())
            home.broker.accounts.leave(user, now: now)
        }
        if let address { home.broker.accounts.leave(address, now: now) }
        user = nil
        address = nil
    }
}
