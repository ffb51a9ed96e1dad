import Base
import Testing

@testable import BrokerCore

/// Consumers of queues with a selector.
struct ViewTests {
    /// Windows so small that nearly everything is read from storage.
    private static var tight: CoreLimits {
        var limits = CoreLimits()
        limits.windowBytes = 1
        limits.idleWindowBytes = 1
        limits.pageCount = 3
        return limits
    }

    private static let both = [CoreLimits(), tight]

    private func send(_ colours: [String], _ rig: inout Rig, of session: SessionID) {
        for (number, colour) in colours.enumerated() {
            rig.publish("/queue/q", "colour:\(colour)\n", "\(number)", of: session)
        }
    }

    private func ready(_ rig: Rig) -> UInt64? { rig.core.queueView(named: bytes("/queue/q"))?.ready }

    @Test(arguments: both)
    func aConsumerGetsWhatItSelectsAndTheRestStays(limits: CoreLimits) {
        var rig = Rig(limits: limits)
        let session = rig.open()
        send(["red", "blue", "red", "green", "red"], &rig, of: session)
        rig.sync()
        #expect(rig.subscribe(1, "/queue/q", selector: "colour = 'red'", .individual, of: session) == nil)
        rig.settleDown()
        #expect(rig.take().map(\.text) == ["0", "2", "4"])
        #expect(ready(rig) == 2)
        rig.apply([.accept(1, 1), .accept(1, 2), .accept(1, 3)], of: session)
        rig.settleDown()
        #expect(rig.stored("/queue/q")[""] == ["1", "3"])
        rig.apply(.subscribe(2, "q", .individual), of: session)
        rig.settleDown()
        #expect(rig.take().map(\.text) == ["1", "3"])
        #expect(ready(rig) == 0)
    }

    @Test(arguments: both)
    func whatComesLaterIsSelectedToo(limits: CoreLimits) {
        var rig = Rig(limits: limits)
        let session = rig.open()
        rig.subscribe(1, "/queue/q", selector: "colour = 'red'", of: session)
        for round in 0..<5 {
            send(["blue", "red"], &rig, of: session)
            rig.settleDown()
            #expect(rig.take().map(\.text) == ["1"], "round \(round)")
        }
        #expect(ready(rig) == 5)
    }

    /// Goal: a message that comes back goes to whoever may have it, at its old place, and not to who does not want it.
    @Test(arguments: both)
    func whatComesBackIsOfferedAgain(limits: CoreLimits) {
        var rig = Rig(limits: limits)
        let (first, second) = (rig.open(), rig.open())
        rig.subscribe(1, "/queue/q", selector: "colour <> 'blue'", .individual, of: first)
        send(["red", "blue", "green", "red"], &rig, of: first)
        rig.settleDown()
        #expect(rig.take().map(\.text) == ["0", "2", "3"])
        rig.subscribe(1, "/queue/q", selector: "colour = 'red'", .individual, of: second)
        rig.settleDown()
        #expect(rig.take().isEmpty)
        rig.close(first)
        rig.settleDown()
        let again = rig.take()
        #expect(again.map(\.text) == ["0", "3"])
        #expect(again.map(\.count) == [2, 2])
        rig.apply(.reject(1, 1), of: second)
        rig.settleDown()
        #expect(rig.take().map(\.count) == [3])
        #expect(ready(rig) == 2)
    }

    @Test(arguments: both)
    func plainConsumersDoNotGetWhatAViewHas(limits: CoreLimits) {
        var rig = Rig(limits: limits)
        let (selective, plain) = (rig.open(), rig.open())
        send(["red", "blue", "red", "blue"], &rig, of: plain)
        rig.sync()
        rig.subscribe(1, "/queue/q", selector: "colour = 'red'", .individual, of: selective)
        rig.settleDown()
        #expect(rig.take().map(\.text) == ["0", "2"])
        rig.apply(.subscribe(1, "q", .auto), of: plain)
        rig.settleDown()
        #expect(rig.take().map(\.text) == ["1", "3"])
        #expect(rig.core.queueView(named: bytes("/queue/q"))?.messages == 2)
    }

    /// Goal: a selector that takes nothing reads a backlog once. Method: pages are counted.
    @Test func aBacklogIsReadOnce() {
        var rig = Rig(limits: Self.tight)
        let session = rig.open()
        send(Array(repeating: "blue", count: 30), &rig, of: session)
        rig.sync()
        rig.subscribe(1, "/queue/q", selector: "colour = 'red'", of: session)
        var pages = 0
        func settle() {
            while !rig.storage.questions.isEmpty || !rig.storage.isSynced {
                rig.sync()
                if !rig.storage.questions.isEmpty {
                    pages += 1
                    rig.answer()
                }
            }
        }
        settle()
        #expect((9...11).contains(pages))
        pages = 0
        send(["blue", "red", "blue"], &rig, of: session)
        settle()
        #expect(rig.take().map(\.text) == ["1"])
        #expect(pages <= 4)
    }

    /// Goal: many selectors that look through the same backlog share its pages.
    @Test func selectorsSharePages() {
        var rig = Rig(limits: Self.tight)
        let session = rig.open()
        send(Array(repeating: "blue", count: 30), &rig, of: session)
        rig.sync()
        for number in 1...20 {
            rig.subscribe(UInt32(number), "/queue/q", selector: "colour = 'red' AND \(number) = \(number)", of: session)
        }
        var pages = 0
        while !rig.storage.questions.isEmpty {
            pages += 1
            rig.answer()
        }
        #expect(pages <= 30)
    }

    @Test(arguments: both)
    func higherPrioritiesGoFirst(limits: CoreLimits) {
        var rig = Rig(limits: limits)
        let session = rig.open()
        for (priority, colour) in [(4, "red"), (9, "blue"), (9, "red"), (1, "red"), (4, "red")] {
            var extras = SendExtras()
            extras.priority = UInt8(priority)
            rig.extras.sends = [extras]
            rig.send(head: "colour:\(colour)\n", "/queue/q", "\(priority)", of: session)
        }
        rig.sync()
        rig.subscribe(1, "/queue/q", selector: "colour = 'red'", of: session)
        rig.settleDown()
        #expect(rig.take().map(\.text) == ["9", "4", "4", "1"])
    }

    @Test func creditHoldsForSelectiveConsumersToo() {
        var rig = Rig()
        let session = rig.open()
        send(Array(repeating: "red", count: 10), &rig, of: session)
        rig.sync()
        rig.subscribe(1, "/queue/q", .individual, of: session, count: 3) { $0.selector = bytes("colour = 'red'") }
        rig.subscribe(2, "/queue/q", .individual, of: session, count: 2) { $0.selector = bytes("colour = 'red'") }
        #expect(rig.take().count == 5)
        rig.apply(.accept(1, 2), of: session)
        #expect(rig.take().map(\.text) == ["5"])
    }

    /// Goal: what a consumer holds from the middle survives a purge.
    @Test(arguments: both)
    func aPurgeSparesWhatIsHeld(limits: CoreLimits) {
        var rig = Rig(limits: limits)
        let session = rig.open()
        send(["blue", "red", "blue", "red", "blue"], &rig, of: session)
        rig.sync()
        rig.subscribe(1, "/queue/q", selector: "colour = 'red'", .individual, of: session)
        rig.settleDown()
        #expect(rig.take().count == 2)
        #expect(rig.core.purgeQueue(named: bytes("/queue/q"), into: &rig.effects) == 3)
        rig.carryOut()
        rig.settleDown()
        #expect(rig.core.queueView(named: bytes("/queue/q"))?.messages == 2)
        rig.apply(.reject(1, 1), of: session)
        rig.settleDown()
        #expect(rig.take().map(\.text) == ["1"])
        #expect(rig.storage.wrong.isEmpty, "\(rig.storage.wrong)")
        rig.restart()
        #expect(ready(rig) == 2)
    }

    @Test func aMessageWhoseTimeIsOverIsNotSelected() {
        var rig = Rig()
        let session = rig.open()
        rig.send("q", "early", of: session) { $0.timeToLive = 100 }
        rig.send("q", "late", of: session) { $0.timeToLive = 10_000 }
        rig.sync()
        rig.pass(500)
        rig.subscribe(1, "/queue/q", selector: "TRUE", of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["late"])
        #expect(rig.core.totals.expired == 1)
    }

    /// Goal: an exclusive consumer with a selector leaves nothing to others, and takes no more than it selects.
    @Test func anExclusiveSelectiveConsumerKeepsOthersOut() {
        var rig = Rig()
        let session = rig.open()
        rig.subscribe(1, "/queue/q", .auto, of: session) {
            $0.selector = bytes("colour = 'red'")
            $0.isExclusive = true
        }
        rig.apply(.subscribe(2, "q", .auto), of: session)
        send(["red", "blue"], &rig, of: session)
        rig.settleDown()
        #expect(rig.take().map(\.slot) == [1])
        rig.apply(.unsubscribe(1), of: session)
        #expect(rig.take().map { "\($0.slot) \($0.text)" } == ["2 1"])
    }

    /// Goal: a group is with one consumer as long as that has something of it.
    @Test func groupsStayWithOneConsumer() {
        var rig = Rig()
        let (selective, plain) = (rig.open(), rig.open())
        func send(_ colour: String, _ body: String) {
            var extras = SendExtras()
            extras.group = bytes("g")
            rig.extras.sends = [extras]
            rig.send(head: "colour:\(colour)\n", "/queue/q", body, of: plain)
        }
        rig.subscribe(1, "/queue/q", selector: "colour = 'red'", .individual, of: selective)
        send("red", "0")
        rig.settleDown()
        rig.apply(.subscribe(1, "q", .individual), of: plain)
        send("blue", "1")
        rig.settleDown()
        #expect(rig.take().map(\.text) == ["0"])
        rig.apply(.accept(1, 1), of: selective)
        rig.settleDown()
        #expect(rig.take().map(\.text) == ["1"])
        send("red", "2")
        rig.settleDown()
        let next = rig.take()
        #expect(next.map(\.text) == ["2"])
        #expect(next.map(\.connection) == [2])
    }

    /// Goal: a storage that cannot read is reported, and asked again by the clock.
    @Test func aViewGoesOnAfterAFailedRead() {
        var rig = Rig(limits: Self.tight)
        let session = rig.open()
        send(["blue", "red", "red"], &rig, of: session)
        rig.sync()
        rig.restart()
        let next = rig.open()
        rig.subscribe(1, "/queue/q", selector: "colour = 'red'", of: next)
        rig.answer(failure: "no")
        #expect(rig.core.unreadableQueues.count == 1)
        #expect(rig.storage.questions.isEmpty)
        rig.tick(seconds: 1)
        rig.settleDown()
        #expect(rig.take().map(\.text) == ["1", "2"])
        #expect(rig.core.unreadableQueues.isEmpty)
    }

    /// Goal: what selectors took does not stay in memory for ever.
    @Test func memoryDoesNotGrowWithWhatIsTaken() {
        var rig = Rig()
        rig.isStoring = false
        let session = rig.open()
        rig.publish("/queue/q", "colour:blue\n", "first", of: session)
        rig.subscribe(1, "/queue/q", selector: "colour = 'red'", of: session)
        for _ in 0..<20_000 {
            rig.publish("/queue/q", "colour:red\n", "x", of: session)
            rig.core.durable(through: rig.core.batchNumber - 1, into: &rig.effects)
            rig.carryOut()
            rig.apply(.flushed(1000), of: session)
        }
        #expect(rig.take().count == 20_000)
        #expect(ready(rig) == 1)
        #expect(rig.core.queues.allSatisfy { $0.window.count < 200 })
    }
}
