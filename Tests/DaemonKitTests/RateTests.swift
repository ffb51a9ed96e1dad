import Base
import Testing

@testable import DaemonKit

/// Rates, and what the connections of one user share.
struct RateTests {
    private func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: (1_000_000 + milliseconds) * 1_000_000) }

    // MARK: The bucket

    @Test func aSecondsWorthGoesAtOnceAndThenTheRateHolds() {
        var bucket = TokenBucket()
        #expect(bucket.take(100, rate: 100, now: at(0)) == nil)
        #expect(bucket.take(1, rate: 100, now: at(0)) == at(10))
        #expect(bucket.take(50, rate: 100, now: at(10)) == at(510))
        #expect(!bucket.isPaid(at: at(509)) && bucket.isPaid(at: at(510)))
        // Half a second later half a bucket is there, and after long no more than a whole one.
        #expect(bucket.take(50, rate: 100, now: at(1010)) == nil)
        #expect(bucket.take(1, rate: 100, now: at(1010)) == at(1020))
        #expect(bucket.take(101, rate: 100, now: at(99_000)) == at(99_010))
    }

    @Test func theRateHoldsOverLongTimesWhateverTheSizesAre() {
        var bucket = TokenBucket()
        var now = at(0)
        var taken: UInt64 = 0
        for step in 0..<2000 {
            let count = UInt64(step * 7919 % 53) + 1
            taken += count
            now = bucket.take(count, rate: 300, now: now) ?? now
        }
        let milliseconds = now.milliseconds(since: at(0)) + 1000
        #expect(abs(Int(taken) - Int(milliseconds * 300 / 1000)) <= 1)
    }

    @Test func noLimitTakesNothingAndHugeCountsDoNotTrap() {
        var bucket = TokenBucket()
        #expect(bucket.take(.max, rate: 0, now: at(0)) == nil)
        #expect(bucket.isPaid(at: at(0)))
        #expect(bucket.take(.max, rate: 1, now: at(0)) == Instant(nanoseconds: .max))
        #expect(bucket.take(.max, rate: .max, now: at(0)) == Instant(nanoseconds: .max))
        var early = TokenBucket()
        #expect(early.take(1, rate: 10, now: Instant(nanoseconds: 5)) == Instant(nanoseconds: 100_000_000))
    }

    @Test func ofMessagesAndBytesTheScarcerOneCounts() {
        var rate = SendRate()
        let limit = SendLimit(messages: 10, bytes: 1000)
        #expect(rate.take(messages: 10, bytes: 100, of: limit, now: at(0)) == nil)
        #expect(rate.take(messages: 1, bytes: 2900, of: limit, now: at(0)) == at(2000))
        #expect(rate.take(messages: 39, bytes: 0, of: limit, now: at(0)) == at(4000))
        #expect(SendLimit().isNone && !limit.isNone)
    }

    // MARK: Accounts

    @Test func aUserMayHaveSoManyConnections() throws {
        let accounts = Accounts()
        let first = try #require(accounts.enter(.user("a"), most: 2, now: at(0)))
        let second = try #require(accounts.enter(.user("a"), most: 2, now: at(0)))
        #expect(first === second)
        #expect(accounts.enter(.user("a"), most: 2, now: at(0)) == nil)
        #expect(accounts.enter(.user("b"), most: 2, now: at(0)) != nil)
        #expect(accounts.enter(.address(7), now: at(0)) != nil)
        accounts.leave(first, now: at(1))
        #expect(accounts.enter(.user("a"), most: 2, now: at(1)) != nil)
        #expect(accounts.enter(.user("a"), most: 0, now: at(1)) != nil, "0 is no limit")
    }

    /// Goal: connecting again is no way around a rate, and who owes nothing is forgotten.
    @Test func whoComesBackFindsTheSameBucketUntilItIsPaid() throws {
        let accounts = Accounts()
        let limit = SendLimit(messages: 10)
        let account = try #require(accounts.enter(.user("a"), now: at(0)))
        #expect(account.take(messages: 60, bytes: 0, of: limit, now: at(0)) == at(5000))
        accounts.leave(account, now: at(1))
        let again = try #require(accounts.enter(.user("a"), now: at(2000)))
        #expect(again === account)
        #expect(again.take(messages: 1, bytes: 0, of: limit, now: at(2000)) == at(5100))
        accounts.leave(again, now: at(2001))
        let other = try #require(accounts.enter(.user("b"), now: at(5099)))
        #expect(accounts.count == 2)
        accounts.leave(other, now: at(5099))
        #expect(accounts.count == 1)
        let last = try #require(accounts.enter(.user("b"), now: at(6200)))
        #expect(accounts.count == 1, "it was paid")
        accounts.leave(last, now: at(6200))
        #expect(accounts.count == 0)
    }

    @Test func whatIsOpenIsCountedOverAllConnections() throws {
        let account = Account(.user("a"))
        account.change(from: Account.Open(), to: Account.Open(subscriptions: 3, transactions: 1))
        account.change(from: Account.Open(), to: Account.Open(subscriptions: 1, transactions: 0))
        #expect(account.opened == Account.Open(subscriptions: 4, transactions: 1))
        account.change(from: Account.Open(subscriptions: 3, transactions: 1), to: Account.Open())
        #expect(account.opened == Account.Open(subscriptions: 1, transactions: 0))
    }

    // MARK: Holds

    @Test func aClientIsReadAgainWhenNothingHoldsItAnyMore() {
        var holds = ClientHolds()
        #expect(holds.isEmpty && holds.until == nil)
        holds.room = at(20)
        holds.rate = at(10)
        #expect(holds.until == at(10))
        holds.drop(dueAt: at(10))
        #expect(holds.until == at(20) && !holds.isEmpty)
        holds.isBehindDisk = true
        holds.drop(dueAt: at(20))
        #expect(holds.until == nil && !holds.isEmpty)
        holds.isBehindDisk = false
        #expect(holds.isEmpty)
    }
}
