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
}
