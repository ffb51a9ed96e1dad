import Base
import Testing

@testable import BrokerClient

@Suite(.serialized) struct CircuitTests {
    private struct Bench {
        var circuit: Circuit
        var now = Instant(nanoseconds: 5_000_000_000)

        init(_ change: (inout CircuitBreakerOptions) -> Void = { _ in }) {
            var options = CircuitBreakerOptions()
            change(&options)
            circuit = Circuit(options)
        }

        /// False: refused.
        @discardableResult
        mutating func call(_ result: Circuit.Result) -> Bool {
            guard let ticket = circuit.begin(at: now) else { return false }
            circuit.finished(ticket, result, at: now)
            return true
        }

        mutating func pass(_ milliseconds: UInt64) { now = now.adding(milliseconds: milliseconds) }
    }

    @Test func failuresInARowOpenIt() {
        var bench = Bench { $0.consecutiveFailures = 3 }
        for result: Circuit.Result in [.failed, .failed, .succeeded, .failed, .neither, .failed] { bench.call(result) }
        #expect(bench.circuit.state == .closed)
        bench.call(.failed)
        #expect(bench.circuit.state == .open)
        let wasLetThrough = bench.call(.succeeded)
        #expect(!wasLetThrough)
    }

    @Test func aShareOfFailuresOpensItOnceThereAreEnoughCalls() {
        var bench = Bench {
            $0.consecutiveFailures = 100
            $0.minimumCalls = 10
            $0.failureRate = 0.5
        }
        for index in 0..<9 { bench.call(index % 2 == 0 ? .failed : .succeeded) }
        #expect(bench.circuit.state == .closed)
        bench.call(.failed)
        #expect(bench.circuit.state == .open)
    }

    @Test func whatIsOlderThanTheWindowDoesNotCount() {
        var bench = Bench {
            $0.consecutiveFailures = 100
            $0.minimumCalls = 10
            $0.window = .seconds(10)
        }
        for _ in 0..<9 { bench.call(.failed) }
        bench.pass(10_000)
        for _ in 0..<9 { bench.call(.failed) }
        #expect(bench.circuit.state == .closed)
        bench.pass(8_000)
        bench.call(.failed)
        #expect(bench.circuit.state == .open)
    }

    @Test func afterAWhileOneTrialDecides() {
        var bench = Bench {
            $0.consecutiveFailures = 1
            $0.openFor = .seconds(2)
        }
        bench.call(.failed)
        bench.pass(1_999)
        let tooEarly = bench.circuit.begin(at: bench.now)
        #expect(tooEarly == nil)
        #expect(bench.circuit.milliseconds(at: bench.now) == 1)
        bench.pass(1)
        let trial = bench.circuit.begin(at: bench.now)
        #expect(trial != nil && bench.circuit.state == .halfOpen)
        let second = bench.circuit.begin(at: bench.now)
        #expect(second == nil, "one at a time")
        if let trial { bench.circuit.finished(trial, .failed, at: bench.now) }
        #expect(bench.circuit.state == .open)
        bench.pass(2_000)
        bench.call(.succeeded)
        #expect(bench.circuit.state == .closed)
    }

    @Test func severalTrialsAllHaveToSucceed() {
        var bench = Bench {
            $0.consecutiveFailures = 1
            $0.trials = 2
        }
        bench.call(.failed)
        bench.pass(10_000)
        bench.call(.succeeded)
        #expect(bench.circuit.state == .halfOpen)
        bench.call(.succeeded)
        #expect(bench.circuit.state == .closed)
    }

    @Test func aTrialThatSaysNothingGivesItsPlaceBack() {
        var bench = Bench { $0.consecutiveFailures = 1 }
        bench.call(.failed)
        bench.pass(10_000)
        bench.call(.neither)
        #expect(bench.circuit.state == .halfOpen)
        bench.call(.succeeded)
        #expect(bench.circuit.state == .closed)
    }

    @Test func callsOfAnEarlierStateDoNotCount() throws {
        var bench = Bench { $0.consecutiveFailures = 2 }
        let first = bench.circuit.begin(at: bench.now)
        let old = try #require(first)
        bench.call(.failed)
        bench.call(.failed)
        bench.pass(10_000)
        bench.circuit.finished(old, .succeeded, at: bench.now)
        #expect(bench.circuit.state == .open, "a call that was let through long ago is no trial")
        let next = bench.circuit.begin(at: bench.now)
        let trial = try #require(next)
        bench.circuit.finished(old, .failed, at: bench.now)
        #expect(bench.circuit.state == .halfOpen)
        bench.circuit.finished(trial, .succeeded, at: bench.now)
        #expect(bench.circuit.state == .closed)
    }

    @Test func strangeOptionsAreNoHarm() {
        var bench = Bench {
            $0.consecutiveFailures = -1
            $0.minimumCalls = 0
            $0.window = .zero
            $0.openFor = .seconds(-5)
            $0.trials = 0
        }
        bench.call(.failed)
        #expect(bench.circuit.state == .open)
        bench.call(.succeeded)
        #expect(bench.circuit.state == .closed)
    }

    /// Never more trials than allowed, refused while open, and always out of it again when all goes well.
    @Test(arguments: 0..<50) func anyOrder(seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        var bench = Bench {
            $0.consecutiveFailures = random.below(4) + 1
            $0.trials = random.below(3) + 1
            $0.openFor = .milliseconds(random.below(500) + 1)
        }
        let trials = bench.circuit.trialsAllowed
        var underWay: [Circuit.Ticket] = []
        for _ in 0..<300 {
            switch random.below(3) {
            case 0: bench.pass(UInt64(random.below(200)))
            case 1:
                let wait = bench.circuit.milliseconds(at: bench.now)
                let ticket = bench.circuit.begin(at: bench.now)
                if wait > 0, ticket != nil { Issue.record("let through while open") }
                if let ticket { underWay.append(ticket) }
            default:
                guard !underWay.isEmpty else { continue }
                let results: [Circuit.Result] = [.succeeded, .failed, .neither]
                let ticket = underWay.remove(at: random.below(underWay.count))
                bench.circuit.finished(ticket, results[random.below(3)], at: bench.now)
            }
            if bench.circuit.state == .halfOpen {
                let tried = underWay.filter { bench.circuit.isOfNow($0) }
                if tried.count > trials { Issue.record("too many trials") }
            }
        }
        for ticket in underWay { bench.circuit.finished(ticket, .succeeded, at: bench.now) }
        bench.pass(1_000)
        for _ in 0..<5 { bench.call(.succeeded) }
        #expect(bench.circuit.state == .closed)
    }
}

@Suite struct CircuitBreakerTests {
    private struct Broken: Error {}

    private func opened() async -> CircuitBreaker {
        var options = CircuitBreakerOptions()
        options.consecutiveFailures = 1
        options.openFor = .seconds(3_600)
        let breaker = CircuitBreaker("rates", options)
        await #expect(throws: Broken.self) { try await breaker.run { throw Broken() } }
        return breaker
    }

    @Test func whileOpenNothingIsRun() async {
        let breaker = await opened()
        #expect(breaker.state == .open)
        do {
            try await breaker.run { Issue.record("it was run") }
            Issue.record("nothing was thrown")
        } catch {
            guard case ClientError.circuitOpen("rates", let time) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(time > .zero && time <= .seconds(3_600))
        }
    }

    @Test func theFallbackIsAskedWhenItIsOpenAndWhenItFails() async throws {
        let breaker = await opened()
        #expect(
            try await breaker.run {
                1
            } fallback: { _ in
                2
            } == 2)
        let other = CircuitBreaker("other")
        #expect(
            try await other.run {
                throw Broken()
            } fallback: {
                $0 is Broken ? 3 : 4
            } == 3)
        #expect(
            try await other.run {
                5
            } fallback: { _ in
                6
            } == 5)
    }

    @Test func mistakesAndAnswersAreNoFailures() async {
        var options = CircuitBreakerOptions()
        options.consecutiveFailures = 1
        let breaker = CircuitBreaker("x", options)
        let harmless: [any Error] = [
            CancellationError(), ClientError.cancelled, ClientError.tooManyRequests(limit: 1),
            ClientError.invalidHeader(name: "", reason: ""), ClientError.requestFailed(RequestFailure(code: "no-such")),
        ]
        for error in harmless {
            do { try await breaker.run { throw error } } catch { continue }
        }
        #expect(breaker.state == .closed)
        let internalError = ClientError.requestFailed(RequestFailure(code: RequestFailure.internalError))
        do { try await breaker.run { throw internalError } } catch { #expect(breaker.state == .open) }
    }

    @Test func statesCanBeFollowed() async throws {
        var options = CircuitBreakerOptions()
        options.consecutiveFailures = 1
        options.openFor = .zero
        let breaker = CircuitBreaker("x", options)
        var states = breaker.states.makeAsyncIterator()
        await #expect(throws: Broken.self) { try await breaker.run { throw Broken() } }
        try await breaker.run {}
        var seen: [CircuitState?] = []
        for _ in 0..<4 { seen.append(await states.next()) }
        #expect(seen == [.closed, .open, .halfOpen, .closed])
    }

    @Test func eachDestinationHasOne() {
        let board = CircuitBoard(CircuitBreakerOptions()) { Instant.now }
        #expect(board.breaker(for: "a") === board.breaker(for: "a"))
        #expect(board.breaker(for: "a") !== board.breaker(for: "b"))
        #expect(CircuitBoard(nil, now: { Instant.now }).breaker(for: "a") == nil)
    }
}
