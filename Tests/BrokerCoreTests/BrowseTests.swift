import Base
import Testing

@testable import BrokerCore

/// Looking at a queue without taking anything.
struct BrowseTests {
    private func fill(_ rig: inout Rig, _ count: Int, of session: SessionID) {
        for number in 0..<count { rig.publish("/queue/q", "n:\(number)\n", "\(number)", of: session) }
        rig.sync()
    }

    private func browse(
        _ rig: inout Rig, _ slot: UInt32, of session: SessionID, _ wishes: (inout SubscribeExtras) -> Void = { _ in }
    ) -> [String] {
        rig.subscribe(slot, "/queue/q", .individual, of: session) {
            $0.isBrowser = true
            wishes(&$0)
        }
        rig.settleDown()
        return rig.take().map { $0.isEnd ? "end" : $0.text }
    }

    @Test(arguments: [1, 2, 2048]) func allIsShownAndNothingTaken(page: Int) throws {
        var limits = CoreLimits()
        limits.pageCount = page
        var rig = Rig(limits: limits)
        let session = rig.open()
        fill(&rig, 5, of: session)
        #expect(browse(&rig, 1, of: session) == ["0", "1", "2", "3", "4", "end"])
        rig.apply(.unsubscribe(1), of: session)
        let view = try #require(rig.core.queueView(named: bytes("/queue/q")))
        #expect((view.ready, view.outTotal, view.consumers) == (5, 0, 0))
        rig.apply(.subscribe(2, "q", .individual), of: session)
        rig.settleDown()
        let got = rig.take()
        #expect(got.map(\.text) == ["0", "1", "2", "3", "4"])
        #expect(got.allSatisfy { $0.count == 1 })
        #expect(rig.core.browsers.isEmpty)
    }

    @Test func anEmptyQueueEndsAtOnceAndTheEndCanBeLeftOut() {
        var rig = Rig()
        let session = rig.open()
        #expect(browse(&rig, 1, of: session) == ["end"])
        fill(&rig, 2, of: session)
        #expect(browse(&rig, 2, of: session) { $0.wantsBrowserEnd = false } == ["0", "1"])
        #expect(browse(&rig, 3, of: session) { $0.selector = bytes("n > 0") } == ["1", "end"])
    }

    @Test func higherPrioritiesAndWhatIsHeldAreShown() {
        var rig = Rig()
        let session = rig.open()
        for priority in [1, 9, 4, 7] {
            rig.send("q", "\(priority)", of: session) { $0.priority = UInt8(priority) }
        }
        rig.send("q", "later", of: session) { $0.delay = 60_000 }
        rig.sync()
        rig.apply(.subscribe(1, "q", .individual, count: 2), of: session)
        #expect(rig.take().bodies == ["9", "7"])
        #expect(browse(&rig, 2, of: session) == ["9", "7", "4", "1", "end"])
    }

    @Test func whatComesLaterIsNotShown() {
        var limits = CoreLimits()
        limits.pageCount = 1
        var rig = Rig(limits: limits)
        let session = rig.open()
        fill(&rig, 2, of: session)
        rig.subscribe(1, "/queue/q", .auto, of: session) { $0.isBrowser = true }
        fill(&rig, 3, of: session)
        rig.settleDown()
        #expect(rig.take().map { $0.isEnd ? "end" : $0.text } == ["0", "1", "end"])
    }

    /// Goal: a client that does not read gets no more than there is room for.
    @Test func aSlowBrowserWaits() {
        var limits = CoreLimits()
        limits.unflushedBytes = 1000
        var rig = Rig(limits: limits)
        let session = rig.open()
        fill(&rig, 100, of: session)
        var seen = browse(&rig, 1, of: session)
        #expect(seen.count < 10)
        for _ in 0..<100 where seen.last != "end" {
            rig.apply(.flushed(1000), of: session)
            rig.settleDown()
            seen += rig.take().map { $0.isEnd ? "end" : $0.text }
        }
        #expect(seen == (0..<100).map { "\($0)" } + ["end"])
    }

    @Test func aQueueMayGoWhileSomebodyLooks() throws {
        var limits = CoreLimits()
        limits.pageCount = 1
        var rig = Rig(limits: limits)
        let session = rig.open()
        fill(&rig, 3, of: session)
        rig.subscribe(1, "/queue/q", .auto, of: session) { $0.isBrowser = true }
        _ = try rig.core.deleteQueue(named: bytes("/queue/q"), force: true, into: &rig.effects)
        rig.carryOut()
        #expect(rig.kicks.count == 1)
        rig.settleDown()
        #expect(rig.take().isEmpty)
        rig.close(session)
        #expect(rig.core.subscriptionCount == 0)
    }

    @Test func aClientMayGoWhileAPageIsRead() {
        var rig = Rig()
        let session = rig.open()
        fill(&rig, 3, of: session)
        rig.subscribe(1, "/queue/q", .auto, of: session) { $0.isBrowser = true }
        rig.close(session)
        let next = rig.open()
        rig.subscribe(1, "/queue/q", .auto, of: next) { $0.isBrowser = true }
        rig.settleDown()
        #expect(rig.take().map { $0.isEnd ? "end" : $0.text } == ["0", "1", "2", "end"])
    }
}

extension Delivery {
    fileprivate var isEnd: Bool {
        sequence == 0 && String(decoding: content.bytes, as: UTF8.self).contains("browser:end\n")
    }
}
