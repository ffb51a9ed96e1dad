import Base
import Testing

@testable import BrokerCore

/// Delay and expiry: what is delivered when, across restarts.
struct DelayTests {
    @Test(arguments: [1, 999, 1000, 15_500, 16_000, 300_000, 5_000_000, 80_000_000, 2_000_000_000, 31_000_000_000])
    func aDelayedMessageComesWhenItIsDue(delay: UInt64) {
        var rig = Rig()
        rig.wall = 1_792_713_472_123
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .auto), of: session)
        rig.send("q", "late", of: session) { $0.delay = delay }
        rig.apply(.send("q", "now"), of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["now"])
        let due = rig.wall + delay
        var wakes = 0
        while let next = rig.core.nextWake, next < due, wakes < 200 {
            wakes += 1
            rig.pass(max(next, rig.wall) - rig.wall)
            #expect(rig.take().isEmpty)
        }
        #expect(rig.core.nextWake == due)
        rig.pass(due - rig.wall)
        #expect(rig.take().bodies == ["late"])
        #expect(wakes < 40)
        rig.pass(30_000)
        #expect(rig.stored("/queue/q").isEmpty)
        #expect(rig.storage.wrong.isEmpty)
    }

    @Test func delayedMessagesSurviveARestartAndComeInOrderOfTime() {
        var rig = Rig()
        let session = rig.open()
        for delay in [50_000, 20_000, 400, 3_000_000, 30_000] {
            rig.send("q", "\(delay)", of: session) { $0.delay = UInt64(delay) }
        }
        rig.settleDown()
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 5)
        #expect(rig.core.queueView(named: bytes("q"))?.ready == 0)
        rig.restart()
        rig.pass(1000)
        rig.restart()
        let next = rig.open()
        rig.apply(.subscribe(1, "q", .auto), of: next)
        for _ in 0..<4000 { rig.pass(1000) }
        #expect(rig.take().bodies == ["400", "20000", "30000", "50000", "3000000"])
        #expect(rig.storage.durable.queues.count == 1)
    }

    @Test func aDelayedMessageKeepsItsPriorityGroupAndEnd() {
        var rig = Rig()
        let session = rig.open()
        let head = "priority:09\n"
        rig.extras.sends = [SendExtras()]
        rig.extras.sends[0].delay = 100
        rig.extras.sends[0].priority = 9
        rig.extras.sends[0].timeToLive = 60_000
        rig.send(head: head, "q", "nine", of: session)
        rig.apply(.send("q", "four"), of: session)
        rig.settleDown()
        rig.pass(200)
        #expect(rig.stored("/queue/q") == ["": ["four"], "p9": ["nine"]])
        rig.apply(.subscribe(1, "q", .auto), of: session)
        rig.settleDown()
        let first = rig.take().first
        #expect(first?.body == "nine")
        #expect(
            first.map { String(decoding: $0.content.bytes, as: UTF8.self).hasPrefix("expires:1060000\npriority:09\n") }
                == true)
    }

    @Test func manyAtOneTimeDoNotStayInMemory() {
        var limits = CoreLimits()
        limits.windowBytes = 256
        limits.idleWindowBytes = 256
        limits.pageBytes = 256
        var rig = Rig(limits: limits)
        let session = rig.open()
        for number in 0..<300 { rig.send("q", "\(number)", of: session) { $0.delay = 1500 } }
        rig.settleDown()
        rig.apply(.subscribe(1, "q", .auto), of: session)
        rig.pass(1499)
        #expect(rig.take().isEmpty)
        #expect(rig.core.queues.allSatisfy { $0.rare.waiting.heldBytes < 1024 })
        rig.pass(1)
        #expect(rig.take().bodies == (0..<300).map { "\($0)" })
    }

    @Test func delayWorksInATransaction() {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .auto), of: session)
        rig.apply(.begin(1), of: session)
        rig.send("q", "late", of: session, transaction: 1) { $0.delay = 500 }
        rig.send("q", "urgent", of: session, transaction: 1) { $0.priority = 9 }
        rig.pass(1000)
        rig.apply(.commit(1), of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["urgent"])
        rig.pass(500)
        #expect(rig.take().bodies == ["late"])
    }

    // MARK: Expiry

    @Test func whatIsOverIsNotDelivered() {
        var rig = Rig()
        let session = rig.open()
        rig.send("q", "short", of: session) { $0.timeToLive = 1000 }
        rig.send("q", "absolute", of: session) { $0.expires = 1_001_500 }
        rig.send("q", "long", of: session) { $0.timeToLive = 100_000 }
        rig.apply(.send("q", "ever"), of: session)
        rig.settleDown()
        rig.restart()
        rig.pass(1400)
        let next = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 1), of: next)
        rig.settleDown()
        #expect(rig.take().bodies == ["absolute"])
        rig.pass(200)
        rig.apply(.accept(1, 1), of: next)
        rig.settleDown()
        #expect(rig.take().bodies == ["long"])
        #expect(rig.core.totals.expired == 1)
        #expect(rig.stored("/queue/q") == ["": ["long", "ever"]])
    }

    @Test func whatCameBackIsNotDeliveredAfterItsEnd() {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 1), of: session)
        rig.send("q", "a", of: session) { $0.timeToLive = 1000 }
        rig.sync()
        #expect(rig.take().bodies == ["a"])
        rig.wall += 2000
        rig.apply(.reject(1, 1), of: session)
        rig.settleDown()
        #expect(rig.take().isEmpty)
        #expect(rig.stored("/queue/q").isEmpty)
    }

    @Test func aQueueMayBoundTheLifeOfAllAndKeepWhatIsOver() throws {
        var rig = Rig()
        let session = rig.open()
        _ = try rig.core.setPolicy(
            Policy(
                name: "ttl", pattern: "/queue/q", settings: ["time_to_live_ms": "1000", "expired": "dead-letter"]),
            into: &rig.effects)
        rig.carryOut()
        rig.apply(.send("q", "a"), of: session)
        rig.send("q", "b", of: session) { $0.timeToLive = 500 }
        rig.settleDown()
        rig.tick()
        rig.tick()
        #expect(rig.stored("/queue/q").isEmpty)
        #expect(rig.stored("/queue/q.dlq") == ["": ["a", "b"]])
        rig.apply(.subscribe(1, "q.dlq", .auto), of: session)
        rig.settleDown()
        let text = rig.take().first.map { String(decoding: $0.content.bytes, as: UTF8.self) } ?? ""
        #expect(text.contains("dead-letter-reason:expired\n"))
        #expect(!text.contains("expires:"))
    }

    @Test func expiryWithoutConsumersReadsWhatIsOnDisk() {
        var limits = CoreLimits()
        limits.idleWindowBytes = 1
        var rig = Rig(limits: limits)
        let session = rig.open()
        for number in 0..<20 { rig.send("q", "\(number)", of: session) { $0.timeToLive = 500 } }
        rig.settleDown()
        rig.restart()
        for _ in 0..<5 { rig.tick() }
        #expect(rig.stored("/queue/q").isEmpty)
    }

    @Test func aReplyHasAnEndButNoDelay() {
        var rig = Rig()
        let session = rig.open()
        rig.apply([.temporary("/reply-queue/x"), .subscribe(1, "/reply-queue/x", .individual, count: 1)], of: session)
        for body in ["a", "b", "c"] {
            rig.send("/reply-queue/x", body, of: session) { $0.timeToLive = body == "b" ? 500 : 0 }
        }
        #expect(rig.take().bodies == ["a"])
        rig.pass(600)
        rig.apply(.accept(1, 1), of: session)
        #expect(rig.take().bodies == ["c"])
        #expect(rig.send("/reply-queue/x", "d", of: session) { $0.delay = 1 } == .unsupportedDestination)
    }

    @Test func stampsReadBack() {
        for (due, end) in [(0, 0), (5, 0), (0, 7), (1_792_713_472_123, 1_792_713_472_999)] as [(UInt64, UInt64)] {
            let text = StoredHead.stamps(deliverAt: due, expires: end) + bytes("a:b\n\nbody\0")
            let stamps = text.withUnsafeBufferPointer { StoredHead.stamps(of: $0) }
            #expect(stamps.deliverAt == due)
            #expect(stamps.expires == end)
        }
        let broken = bytes("deliver-at:99999999999999999999999\n")
        #expect(broken.withUnsafeBufferPointer { StoredHead.stamps(of: $0) } == StoredHead.Stamps())
    }
}
