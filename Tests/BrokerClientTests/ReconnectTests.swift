import Base
import STOMP
import Testing

@testable import BrokerClient

@Suite struct ReconnectTests {
    @Test func withoutAPolicyTheFirstLossIsFinal() {
        var talk = Talk.ready { $0.reconnect = .never }
        let id = talk.subscribed()
        let next = talk.next(id)
        let send = talk.send("x")
        talk.lose()
        let loss = ClientError.connectionLost(.ended(reason: "peer-closed"))
        #expect(talk.states.last == .closed(reason: loss))
        #expect(talk.outcomes[next] == .failure(loss))
        #expect(talk.outcomes[send] == .failure(.outcomeUnknown))
        let later = talk.send("y")
        #expect(talk.outcomes[later] == .failure(loss))
        let after = talk.next(id)
        #expect(talk.outcomes[after] == .failure(loss))
    }

    @Test func theClientGivesUpAfterSoManyAttempts() {
        var talk = Talk.ready { $0.reconnect = .exponential(attempts: 3) }
        talk.lose()
        for _ in 0..<3 {
            talk.sleepUntilWake()
            talk.lose(.ended(reason: "nobody there"))
        }
        #expect(talk.dials.count == 1 + 3)
        #expect(talk.states.last == .closed(reason: .connectionLost(.ended(reason: "nobody there"))))
    }

    @Test func successStartsTheCountAgain() {
        var talk = Talk.ready { $0.reconnect = .exponential(attempts: 1) }
        for _ in 0..<5 {
            talk.lose()
            talk.reconnect()
        }
        #expect(talk.states.last == .connected(version: "1.2", server: nil))
    }

    @Test func theStateSaysWhyAndForHowLong() {
        var talk = Talk.ready { $0.reconnect = .exponential(first: .seconds(1), longest: .seconds(1)) }
        talk.lose(.ended(reason: "cable"))
        guard case .disconnected(let reason, let retryIn) = talk.states.last else {
            Issue.record("\(String(describing: talk.states.last))")
            return
        }
        #expect(reason == .connectionLost(.ended(reason: "cable")))
        let due = talk.now.adding(milliseconds: retryIn.wholeMilliseconds)
        if retryIn > .milliseconds(1) {
            talk.now = Instant(nanoseconds: due.nanoseconds - 1)
            talk.event { $0.tick(at: $1) }
            #expect(talk.dials.count == 1)
        }
        talk.now = due
        talk.event { $0.tick(at: $1) }
        #expect(talk.dials.count == 2)
    }

    /// Goal: a broker that restarts is found where it was; one that is gone is looked for elsewhere.
    @Test func theSameAddressIsTriedFirstThenTheOthers() {
        var talk = Talk.ready { $0.addresses = ["one", "two"] }
        talk.lose()
        talk.sleepUntilWake()
        #expect(talk.dials == [0, 0])
        talk.lose()
        talk.sleepUntilWake()
        #expect(talk.dials == [0, 0, 1])
    }

    @Test func restoringIsBoundedByTheConnectTimeout() {
        var talk = Talk.ready { $0.connectTimeoutMilliseconds = 1_000 }
        _ = talk.subscribed()
        talk.lose()
        talk.reconnect()
        #expect(talk.commands == [.subscribe])
        talk.pass(milliseconds: 1_000)
        guard case .disconnected(.connectTimedOut, _) = talk.states.last else {
            Issue.record("\(String(describing: talk.states.last))")
            return
        }
    }

    @Test func deadlinesPassWhileDisconnected() {
        var talk = Talk.ready { $0.reconnect = .exponential(first: .seconds(60), longest: .seconds(60)) }
        let send = talk.send("x", within: 100)
        talk.lose()
        talk.pass(milliseconds: 100)
        #expect(talk.outcomes[send] == .failure(.timedOut))
    }

    // MARK: Backoff

    @Test func delaysStayUnderADoublingLimit() {
        for seed in 0..<200 {
            var backoff = Backoff(
                .exponential(first: .milliseconds(100), longest: .milliseconds(1_000)), seed: UInt64(seed))
            for limit: UInt64 in [100, 200, 400, 800, 1_000, 1_000, 1_000] {
                guard let delay = backoff.next() else {
                    Issue.record("gave up")
                    return
                }
                #expect(delay <= limit, "seed \(seed)")
            }
        }
    }

    @Test func delaysAreSpreadOverTheWholeRange() {
        let delays = (0..<1_000).compactMap { seed -> UInt64? in
            var backoff = Backoff(.exponential(first: .milliseconds(99), longest: .seconds(9)), seed: UInt64(seed))
            return backoff.next()
        }
        for tenth in 0..<10 {
            let count = delays.filter { Int($0) / 10 == tenth }.count
            #expect((50...200).contains(count), "\(count) delays in \(tenth)")
        }
    }

    @Test func aConnectionThatBreaksAtOnceIsNotTriedAtFullSpeed() {
        var backoff = Backoff(.exponential(first: .milliseconds(1), longest: .seconds(60)), seed: 1)
        var longest: UInt64 = 0
        for _ in 0..<40 {
            longest = max(longest, backoff.next() ?? 0)
            backoff.succeeded()
            backoff.ended(afterMilliseconds: 5)
        }
        #expect(longest > 1_000)
        backoff.ended(afterMilliseconds: Backoff.settledAfterMilliseconds)
        let first = backoff.next()
        #expect(first ?? .max <= 1)
    }

    @Test func hugeAndEmptyPoliciesDoNotTrap() {
        for first: Duration in [.zero, .seconds(Int64.max), .milliseconds(-5), .nanoseconds(1)] {
            for longest: Duration in [.zero, .seconds(Int64.max)] {
                var backoff = Backoff(.exponential(first: first, longest: longest), seed: 3)
                for _ in 0..<100 { _ = backoff.next() }
            }
        }
    }
}
