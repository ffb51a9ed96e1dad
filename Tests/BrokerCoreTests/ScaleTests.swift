import Base
import Testing

@testable import BrokerCore

/// Sizes at which anything quadratic would be felt. No clock: a test that takes the square of these
/// numbers is noticed by its own time.
struct ScaleTests {
    private static let many = 2_000

    /// Goal: all consumers of a queue may leave at once. Method: each holds 20 messages; the last
    /// ones go through 40,000 that have come back already.
    @Test func manyConsumersLeaveAtOnce() {
        var rig = Rig()
        rig.isStoring = false
        var sessions: [SessionID] = []
        let producer = rig.open()
        for _ in 0..<Self.many {
            let session = rig.open()
            rig.apply(.subscribe(1, "q", .individual, count: 20), of: session)
            sessions.append(session)
        }
        for _ in 0..<40 { rig.apply(Array(repeating: .send("q", "", durable: false), count: 1000), of: producer) }
        #expect(rig.take().count == 40_000)
        for session in sessions { rig.close(session) }
        #expect(rig.core.queueViews()[0].ready == 40_000)
    }

    /// Goal: many queues that wait for one sync all go on. Method: a consumer each, one message each.
    @Test func manyQueuesWaitForOneSync() {
        var limits = CoreLimits()
        limits.unflushedBytes = .max
        var rig = Rig(limits: limits)
        rig.isStoring = false
        let session = rig.open()
        let names = (0..<Self.many).map { "q\($0)" }
        rig.apply(names.enumerated().map { .subscribe(UInt32($0.offset + 1), $0.element, .auto) }, of: session)
        rig.apply(names.map { .send($0, "") }, of: session)
        #expect(rig.take().isEmpty)
        rig.core.durable(through: rig.core.batchNumber - 1, into: &rig.effects)
        rig.carryOut()
        #expect(rig.take().count == Self.many)
    }

    /// Goal: a session with many patterns, and many sessions with one each, may leave.
    @Test func manyPatternsComeAndGo() {
        var rig = Rig()
        let (session, producer) = (rig.open(), rig.open())
        rig.apply((1...Self.many).map { .subscribe(UInt32($0), "/topic/a.\($0).*", .auto) }, of: session)
        var others: [SessionID] = []
        for _ in 0..<Self.many {
            let other = rig.open()
            rig.apply(.subscribe(1, "/topic/a.*.b", .auto), of: other)
            others.append(other)
        }
        rig.apply(.send("/topic/a.7.b", "x"), of: producer)
        #expect(rig.take().count == Self.many + 1)
        rig.close(session)
        for other in others { rig.close(other) }
        #expect(rig.core.subscriptionCount == 0)
        #expect(rig.core.liveSubscriptions.isEmpty)
    }
}
