import BrokerClient
import BrokerTesting
import Testing

@Suite(.timeLimit(.minutes(2))) struct ClockTests {
    let broker = TestBroker(startingAt: 1_800_000_000_000)

    @Test func whoSleepsIsWokenInTheOrderOfTime() async throws {
        let clock = broker.clock
        let (woken, wake) = AsyncStream.makeStream(of: Int.self)
        let start = clock.now
        for seconds in [30, 10, 20] {
            Task {
                try await clock.sleep(until: start.advanced(by: .seconds(seconds)))
                wake.yield(seconds)
            }
        }
        try await broker.untilSleeping(3)
        var order = woken.makeAsyncIterator()
        await broker.advance(by: .milliseconds(10_000))
        #expect(await order.next() == 10)
        #expect(start.duration(to: clock.now) == .seconds(10))
        await broker.advance(by: .milliseconds(9999))
        try await broker.untilSleeping(2)
        await broker.advance(by: .milliseconds(1))
        #expect(await order.next() == 20)
        await broker.advance(by: .seconds(10))
        #expect(await order.next() == 30)
    }

    @Test func sleepEndsWithItsTask() async throws {
        let clock = broker.clock
        let sleeping = Task { try await clock.sleep(for: .seconds(1)) }
        try await broker.untilSleeping()
        sleeping.cancel()
        await #expect(throws: CancellationError.self) { try await sleeping.value }
        let late = Task { try await clock.sleep(for: .seconds(1)) }
        late.cancel()
        await #expect(throws: CancellationError.self) { try await late.value }
    }

    @Test func whatIsOverIsNotWaitedFor() async throws {
        try await broker.clock.sleep(until: broker.clock.now)
        try await broker.clock.sleep(for: .seconds(-1))
    }

    @Test func aClientGoesByTheSameClock() async throws {
        let client = try await broker.connect()
        let before = client.clock.now
        await broker.advance(by: .seconds(5))
        #expect(before.duration(to: client.clock.now) == .seconds(5))
        #expect(broker.milliseconds == 1_800_000_005_000)
        try await client.close()
    }

    /// The longest delay there is. What the broker does each second is not done 31 million times.
    @Test func aYearPasses() async throws {
        let client = try await broker.connect()
        let messages = try await client.subscribe(to: "/queue/q")
        try await client.send("happy new year", to: "/queue/q", headers: ["delay": "31536000000"])
        await broker.advance(by: .seconds(365 * 86_400))
        #expect(messages.buffered == 1)
        try await client.close()
    }

    @Test func momentsSaturate() {
        let now = broker.clock.now
        #expect(now.advanced(by: .seconds(Int64.max)) > now)
        #expect(now.advanced(by: .seconds(Int64.min)) < now)
        #expect(now.advanced(by: .milliseconds(-1)).duration(to: now) == .milliseconds(1))
        #expect(now.duration(to: now.advanced(by: .milliseconds(-1))) == .milliseconds(-1))
    }
}
