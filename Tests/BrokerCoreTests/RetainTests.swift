import Base
import Testing

@testable import BrokerCore

/// The last value of a topic, for those who come later.
struct RetainTests {
    private func retain(_ rig: inout Rig, _ topic: String, _ body: String, durable: Bool = true) {
        let session = rig.open()
        #expect(rig.send(topic, body, of: session, durable: durable) { $0.retain = .set } == nil)
        rig.close(session)
    }

    private func retained(_ rig: inout Rig, _ topic: String) -> [Delivery] {
        let session = rig.open()
        rig.apply(.subscribe(1, topic, .auto), of: session)
        rig.settleDown()
        rig.close(session)
        return rig.take()
    }

    @Test func aNewSubscriberGetsTheLastValueFirst() {
        var rig = Rig()
        retain(&rig, "/topic/a", "1")
        retain(&rig, "/topic/a", "2")
        rig.settleDown()
        let session = rig.open()
        rig.apply([.send("/topic/a", "not retained"), .subscribe(1, "/topic/a", .auto)], of: session)
        rig.apply(.send("/topic/a", "live"), of: session)
        let all = rig.take()
        #expect(all.bodies == ["2", "live"])
        #expect(all.map(head) == ["retained:true\n\n", "\n"])
        #expect(rig.core.queueCount == 0)
        #expect(rig.core.queueViews().isEmpty)
    }

    private func head(_ delivery: Delivery) -> String {
        String(decoding: delivery.content.bytes.prefix(Int(delivery.headerBytes)), as: UTF8.self)
    }

    @Test func whoDoesNotWantItDoesNotGetIt() {
        var rig = Rig()
        retain(&rig, "/topic/a", "1")
        rig.settleDown()
        rig.subscribe(1, "/topic/a", .auto, of: rig.open()) { $0.wantsRetained = false }
        #expect(rig.take().isEmpty)
    }

    @Test func subscribersAtTheTimeGetItOnceAndUnmarked() {
        var rig = Rig()
        rig.apply(.subscribe(1, "/topic/a", .auto), of: rig.open())
        retain(&rig, "/topic/a", "1")
        rig.settleDown()
        #expect(rig.take().map(head) == ["\n"])
    }

    @Test func aPatternGetsAllThatMatchInOrderOfName() {
        var rig = Rig()
        for name in ["c", "a", "b"] { retain(&rig, "/topic/x.\(name)", name) }
        retain(&rig, "/topic/y.a", "no")
        rig.settleDown()
        #expect(retained(&rig, "/topic/x.*").bodies == ["a", "b", "c"])
        #expect(retained(&rig, "/topic/>").count == 4)
    }

    @Test func oneThatIsNotOnDiskYetWaits() {
        var rig = Rig()
        retain(&rig, "/topic/a", "1")
        let session = rig.open()
        rig.apply([.subscribe(1, "/topic/a", .auto), .send("/topic/a", "live")], of: session)
        #expect(rig.take().isEmpty)
        rig.sync()
        #expect(rig.take().bodies == ["1", "live"])
        retain(&rig, "/topic/b", "soon", durable: false)
        rig.apply(.subscribe(2, "/topic/b", .auto), of: session)
        #expect(rig.take().bodies == ["soon"])
    }

    @Test func aCrashLeavesTheOneBefore() {
        var rig = Rig()
        retain(&rig, "/topic/a", "1")
        rig.settleDown()
        retain(&rig, "/topic/a", "2")
        rig.restart()
        #expect(retained(&rig, "/topic/a").bodies == ["1"])
        #expect(rig.core.queueCount == 0)
    }

    @Test func aRestartKeepsIt() {
        var rig = Rig()
        for number in 0..<200 { retain(&rig, "/topic/\(number)", "\(number)") }
        rig.settleDown()
        let cost = rig.core.retainedBytes
        rig.restart()
        #expect(rig.core.retainedBytes == cost)
        rig.tick()
        #expect(rig.storage.questions.isEmpty)
        let session = rig.open()
        rig.apply(.subscribe(1, "/topic/7", .auto), of: session)
        #expect(rig.take().bodies == ["7"])
        retain(&rig, "/topic/7", "new")
        rig.settleDown()
        rig.restart()
        #expect(retained(&rig, "/topic/7").bodies == ["new"])
        #expect(rig.storage.wrong.isEmpty)
    }

    /// Goal: what is published while the retained one is read back comes after it.
    @Test func aSubscriberRightAfterTheStartWaitsForWhatIsRetained() {
        var rig = Rig()
        retain(&rig, "/topic/a", "1")
        retain(&rig, "/topic/b", "2")
        rig.settleDown()
        rig.restart()
        let session = rig.open()
        rig.apply([.subscribe(1, "/topic/*", .individual), .send("/topic/a", "live")], of: session)
        rig.apply(.flushed(10), of: session)
        rig.answer()
        #expect(rig.take().isEmpty)
        rig.answer()
        #expect(rig.take().bodies == ["1", "2", "live"])
        rig.apply([.accept(1, 3), .accept(1, 1), .accept(1, 2)], of: session)
        rig.apply(.send("/topic/a", "more"), of: session)
        #expect(rig.take().bodies == ["more"])
    }

    @Test func oneThatCannotBeReadHoldsNobodyUp() {
        var rig = Rig()
        retain(&rig, "/topic/a", "1")
        rig.settleDown()
        rig.restart()
        rig.apply([.subscribe(1, "/topic/a", .auto), .send("/topic/a", "live")], of: rig.open())
        rig.answer(failure: "bad sector")
        #expect(rig.take().bodies == ["live"])
        #expect(rig.reports.contains(.queueUnreadable(name: bytes("/topic/a"), reason: "bad sector")))
        for _ in 0..<11 { rig.tick() }
        #expect(retained(&rig, "/topic/a").bodies == ["1"])
    }

    @Test func aSubscriberThatLeavesWhileItWaitsIsForgotten() {
        var rig = Rig()
        retain(&rig, "/topic/a", "1")
        rig.settleDown()
        rig.restart()
        let session = rig.open()
        rig.apply(.subscribe(1, "/topic/a", .auto), of: session)
        rig.close(session)
        rig.settleDown()
        #expect(rig.take().isEmpty)
        #expect(retained(&rig, "/topic/a").bodies == ["1"])
    }

    @Test func removeTakesItAway() {
        var rig = Rig()
        retain(&rig, "/topic/a", "1")
        rig.settleDown()
        let session = rig.open()
        #expect(rig.send("/topic/a", "gone", of: session) { $0.retain = .remove } == nil)
        rig.settleDown()
        #expect(rig.storage.durable.queues.isEmpty)
        #expect(rig.core.retainedBytes == 0)
        #expect(retained(&rig, "/topic/a").isEmpty)
        #expect(rig.send("/topic/a", "again", of: session) { $0.retain = .remove } == nil)
        #expect(rig.batches.isEmpty)
    }

    @Test func thereIsABoundOverAllTopics() {
        var limits = CoreLimits()
        limits.retainedBytes = 3000
        var rig = Rig(limits: limits)
        let session = rig.open()
        let set: (inout SendExtras) -> Void = { $0.retain = .set }
        #expect(rig.send("/topic/a", "1", of: session, set) == nil)
        #expect(rig.send("/topic/b", "1", of: session, set) == nil)
        #expect(rig.send("/topic/c", "1", of: session, set) == .retainedFull)
        // In place of one that is there.
        #expect(rig.send("/topic/a", "2", of: session, set) == nil)
        let big = String(repeating: "x", count: 1000)
        #expect(rig.send("/topic/a", big, of: session, set) == .retainedFull)
        // A transaction is looked at as a whole, and refused as a whole.
        rig.apply(.begin(1), of: session)
        #expect(rig.send("/topic/b", "2", of: session, transaction: 1, set) == nil)
        #expect(rig.send("/topic/c", "2", of: session, transaction: 1, set) == nil)
        #expect(rig.apply(.commit(1), of: session) == .retainedFull)
        rig.settleDown()
        #expect(retained(&rig, "/topic/*").bodies == ["2", "1"])
    }

    @Test func aTransactionRetainsAtCommit() {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.begin(1), of: session)
        rig.send("/topic/a", "1", of: session, transaction: 1) { $0.retain = .set }
        rig.send("/topic/a", "2", of: session, transaction: 1) { $0.retain = .set }
        #expect(retained(&rig, "/topic/a").isEmpty)
        rig.apply(.commit(1), of: session)
        #expect(rig.batches.count == 1)
        #expect(retained(&rig, "/topic/a").bodies == ["2"])
        #expect(rig.storage.durable.queues.values.map(\.live.count) == [1])
        #expect(rig.storage.wrong.isEmpty)
    }

    @Test func aDurableSubscriptionBeginsWithWhatIsRetained() {
        var rig = Rig()
        retain(&rig, "/topic/a", "1")
        rig.settleDown()
        let session = rig.open()
        rig.subscribe(1, "/topic/a", .individual, of: session) { $0.durableName = bytes("d") }
        #expect(rig.batches.count == 1)
        rig.apply(.send("/topic/a", "live"), of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["1", "live"])
        rig.close(session)
        rig.settleDown()
        // It is there already: nothing is given twice.
        let again = rig.open()
        rig.subscribe(1, "/topic/a", .individual, of: again) { $0.durableName = bytes("d") }
        rig.settleDown()
        #expect(rig.take().map(\.count) == [2, 2])
    }

    @Test func aSelectorHoldsForWhatIsRetained() {
        var rig = Rig()
        retain(&rig, "/topic/a", "1")
        rig.settleDown()
        rig.subscribe(1, "/topic/a", .auto, of: rig.open()) { $0.selector = bytes("retained IS NULL") }
        rig.subscribe(1, "/topic/a", .auto, of: rig.open()) { $0.selector = bytes("retained IS NOT NULL") }
        #expect(rig.take().map(\.connection) == [3])
    }

    @Test func itEndsWithItsLife() {
        var rig = Rig()
        let session = rig.open()
        rig.send("/topic/a", "1", of: session) {
            $0.retain = .set
            $0.timeToLive = 5000
        }
        rig.settleDown()
        let first = retained(&rig, "/topic/a")
        #expect(first.bodies == ["1"])
        #expect(first.map(head) == ["expires:\(rig.wall + 5000)\nretained:true\n\n"])
        rig.wall += 5000
        #expect(retained(&rig, "/topic/a").isEmpty)
        for _ in 0..<11 { rig.tick() }
        #expect(rig.storage.durable.queues.isEmpty)
        #expect(rig.core.retainedBytes == 0)
    }

    /// Goal: a topic that is set again and again does not fill memory with what it was.
    @Test func memoryFollowsWhatIsRetained() {
        var rig = Rig()
        let body = String(repeating: "x", count: 100_000)
        for _ in 0..<100 {
            retain(&rig, "/topic/a", body)
            rig.settleDown()
        }
        #expect(rig.core.retained.memoryBytes < 2_000_000)
    }

    /// Goal: what somebody gets when he comes does not count as falling behind.
    @Test func muchThatIsRetainedDoesNotCutOffWhoComes() {
        var limits = CoreLimits()
        limits.backlogBytes = 100
        var rig = Rig(limits: limits)
        for number in 0..<10 { retain(&rig, "/topic/\(number)", String(repeating: "x", count: 50)) }
        rig.settleDown()
        let session = rig.open()
        rig.apply(.subscribe(1, "/topic/*", .individual, count: 1), of: session)
        for _ in 0..<5 { rig.apply(.send("/topic/z", "live"), of: session) }
        #expect(rig.kicks.isEmpty)
        for _ in 0..<50 { rig.apply(.send("/topic/z", "live"), of: session) }
        #expect(rig.kicks.count == 1)
    }
}
