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
}
