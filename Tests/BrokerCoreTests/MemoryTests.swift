import Base
import Testing

@testable import BrokerCore

/// What the core keeps in memory, what it lets go, and how it gets that back.
struct MemoryTests {
    /// Goal: letting go of memory never stops a queue. Method: while the page of a returned message is
    /// being read, and a younger message is in memory, evict; the answer must still count.
    @Test func aPageThatWasAskedForBeforeAnEvictionIsStillUsed() {
        var rig = Rig()
        let (first, second) = (rig.open(), rig.open())
        rig.apply(.subscribe(1, "q", .individual, count: 1), of: first)
        rig.apply([.send("q", "one"), .send("q", "two")], of: second)
        rig.sync()
        #expect(rig.take().bodies == ["one"])
        rig.close(first)
        rig.apply(.subscribe(1, "q", .individual, count: 1), of: second)
        #expect(rig.storage.questions.count == 1)
        rig.core.relieveMemory(now: Instant(nanoseconds: 1_000_000_000))
        rig.sync()
        rig.answer()
        #expect(rig.take().bodies == ["one"])
        rig.apply(.accept(1, 1), of: second)
        rig.settleDown()
        #expect(rig.take().bodies == ["two"])
    }

    /// Goal: how often a message was delivered is known after a restart, and after an eviction too.
    @Test func deliveryCountsOutliveARestartAndAnEviction() {
        var before = Rig()
        let lost = before.open()
        before.apply([.subscribe(1, "q", .individual), .send("q", "one", durable: false), .send("q", "two")], of: lost)
        before.close(lost)
        before.sync()
        var rig = Rig(recovered: before.storage.durable)
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 0), of: session)
        rig.apply(.unsubscribe(1), of: session)
        rig.settleDown()
        #expect(rig.core.queues[0].window.count == 2)
        rig.core.relieveMemory(now: Instant(nanoseconds: 1_000_000_000))
        #expect(rig.core.queues[0].window.isEmpty)
        rig.apply(.subscribe(2, "q", .individual), of: session)
        rig.settleDown()
        #expect(rig.take().map { "\($0.body) \($0.count)" } == ["one 2", "two 1"])
    }

    /// Goal: the core keeps no bytes of what is settled. Method: large messages have a chunk of their own.
    @Test(arguments: ["q", "/topic/t", "/reply-queue/r"])
    func theBytesOfASettledMessageAreLetGo(_ destination: String) {
        var rig = Rig()
        let session = rig.open()
        rig.apply([.temporary("/reply-queue/r"), .subscribe(1, destination, .individual)], of: session)
        rig.apply(.send(destination, String(repeating: "x", count: 2 * Chunk.standardCapacity)), of: session)
        rig.sync()
        weak let chunk = rig.take().first?.content.chunk
        rig.apply(.send(destination, "small"), of: session)
        rig.sync()
        if destination != "q" { #expect(chunk != nil) }
        #expect(rig.apply(.accept(1, 1), of: session) == nil)
        #expect(chunk == nil)
    }

    /// A rig whose session holds message one of "q", which is durable, and waits for two, which is on
    /// disk only and not yet durable.
    private func waitingForTheSecond() -> (Rig, SessionID) {
        var limits = CoreLimits()
        limits.idleWindowBytes = 1
        limits.windowBytes = 1
        var rig = Rig(limits: limits)
        let session = rig.open()
        rig.apply(.send("q", "one"), of: session)
        rig.sync()
        rig.apply([.send("q", "two"), .subscribe(1, "q", .individual)], of: session)
        return (rig, session)
    }

    /// Goal: a queue that waits for the disk still gives out what it could. Method: NACK the first message
    /// after the page of the second was found empty.
    @Test func whatComesBackIsReadWhileTheNextMessageIsNotDurable() {
        var (rig, session) = waitingForTheSecond()
        #expect(rig.take().bodies == ["one"])
        rig.answer()
        rig.apply(.reject(1, 1), of: session)
        #expect(rig.storage.questions.map(\.wanted.from) == [1])
        rig.answer()
        #expect(rig.take().bodies == ["one"])
    }

    /// Goal: the same, but the NACK comes before the empty page.
    @Test func whatComesBackWhileAnEmptyPageIsOnItsWayIsRead() {
        var (rig, session) = waitingForTheSecond()
        #expect(rig.take().bodies == ["one"])
        rig.apply(.reject(1, 1), of: session)
        rig.answer()
        #expect(rig.storage.questions.map(\.wanted.from) == [1])
        rig.answer()
        #expect(rig.take().bodies == ["one"])
        rig.settleDown()
        #expect(rig.take().bodies == ["two"])
    }

    @Test func aMessageThatStorageLostStopsItsQueueAndIsSaid() {
        var (rig, session) = waitingForTheSecond()
        rig.sync()
        rig.answer(rig.storage.questions.removeFirst().wanted, from: Ledger())
        #expect(rig.storage.questions.count == 1)
        rig.answer(rig.storage.questions.removeFirst().wanted, from: Ledger())
        #expect(
            rig.reports.last
                == .queueUnreadable(name: bytes("/queue/q"), reason: "storage does not give back message 2"))
        rig.apply(.send("q", "three"), of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["one"])
    }
}

/// What a subscription keeps of deliveries.
struct DeliveryMemoryTests {
    /// Goal: a message that is never acknowledged does not keep the memory of all that came after it.
    @Test func oneForgottenMessageDoesNotKeepThoseBehindIt() {
        var limits = CoreLimits()
        limits.unflushedBytes = .max
        var rig = Rig(limits: limits)
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 2), of: session)
        for number in 1...10_000 {
            rig.apply(.send("q", "\(number)", durable: false), of: session)
            if number > 1 { #expect(rig.apply(.accept(1, UInt64(number)), of: session) == nil) }
        }
        #expect(rig.take().last?.tag == 10_000)
        #expect(rig.core.subscriptions[0].deliveries.count < 100)
        #expect(rig.apply(.accept(1, 1), of: session) == nil)
        #expect(rig.core.queueViews()[0].messages == 0)
        #expect(rig.apply(.accept(1, 5000), of: session) == .unknownDelivery)
    }

    /// Goal: acknowledging in a transaction gives credit back, so the limit must count messages, not ACKs.
    @Test func anAckOfManyInATransactionCountsThemAll() {
        var limits = CoreLimits()
        limits.transactionOperations = 5
        var rig = Rig(limits: limits)
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .cumulative), of: session)
        for number in 1...8 { rig.apply(.send("q", "\(number)", durable: false), of: session) }
        rig.apply(.begin(1), of: session)
        #expect(rig.apply(.accept(1, 3, transaction: 1), of: session) == nil)
        #expect(rig.apply(.accept(1, 5, transaction: 1), of: session) == nil)
        #expect(rig.apply(.accept(1, 6, transaction: 1), of: session) == .transactionTooLarge)
    }

    /// Goal: after an ABORT an ACK covers again what the transaction had decided.
    @Test func aCumulativeAckAfterAnAbortCoversEverythingBefore() {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .cumulative), of: session)
        for number in 1...6 { rig.apply(.send("q", "\(number)", durable: false), of: session) }
        rig.apply(.begin(1), of: session)
        rig.apply(.accept(1, 4, transaction: 1), of: session)
        rig.apply(.abort(1), of: session)
        #expect(rig.apply(.accept(1, 5), of: session) == nil)
        #expect(rig.core.queueViews()[0].unacknowledged == 1)
    }
}
