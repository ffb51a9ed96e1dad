import STOMP
import Synchronization
import Testing

@testable import BrokerClient

/// Connections that break, brokers that refuse, and what the client makes of it.
@Suite(.timeLimit(.minutes(4)), .endsWithItsScripts) struct OutageTests {
    @Test func subscriptionsAreRestoredFirstThenSendsAreRepeated() async throws {
        let broker = try FakeBroker(
            { peer in
                try peer.loginAndSubscribe()
                let send = try peer.next(.send)
                guard send["dedup-id"] != nil else { throw ScriptError.unexpected(send, wanted: .send) }
            },
            { peer in
                let subscribe = try peer.loginAndSubscribe()
                let send = try peer.next(.send)
                try peer.receipt(send)
                try peer.deliver(send["dedup-id"] ?? "none", to: subscribe)
                try peer.goodBye()
            })
        let client = try await Client.connect(to: [broker.address], options())
        let states = client.states
        let orders = try await client.subscribe(to: "/queue/a")
        try await client.send("hello", to: "/queue/a", headers: ["dedup-id": "same"])
        let message = try #require(try await orders.next())
        #expect(message.text == "same")
        try await client.close()
        try await broker.finished()

        var seen: [String] = []
        for await state in states {
            switch state {
            case .connecting: seen.append("connecting")
            case .connected: seen.append("connected")
            case .disconnected: seen.append("disconnected")
            case .closed: seen.append("closed")
            }
        }
        #expect(seen == ["connected", "disconnected", "connecting", "connected", "closed"])
    }

    @Test func aRefusedSendThrowsAndTheOthersGoOn() async throws {
        let broker = try FakeBroker(
            { peer in
                try peer.login()
                let sends = try [peer.next(.send), peer.next(.send)]
                let bad = sends.first { $0.text == "bad" } ?? sends[0]
                let receipt = bad["receipt"] ?? ""
                try peer.write("ERROR\nreceipt-id:\(receipt)\nmessage:queue is full\n\nlimit is 7\0")
                try peer.expectEnd()
            },
            { peer in
                try peer.login()
                let send = try peer.next(.send)
                guard send.text == "good" else { throw ScriptError.unexpected(send, wanted: .send) }
                try peer.receipt(send)
                try peer.goodBye()
            })
        let client = try await Client.connect(to: [broker.address], options())
        async let good: Void = client.send("good", to: "/queue/a")
        let error = await clientError { () throws(ClientError) in try await client.send("bad", to: "/queue/a") }
        guard case .refused(let answer) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(answer.message == "queue is full")
        #expect(answer.detail == "limit is 7")
        try await good
        try await client.close()
        try await broker.finished()
    }

    @Test func aMessageOfTheLostConnectionCannotBeAcknowledged() async throws {
        let broker = try FakeBroker(
            { peer in
                let subscribe = try peer.loginAndSubscribe()
                try peer.deliver("one", to: subscribe)
                try peer.next(.send)
            },
            { peer in
                let subscribe = try peer.loginAndSubscribe()
                try peer.receipt(try peer.next(.send))
                try peer.deliver("one", to: subscribe, "redelivered:true\n")
                let ack = try peer.next(.ack)
                guard ack["id"] == "a-one" else { throw ScriptError.unexpected(ack, wanted: .ack) }
                try peer.goodBye()
            })
        let client = try await Client.connect(to: [broker.address], options())
        let orders = try await client.subscribe(to: "/queue/a")
        let first = try #require(try await orders.next())
        try await client.send("break", to: "/queue/b")
        let error = await clientError { () throws(ClientError) in try await first.acknowledge() }
        #expect(error == .connectionLost(.ended(reason: "peer-closed")))
        let again = try #require(try await orders.next())
        #expect(again.redelivered)
        try await again.acknowledge()
        try await client.close()
        try await broker.finished()
    }

    @Test func aTransactionDoesNotSurvive() async throws {
        let isBroken = Signal()
        let broker = try FakeBroker(
            { peer in
                try peer.login()
                try peer.next(.begin)
                try peer.next(.send)
                try isBroken.wait()
            })
        let client = try await Client.connect(to: [broker.address], options())
        let states = client.states
        await #expect(throws: ClientError.connectionLost(.ended(reason: "peer-closed"))) {
            try await client.transaction { transaction in
                try await transaction.send("x", to: "/queue/a")
                isBroken.send()
                for await state in states {
                    if case .disconnected = state { break }
                }
            }
        }
        try await client.close()
        try await broker.finished()
    }

    @Test func aLostCommitIsUnknown() async throws {
        let broker = try FakeBroker(
            { peer in
                try peer.login()
                try peer.next(.begin)
                try peer.next(.commit)
            })
        let client = try await Client.connect(to: [broker.address], options())
        await #expect(throws: ClientError.outcomeUnknown) { try await client.transaction { _ in } }
        try await client.close()
        try await broker.finished()
    }

    @Test func thePasscodeIsAskedForBeforeEachAttempt() async throws {
        let broker = try FakeBroker(
            { peer in
                let connect = try peer.login()
                guard connect["passcode"] == "token-1" else { throw ScriptError.unexpected(connect, wanted: .connect) }
            },
            { peer in
                let connect = try peer.login()
                guard connect["passcode"] == "token-2" else { throw ScriptError.unexpected(connect, wanted: .connect) }
                try peer.receipt(try peer.next(.send))
                try peer.goodBye()
            })
        let asked = Counter()
        let client = try await Client.connect(
            to: [broker.address], options { $0.passcode = { "token-\(asked.next())" } })
        try await client.send("x", to: "/queue/a")
        try await client.close()
        try await broker.finished()
    }

    @Test func withoutReconnectTheSequenceThrows() async throws {
        let broker = try FakeBroker { peer in
            try peer.loginAndSubscribe()
        }
        let client = try await Client.connect(to: [broker.address], options { $0.reconnect = .never })
        let orders = try await client.subscribe(to: "/queue/a")
        let loss = ClientError.connectionLost(.ended(reason: "peer-closed"))
        let error = await clientError { () throws(ClientError) in _ = try await orders.next() }
        #expect(error == loss)
        #expect(client.state == .closed(reason: loss))
        let later = await clientError { () throws(ClientError) in try await client.send("x", to: "/queue/a") }
        #expect(later == loss)
        try await broker.finished()
    }

    // MARK: Heart-beats

    @Test func aSilentBrokerIsLeft() async throws {
        let broker = try FakeBroker { peer in
            try peer.login("heart-beat:20,0\n")
            try peer.expectEnd()
        }
        let client = try await Client.connect(
            to: [broker.address],
            options {
                $0.heartBeat = HeartBeatOptions(sends: .zero, wants: .milliseconds(30))
                $0.reconnect = .never
            })
        var last: ConnectionState?
        for await state in client.states { last = state }
        #expect(last == .closed(reason: .connectionLost(.silence(milliseconds: 60))))
        try await broker.finished()
    }

    /// Goal: an idle client is heard, and an idle broker that beats is believed. Method: both do nothing else
    /// for many intervals.
    @Test func heartBeatsKeepAnIdleConnection() async throws {
        let isEnough = Reached()
        let broker = try FakeBroker { peer in
            try peer.login("heart-beat:40,40\n")
            for count in 1...20 {
                try peer.awaitHeartBeats(count)
                try peer.write("\n")
            }
            isEnough.mark()
            let send = try peer.next(.send)
            try peer.receipt(send)
            try peer.goodBye()
        }
        let client = try await Client.connect(
            to: [broker.address],
            options {
                $0.heartBeat = HeartBeatOptions(sends: .milliseconds(40), wants: .milliseconds(5_000))
                $0.reconnect = .never
            })
        await isEnough.wait()
        try await client.send("x", to: "/queue/a")
        try await client.close()
        try await broker.finished()
    }
}

final class Counter: Sendable {
    private let count = Atomic(0)
    func next() -> Int { count.add(1, ordering: .relaxed).newValue }
    var value: Int { count.load(ordering: .relaxed) }
}
