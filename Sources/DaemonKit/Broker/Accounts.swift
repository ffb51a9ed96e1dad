import Base
import Synchronization

/// What the connections of one user, or of one address, have in common, over all loops.
final class Account: Sendable {
    enum Key: Hashable, Sendable {
        case user(String)
        /// `PeerAddress.limitKey`.
        case address(UInt64)
    }

    /// What is open now.
    struct Open: Sendable, Equatable {
        var subscriptions = 0
        var transactions = 0
    }

    let key: Key
    private let rate = Mutex(SendRate())
    private let open = Mutex(Open())

    init(_ key: Key) { self.key = key }

    func take(messages: UInt64, bytes: UInt64, of limit: SendLimit, now: Instant) -> Instant? {
        rate.withLock { $0.take(messages: messages, bytes: bytes, of: limit, now: now) }
    }

    func isPaid(at now: Instant) -> Bool { rate.withLock { $0.isPaid(at: now) } }

    var opened: Open { open.withLock { $0 } }

    /// One connection had `before` open and has `after` now.
    func change(from before: Open, to after: Open) {
        open.withLock { open in
            open.subscriptions += after.subscriptions - before.subscriptions
            open.transactions += after.transactions - before.transactions
        }
    }
}

/// All users and addresses that are there, or owe something yet: who comes back gets no new bucket.
final class Accounts: Sendable {
    private struct Entry {
        let account: Account
        var connections = 0
    }

    private struct State {
        var entries: [Account.Key: Entry] = [:]
        /// Nobody is there, but not all is paid for.
        var owing: Set<Account.Key> = []
        var lookedAt = Instant(nanoseconds: 0)
    }

    private let state = Mutex(State())

    /// Nil if `most` connections are there already; 0: no limit.
    func enter(_ key: Account.Key, most: Int = 0, now: Instant) -> Account? {
        state.withLock { state in
            Self.forgetPaid(&state, now)
            var entry = state.entries[key] ?? Entry(account: Account(key))
            if most > 0, entry.connections >= most { return nil }
            entry.connections += 1
            state.entries[key] = entry
            state.owing.remove(key)
            return entry.account
        }
    }

    func leave(_ account: Account, now: Instant) {
        state.withLock { state in
            guard var entry = state.entries[account.key] else { return }
            entry.connections -= 1
            if entry.connections > 0 {
                state.entries[account.key] = entry
            } else if account.isPaid(at: now) {
                state.entries[account.key] = nil
            } else {
                state.entries[account.key] = entry
                state.owing.insert(account.key)
            }
        }
    }

    private static func forgetPaid(_ state: inout State, _ now: Instant) {
        if state.owing.isEmpty || now.milliseconds(since: state.lookedAt) < 1000 { return }
        state.lookedAt = now
        for key in state.owing where state.entries[key]?.account.isPaid(at: now) ?? true {
            state.owing.remove(key)
            state.entries[key] = nil
        }
    }

    /// Users and addresses that are remembered.
    var count: Int { state.withLock { $0.entries.count } }
}
