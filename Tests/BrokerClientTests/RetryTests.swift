import Base
import STOMP
import Testing

@testable import BrokerClient

@Suite(.endsWithItsScripts) struct RetryTests {
    private let start = Instant(nanoseconds: 1_000_000_000)
    private static let full = ClientError.refused(BrokerError(message: "queue full"))

    @Test func eachTryHasAnEqualShareOfWhatIsLeft() {
        var retry = Retry(RetryPolicy(attempts: 3), deadline: start.adding(milliseconds: 3_000), seed: 1)
        let first = retry.begin(at: start)
        #expect(first == start.adding(milliseconds: 1_000))
        let later = start.adding(milliseconds: 1_000)
        let second = retry.begin(at: later)
        #expect(second == later.adding(milliseconds: 1_000))
        let third = retry.begin(at: start.adding(milliseconds: 2_900))
        #expect(third == start.adding(milliseconds: 3_000))
    }

    @Test func onlyWhatTheRuleAllowsIsTriedAgain() {
        var retry = Retry(RetryPolicy(attempts: 3), deadline: start.adding(milliseconds: 3_000), seed: 1)
        _ = retry.begin(at: start)
        let pause1 = retry.pause(after: .timedOut, { $0.isTransientRefusal }, at: start)
        #expect(pause1 == nil)
        let pause2 = retry.pause(after: Self.full, { $0.isTransientRefusal }, at: start)
        #expect(pause2 != nil)
    }

    @Test func afterTheLastTryThereIsNone() {
        var retry = Retry(RetryPolicy(attempts: 2), deadline: start.adding(milliseconds: 3_000), seed: 1)
        _ = retry.begin(at: start)
        let pause3 = retry.pause(after: .timedOut, { _ in true }, at: start)
        #expect(pause3 != nil)
        _ = retry.begin(at: start)
        let pause4 = retry.pause(after: .timedOut, { _ in true }, at: start)
        #expect(pause4 == nil)
    }

    @Test(arguments: 0..<100) func waitsAreWithinTheirLimitsAndTheDeadlineHolds(seed: Int) {
        let policy = RetryPolicy(attempts: 8, first: .milliseconds(100), longest: .seconds(1))
        let deadline = start.adding(milliseconds: 10_000)
        var retry = Retry(policy, deadline: deadline, seed: UInt64(seed))
        var now = start
        var tries = 0
        while true {
            let until = retry.begin(at: now)
            tries += 1
            #expect(until <= deadline && until >= now)
            guard let pause = retry.pause(after: .timedOut, { _ in true }, at: now) else { break }
            #expect(pause <= min(1_000, 100 << UInt64(tries - 1)))
            now = now.adding(milliseconds: pause)
            #expect(now < deadline)
        }
        #expect(tries <= 8)
    }

    @Test func noTryBeginsThatCouldOnlyTimeOut() {
        var retry = Retry(
            RetryPolicy(attempts: 9, first: .seconds(60)), deadline: start.adding(milliseconds: 0), seed: 1)
        _ = retry.begin(at: start)
        let pause5 = retry.pause(after: .timedOut, { _ in true }, at: start)
        #expect(pause5 == nil)
    }

    @Test(.timeLimit(.minutes(4))) func aSendIsTriedAgainWithTheSameID() async throws {
        let first = Shelf()
        let broker = try FakeBroker(
            { peer in
                try peer.login()
                let send = try peer.next(.send)
                first.put(send)
                try peer.write("ERROR\nmessage:queue full\nreceipt-id:\(send["receipt"] ?? "")\n\n\0")
                try peer.expectEnd()
            },
            { peer in
                try peer.login()
                let send = try peer.next(.send)
                guard let before = first.taken, send["dedup-id"] == before["dedup-id"], send["dedup-id"] != nil else {
                    throw ScriptError.unexpected(send, wanted: .send)
                }
                try peer.receipt(send)
                try peer.goodBye()
            })
        let client = try await Client.connect(to: [broker.address], options())
        try await client.send(
            "x", to: "/queue/a", retry: RetryPolicy(attempts: 3, first: .milliseconds(1), longest: .milliseconds(1)))
        try await client.close()
        try await broker.finished()
    }

    @Test(.timeLimit(.minutes(4))) func withoutAPolicyARefusalIsFinal() async throws {
        let broker = try FakeBroker(
            { peer in
                try peer.login()
                let send = try peer.next(.send)
                try peer.write("ERROR\nmessage:queue full\nreceipt-id:\(send["receipt"] ?? "")\n\n\0")
                try peer.expectEnd()
            },
            { peer in
                try peer.login()
                try peer.goodBye()
            })
        let client = try await Client.connect(to: [broker.address], options())
        let error = await clientError { () async throws(ClientError) in try await client.send("x", to: "/queue/a") }
        #expect(error?.isTransientRefusal == true)
        for await state in client.states {
            if case .connected = state { break }
        }
        try await client.close()
        try await broker.finished()
    }

    @Test(.timeLimit(.minutes(4))) func anOpenCircuitSendsNothing() async throws {
        let broker = try FakeBroker(
            { peer in
                try peer.login()
                let send = try peer.next(.send)
                try peer.write("ERROR\nmessage:queue full\nreceipt-id:\(send["receipt"] ?? "")\n\n\0")
                try peer.expectEnd()
            },
            { peer in
                try peer.login()
                let send = try peer.next(.send)
                guard send["destination"] == "/queue/b" else { throw ScriptError.unexpected(send, wanted: .send) }
                try peer.receipt(send)
                try peer.goodBye()
            })
        let client = try await Client.connect(
            to: [broker.address],
            options {
                $0.circuitBreaker = CircuitBreakerOptions()
                $0.circuitBreaker?.consecutiveFailures = 1
                $0.circuitBreaker?.openFor = .seconds(3_600)
            })
        let refusal = await clientError { () async throws(ClientError) in try await client.send("x", to: "/queue/a") }
        #expect(refusal?.isTransientRefusal == true)
        #expect(client.circuitBreaker(for: "/queue/a")?.state == .open)
        let error = await clientError { () async throws(ClientError) in try await client.send("x", to: "/queue/a") }
        guard case .circuitOpen("/queue/a", _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        try await client.send("x", to: "/queue/b")
        try await client.close()
        try await broker.finished()
    }
}
