import Testing

@testable import BrokerClient

@Suite(.timeLimit(.minutes(4))) struct MilestoneTests {
    /// Goal: a wait ends when its time is over, even if that is at once. Method: many waits of no time side by side, so that
    /// some alarms go off before their waits have begun.
    @Test func aWaitOfNoTimeEnds() async throws {
        let clock = ClientClock(try SocketCarrier(["127.0.0.1:1"]))
        await withTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let milestone = Milestone()
                    var reached = 0
                    for _ in 0..<5_000 where await milestone.wait(for: .zero, by: clock) { reached += 1 }
                    return reached
                }
            }
            for await reached in group { #expect(reached == 0) }
        }
    }

    @Test func whoWaitsPassesWhenItIsReachedAndSoDoesWhoComesLater() async throws {
        let clock = ClientClock(try SocketCarrier(["127.0.0.1:1"]))
        let milestone = Milestone()
        let waiting = Task { await milestone.wait(by: clock) }
        milestone.reach()
        #expect(await waiting.value)
        #expect(await milestone.wait(for: .zero, by: clock))
    }

    @Test func whoIsCancelledWaitsNoLonger() async throws {
        let clock = ClientClock(try SocketCarrier(["127.0.0.1:1"]))
        let milestone = Milestone()
        for _ in 0..<1_000 {
            let waiting = Task { await milestone.wait(by: clock) }
            waiting.cancel()
            #expect(await !waiting.value)
        }
    }
}
