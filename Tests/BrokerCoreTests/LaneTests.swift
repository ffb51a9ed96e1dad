import Base
import Testing

@testable import BrokerCore

/// Priority, groups and exclusive consumers: who gets what, in which order.
struct LaneTests {
    /// Windows so small that nearly everything is read from storage.
    private static var tight: CoreLimits {
        var limits = CoreLimits()
        limits.windowBytes = 1
        limits.idleWindowBytes = 1
        limits.pageCount = 3
        return limits
    }

    @Test(arguments: [CoreLimits(), tight])
    func higherPrioritiesGoFirstAndKeepTheirOrder(limits: CoreLimits) {
        var rig = Rig(limits: limits)
        let session = rig.open()
        for (body, priority) in [("a4", 4), ("b0", 0), ("c9", 9), ("d4", 4), ("e9", 9), ("f5", 5)] {
            rig.send("q", body, of: session) { $0.priority = UInt8(priority) }
        }
        rig.sync()
        rig.apply(.subscribe(1, "q", .individual), of: session)
        rig.settleDown()
        #expect(rig.take().bodies == ["c9", "e9", "f5", "a4", "d4", "b0"])
        #expect(rig.core.queueView(named: bytes("q"))?.unacknowledged == 6)
        #expect(rig.core.queueViews().count == 1)
    }

    @Test func prioritiesSurviveARestart() {
        var rig = Rig()
        let session = rig.open()
        for priority in 0...9 { rig.send("q", "\(priority)", of: session) { $0.priority = UInt8(priority) } }
        rig.sync()
        rig.restart()
        let next = rig.open()
        rig.apply(.subscribe(1, "q", .individual, count: 1), of: next)
        rig.settleDown()
        var seen: [String] = []
        for tag in 1...10 {
            seen += rig.take().bodies
            rig.apply(.accept(1, UInt64(tag)), of: next)
            rig.settleDown()
        }
        #expect(seen == (0...9).reversed().map { "\($0)" })
        #expect(rig.stored("/queue/q").isEmpty)
    }

    @Test func anAckByMessageFindsItsLane() {
        var rig = Rig()
        let session = rig.open()
        rig.apply(.subscribe(1, "q", .individual), of: session)
        rig.send("q", "low", of: session) { $0.priority = 1 }
        rig.send("q", "high", of: session) { $0.priority = 8 }
        rig.sync()
        for delivery in rig.take() {
            let settle = Request.settle(slot: 1, queue: delivery.queue, sequence: delivery.sequence, accept: true)
            #expect(rig.apply(settle, of: session) == nil)
        }
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 0)
    }

    @Test func deletingAQueueTakesItsLanesAlong() throws {
        var rig = Rig()
        let session = rig.open()
        rig.send("q", "a", of: session) { $0.priority = 1 }
        rig.send("q", "b", of: session) { $0.group = bytes("g") }
        rig.send("q", "c", of: session) { $0.delay = 60_000 }
        rig.sync()
        #expect(rig.core.queueView(named: bytes("q"))?.messages == 3)
        let gone = try rig.core.deleteQueue(named: bytes("q"), force: true, into: &rig.effects)
        rig.carryOut()
        rig.sync()
        #expect(gone == 3)
        #expect(rig.storage.durable.queues.isEmpty)
        #expect(rig.storage.wrong.isEmpty)
        #expect(rig.core.queueCount == 0)
    }

    @Test func purgingAQueueEmptiesItsLanes() {
        var rig = Rig(limits: Self.tight)
        let session = rig.open()
        for number in 1...5 {
            rig.send("q", "p\(number)", of: session) { $0.priority = UInt8(number) }
            rig.send("q", "g\(number)", of: session) { $0.group = bytes("g\(number)") }
            rig.send("q", "d\(number)", of: session) { $0.delay = UInt64(number) * 100 }
        }
        rig.settleDown()
        rig.pass(250)
        #expect(rig.core.purgeQueue(named: bytes("q"), into: &rig.effects) == 15)
        rig.carryOut()
        rig.settleDown()
        #expect(rig.stored("/queue/q").isEmpty)
        #expect(rig.storage.wrong.isEmpty)
        rig.pass(10_000)
        rig.apply(.subscribe(1, "q", .auto), of: session)
        rig.settleDown()
        #expect(rig.take().isEmpty)
        let view = rig.core.queueView(named: bytes("q"))
        #expect(view?.messages == 0)
        #expect(view?.bytes == 0)
    }

    // MARK: Groups

    @Test func aGroupIsWithOneConsumerAndItsOrderHolds() {
        var rig = Rig(limits: Self.tight)
        let (sender, one, two) = (rig.open(), rig.open(), rig.open())
        rig.apply(.subscribe(1, "q", .individual, count: 2), of: one)
        rig.apply(.subscribe(1, "q", .individual, count: 2), of: two)
        for number in 0..<200 {
            rig.send("q", "\(number % 10).\(number / 10)", of: sender) { $0.group = bytes("group \(number % 10)") }
        }
        rig.settleDown()
        var seen: [String: [Int]] = [:]
        var holders: [String: Set<UInt64>] = [:]
        var outstanding = rig.take()
        var rounds = 0
        while !outstanding.isEmpty, rounds < 1000 {
            rounds += 1
            let delivery = outstanding.removeFirst()
            let parts = delivery.body.split(separator: ".").map(String.init)
            seen[parts[0], default: []].append(Int(parts[1]) ?? -1)
            holders[parts[0], default: []].insert(delivery.connection)
            rig.apply(.accept(1, delivery.tag), of: delivery.connection == 2 ? one : two)
            rig.settleDown()
            outstanding += rig.take()
        }
        for group in 0..<10 {
            #expect(seen["\(group)"] == Array(0..<20))
            #expect(holders["\(group)"]?.count == 1)
        }
        #expect(Set(holders.values.flatMap { $0 }).count == 2)
    }

    @Test func aGroupIsHandedOverOnlyWhenNothingOfItIsOutstanding() {
        var rig = Rig()
        let (sender, one) = (rig.open(), rig.open())
        rig.apply(.subscribe(1, "q", .individual, count: 1), of: one)
        for number in 1...3 { rig.send("q", "\(number)", of: sender) { $0.group = bytes("g") } }
        rig.sync()
        #expect(rig.take().bodies == ["1"])
        let two = rig.open()
        rig.apply(.subscribe(1, "q", .individual), of: two)
        rig.settleDown()
        #expect(rig.take().isEmpty)
        rig.close(one)
        rig.settleDown()
        let now = rig.take()
        #expect(now.bodies == ["1", "2", "3"])
        #expect(now.first?.count == 2)
    }

    @Test func groupsSpreadOverConsumersThatComeLater() {
        var rig = Rig()
        let (sender, one) = (rig.open(), rig.open())
        rig.apply(.subscribe(1, "q", .auto), of: one)
        for number in 0..<40 { rig.send("q", "\(number)", of: sender) { $0.group = bytes("g\(number)") } }
        rig.settleDown()
        #expect(rig.take().count == 40)
        let two = rig.open()
        rig.apply(.subscribe(1, "q", .auto), of: two)
        for number in 0..<40 { rig.send("q", "\(number)", of: sender) { $0.group = bytes("g\(number)") } }
        rig.settleDown()
        let shares = Dictionary(grouping: rig.take(), by: \.connection).mapValues(\.count)
        #expect(shares.count == 2)
        #expect((shares.values.min() ?? 0) >= 10)
    }

    // MARK: Exclusive

    @Test func anExclusiveConsumerGetsEverythingUntilItLeaves() {
        var rig = Rig()
        let (sender, one, two, three) = (rig.open(), rig.open(), rig.open(), rig.open())
        rig.apply(.subscribe(1, "q", .individual), of: one)
        rig.subscribe(1, "q", .individual, of: two) { $0.isExclusive = true }
        rig.subscribe(1, "q", .individual, of: three) { $0.isExclusive = true }
        for number in 1...4 { rig.apply(.send("q", "\(number)"), of: sender) }
        rig.sync()
        #expect(rig.take().map(\.connection) == [3, 3, 3, 3])
        rig.close(two)
        rig.settleDown()
        let moved = rig.take()
        #expect(moved.bodies == ["1", "2", "3", "4"])
        #expect(Set(moved.map(\.connection)) == [4])
        rig.close(three)
        rig.settleDown()
        #expect(Set(rig.take().map(\.connection)) == [2])
    }

    @Test func theLimitOfLanesIsKept() {
        var limits = CoreLimits()
        limits.lanes = 2
        var rig = Rig(limits: limits)
        let session = rig.open()
        #expect(rig.send("q", "a", of: session) { $0.priority = 1 } == nil)
        #expect(rig.send("q", "b", of: session) { $0.priority = 2 } == nil)
        #expect(rig.send("q", "c", of: session) { $0.priority = 3 } == .tooManyQueues)
    }

    @Test func namesOfLanesReadBack() {
        for lane in [
            Lane.priority(0), .priority(9), .group(0), .group(63), .retained,
            .delayed(DelayBucket(level: 6, start: 1_792_713_472_000)),
        ] {
            let name = bytes("/queue/a") + [Lane.separator] + bytes(lane.suffix)
            let back = Lane.split(name)
            #expect(back?.queue == bytes("/queue/a"))
            #expect(back?.lane == lane)
        }
        #expect(Lane.split(bytes("/queue/a\u{1}p10")) == nil)
        #expect(Lane.split(bytes("/queue/a\u{1}g64")) == nil)
        #expect(Lane.split(bytes("/queue/a\u{1}d7-0")) == nil)
    }
}
