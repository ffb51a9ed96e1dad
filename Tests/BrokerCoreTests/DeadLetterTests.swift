import Base
import Testing

@testable import BrokerCore

/// Back-off, the limit of deliveries, and the dead-letter queue.
struct DeadLetterTests {
    private func settings(_ change: (inout QueueSettings) -> Void) -> QueueSettings {
        var settings = QueueSettings.calm
        settings.redeliveryJitterPercent = 0
        change(&settings)
        return settings
    }

    @Test func aRefusedMessageWaitsLongerEachTime() {
        var rig = Rig(defaults: settings { ($0.redeliveryDelay, $0.redeliveryDelayMost) = (1000, 3000) })
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual), of: session)
        rig.apply(.send("q", "a"), of: session)
        rig.settleDown()
        for (tag, wait) in zip(1..., [1000, 2000, 3000, 3000] as [UInt64]) {
            #expect(rig.take().bodies == ["a"])
            rig.apply(.reject(1, UInt64(tag)), of: session)
            rig.pass(wait - 1)
            #expect(rig.take().isEmpty)
            rig.pass(1)
        }
        #expect(rig.take().first?.count == 5)
    }

    @Test func othersAreDeliveredWhileOneWaits() {
        var rig = Rig(defaults: settings { $0.redeliveryDelay = 1000 })
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 1), of: session)
        for number in 1...3 { rig.apply(.send("q", "\(number)"), of: session) }
        rig.settleDown()
        rig.apply(.reject(1, 1), of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["1", "2"])
        rig.pass(1000)
        rig.apply(.accept(1, 2), of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["1"])
    }

    @Test func theWaitThatAConsumerAsksForSurvivesARestart() {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual), of: session)
        rig.apply(.send("q", "a"), of: session)
        rig.settleDown()
        rig.apply(.reject(1, 1, .requeueAfter(milliseconds: 5000)), of: session)
        rig.settleDown()
        rig.restart()
        let next = rig.open()
        rig.apply(.subscribe(1, "q", .individual), of: next)
        rig.pass(4999)
        #expect(rig.take().isEmpty)
        rig.pass(1)
        let back = rig.take()
        #expect(back.bodies == ["a"])
        #expect(back.first?.count == 2)
    }

    /// A message that waits lies between others; when their memory is let go of, they are read again without it.
    @Test func whatWaitsIsNotReadAgainWithItsNeighbours() {
        var rig = Rig()
        let session = rig.open()
        for number in 0...3 { rig.apply(.send("q", "\(number)"), of: session) }
        rig.settleDown()
        rig.apply(.subscribe(1, "q", .individual), of: session)
        rig.settleDown()
        rig.apply(.reject(1, 3, .requeueAfter(milliseconds: 5000)), of: session)
        rig.settleDown()
        rig.restart()
        let next = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 1), of: next)
        rig.settleDown()
        rig.core.relieveMemory(now: Instant(nanoseconds: 1_000_000_000))
        for tag in 1...3 {
            rig.apply(.accept(1, UInt64(tag)), of: next)
            rig.settleDown()
        }
        #expect(rig.take().bodies == ["0", "1", "3"])
        rig.pass(5000)
        #expect(rig.take().bodies == ["2"])
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 1)
    }

    @Test func whoIsCutOffGetsNoWait() {
        var rig = Rig(defaults: settings { $0.redeliveryDelay = 1000 })
        let (one, two) = (rig.open(), rig.open())
        rig.apply(.subscribe(1, "q", .individual), of: one)
        rig.apply(.send("q", "a"), of: one)
        rig.settleDown()
        rig.apply(.subscribe(1, "q", .individual), of: two)
        rig.close(one)
        rig.settleDown()
        #expect(rig.take().map(\.count) == [1, 2])
    }

    @Test func afterTheLimitOfDeliveriesAMessageIsDead() {
        var rig = Rig(defaults: settings { $0.deliveryLimit = 3 })
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 1), of: session)
        rig.send(head: "destination:/queue/q\nx:y\n", "q", "poison", of: session)
        rig.apply(.send("q", "good"), of: session)
        rig.settleDown()
        for tag in 1...3 {
            rig.apply(.reject(1, UInt64(tag)), of: session)
            rig.settleDown()
        }
        #expect(rig.take().bodies == ["poison", "poison", "poison", "good"])
        #expect(rig.stored("/queue/q") == ["": ["good"]])
        #expect(rig.stored("/queue/q.dlq") == ["": ["poison"]])
        rig.apply(.subscribe(2, "/queue/q.dlq", .individual), of: session)
        rig.settleDown()
        let dead = rig.take()
        let lines = String(decoding: dead[0].content.bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        #expect(lines.filter { $0.hasPrefix("destination:") } == ["destination:/queue/q.dlq"])
        #expect(lines.contains("dead-letter-reason:delivery-limit"))
        #expect(lines.contains("original-destination:/queue/q"))
        #expect(lines.contains("original-message-id:0-1-1"))
        #expect(lines.contains("delivery-count:3"))
        #expect(lines.contains("dead-letter-time:1000000"))
        #expect(lines.contains("refused-by:connection 1"))
        #expect(lines.contains("x:y"))
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 1)
        #expect(rig.storage.wrong.isEmpty)
    }

    @Test func aRejectedMessageIsDeadAtOnceAlsoInATransaction() {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual), of: session)
        for body in ["a", "b"] { rig.apply(.send("q", body), of: session) }
        rig.settleDown()
        rig.apply(.reject(1, 1, .deadLetter), of: session)
        rig.apply([.begin(1), .reject(1, 2, transaction: 1, .deadLetter)], of: session)
        rig.settleDown()
        #expect(rig.stored("/queue/q.dlq") == ["": ["a"]])
        rig.apply(.commit(1), of: session)
        rig.settleDown()
        #expect(rig.stored("/queue/q.dlq") == ["": ["a", "b"]])
        #expect(rig.stored("/queue/q").isEmpty)
    }

    /// Whatever the process had time for, a message is in one of both queues, never in none or both.
    @Test(arguments: 0..<6)
    func aCrashOnTheWayToTheDeadLeavesTheMessageInOnePlace(batches: Int) {
        var rig = Rig(defaults: settings { $0.deliveryLimit = 1 })
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual), of: session)
        rig.apply(.send("q", "a"), of: session)
        rig.settleDown()
        rig.apply(.reject(1, 1), of: session)
        for _ in 0..<batches {
            rig.sync(1)
            if !rig.storage.questions.isEmpty { rig.answer() }
        }
        rig.restart()
        let stored = (rig.stored("/queue/q")[""] ?? []) + (rig.stored("/queue/q.dlq")[""] ?? [])
        #expect(stored == ["a"])
        let next = rig.open()
        rig.apply(.subscribe(1, "q", .individual), of: next)
        rig.settleDown()
        for delivery in rig.take() { rig.apply(.reject(1, delivery.tag), of: next) }
        rig.settleDown()
        #expect(rig.stored("/queue/q.dlq") == ["": ["a"]])
        #expect(rig.stored("/queue/q").isEmpty)
    }

    @Test func theDeadStayWhereTheyAre() {
        var rig = Rig(defaults: settings { $0.deliveryLimit = 1 })
        let session = rig.open()
        rig.apply(.subscribe(1, "q.dlq", .individual), of: session)
        rig.apply(.send("q.dlq", "a"), of: session)
        rig.settleDown()
        rig.apply(.reject(1, 1, .deadLetter), of: session)
        rig.settleDown()
        #expect(rig.take().map(\.count) == [1, 2])
        #expect(rig.core.queueCount == 1)
    }

    @Test func manyDeadAreMovedInPages() {
        var limits = CoreLimits()
        limits.pageCount = 7
        limits.idleWindowBytes = 1
        var rig = Rig(limits: limits, defaults: settings { $0.deliveryLimit = 1 })
        let session = rig.open()
        for number in 0..<100 { rig.apply(.send("q", "\(number)"), of: session) }
        rig.settleDown()
        rig.apply(.subscribe(1, "q", .cumulative), of: session)
        rig.settleDown()
        rig.apply(.reject(1, 100), of: session)
        rig.settleDown()
        #expect(rig.stored("/queue/q.dlq")[""]?.count == 100)
        #expect(rig.core.queueView(named: bytes("q"))?.bytes == 0)
        #expect(rig.storage.wrong.isEmpty)
    }

    @Test func anEmptyNameOfTheDeadLetterQueueThrowsThemAway() {
        var rig = Rig(defaults: settings { $0.deadLetterQueue = [] })
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual), of: session)
        rig.apply(.send("q", "a"), of: session)
        rig.settleDown()
        rig.apply(.reject(1, 1, .deadLetter), of: session)
        rig.settleDown()
        #expect(rig.core.queueCount == 1)
        #expect(rig.stored("/queue/q").isEmpty)
    }

    @Test(arguments: [("L", 248), ("L", 255), ("é", 126)] as [(String, Int)])
    func aLongNameHasADeadLetterQueueThatCanBeReached(letter: String, count: Int) throws {
        var rig = Rig()
        let session = rig.open()
        let name = "/queue/" + String(repeating: letter, count: count)
        rig.apply(.subscribe(1, name, .individual), of: session)
        rig.apply(.send(name, "a"), of: session)
        rig.settleDown()
        rig.apply(.reject(1, 1, .deadLetter), of: session)
        rig.settleDown()
        let dead = try #require(rig.core.queueViews().first { $0.messages == 1 })
        #expect(String(validating: dead.name, as: UTF8.self) != nil)
        #expect(rig.apply(.subscribe(2, String(decoding: dead.name, as: UTF8.self), .auto), of: session) == nil)
        rig.settleDown()
        #expect(rig.take().bodies == ["a", "a"])
    }

    @Test func aTransactionIsRefusedWholeIfItIsTooMuch() {
        var rig = Rig(defaults: settings { $0.lengthMost = 3 })
        let session = rig.open()
        rig.apply(.begin(1), of: session)
        for body in ["a", "b", "c", "d"] { rig.apply(.send("q", body, transaction: 1), of: session) }
        #expect(rig.apply(.commit(1), of: session) == .queueFull)
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 0)
        rig = Rig(defaults: settings { $0.bytesMost = 10 })
        let other = rig.open()
        rig.apply([.begin(1), .send("q", "a longer one than that", transaction: 1)], of: other)
        #expect(rig.apply(.commit(1), of: other) == .queueFull)
    }

    @Test func whatCannotBeDroppedKeepsAQueueFull() {
        var rig = Rig(defaults: settings { ($0.lengthMost, $0.overflow) = (2, .dropHead) })
        let session = rig.open()
        for body in ["a", "b"] { rig.send("q", body, of: session) { $0.delay = 60_000 } }
        #expect(rig.send("q", "c", of: session) { $0.delay = 60_000 } == .queueFull)
    }

    @Test func aFullQueueRefusesOrDropsItsHead() throws {
        var rig = Rig(defaults: settings { $0.lengthMost = 2 })
        let session = rig.open()
        for body in ["a", "b"] { #expect(rig.apply(.send("q", body), of: session) == nil) }
        #expect(rig.apply(.send("q", "c"), of: session) == .queueFull)
        rig = Rig(defaults: settings { ($0.lengthMost, $0.overflow) = (2, .dropHead) })
        let other = rig.open()
        for body in ["a", "b", "c", "d"] { #expect(rig.apply(.send("q", body), of: other) == nil) }
        rig.settleDown()
        #expect(rig.stored("/queue/q") == ["": ["c", "d"]])
        #expect(rig.storage.wrong.isEmpty)
    }
}
