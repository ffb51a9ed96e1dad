import STOMP
import Synchronization
import Testing

@testable import BrokerClient

/// Goal: `Client.send` of many keeps its promises over real sockets. Method: brokers that do what a script says.
@Suite(.timeLimit(.minutes(4)), .endsWithItsScripts) struct BatchCallTests {
    private static let quick = RetryPolicy(attempts: 3, first: .milliseconds(1), longest: .milliseconds(1))

    private static func messages(_ texts: [String]) -> [Outgoing] { texts.map { Outgoing($0, to: "/queue/a") } }

    private static func batchError(_ body: () async throws(BatchError) -> Void) async -> BatchError? {
        do throws(BatchError) {
            try await body()
            return nil
        } catch {
            return error
        }
    }

    /// Reads SENDs with these texts, in order.
    @discardableResult
    private static func expect(_ texts: [String], _ peer: Peer) throws -> [Frame] {
        try texts.map { text in
            let send = try peer.next(.send)
            guard send.text == text, send["receipt"] != nil, send["dedup-id"] != nil else {
                throw ScriptError.unexpected(send, wanted: .send)
            }
            return send
        }
    }

    private static func refuse(_ send: Frame, _ message: String, _ peer: Peer) throws {
        try peer.write("ERROR\nmessage:\(message)\nreceipt-id:\(send["receipt"] ?? "")\n\n\0")
        try peer.expectEnd()
    }

    @Test func noneIsSentForNone() async throws {
        let broker = try FakeBroker { peer in
            try peer.login()
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        try await client.send([])
        try await client.close()
        try await client.send([])
        try await broker.finished()
    }

    @Test func moreThanMayBeUnconfirmedGoesInPartsAndInOrder() async throws {
        let texts = (0..<500).map { "\($0)" }
        let broker = try FakeBroker { peer in
            try peer.login()
            for begin in stride(from: 0, to: 500, by: 7) {
                let end = min(begin + 7, 500)
                for send in try Self.expect(Array(texts[begin..<end]), peer) { try peer.receipt(send) }
            }
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options { $0.unconfirmedMessages = 7 })
        try await client.send(Self.messages(texts))
        try await client.close()
        try await broker.finished()
    }

    @Test func afterACutTheUnconfirmedComeAgainUnderTheirIDs() async throws {
        let third = Shelf()
        let broker = try FakeBroker(
            { peer in
                try peer.login()
                let sends = try Self.expect(["0", "1", "2", "3"], peer)
                third.put(sends[2])
                try peer.receipt(sends[0])
                try peer.receipt(sends[1])
            },
            { peer in
                try peer.login()
                let sends = try Self.expect(["2", "3"], peer)
                guard sends[0]["dedup-id"] == third.taken?["dedup-id"], sends[1]["dedup-id"] != sends[0]["dedup-id"]
                else { throw ScriptError.unexpected(sends[0], wanted: .send) }
                for send in sends { try peer.receipt(send) }
                try peer.goodBye()
            })
        let client = try await Client.connect(to: [broker.address], options())
        try await client.send(Self.messages(["0", "1", "2", "3"]))
        try await client.close()
        try await broker.finished()
    }

    @Test func aRefusalInTheMiddleIsTriedAgainFromThere() async throws {
        let second = Shelf()
        let broker = try FakeBroker(
            { peer in
                try peer.login()
                let sends = try Self.expect(["0", "1", "2"], peer)
                try peer.receipt(sends[0])
                second.put(sends[1])
                try Self.refuse(sends[1], "queue full", peer)
            },
            { peer in
                try peer.login()
                let sends = try Self.expect(["1", "2"], peer)
                guard sends[0]["dedup-id"] == second.taken?["dedup-id"] else {
                    throw ScriptError.unexpected(sends[0], wanted: .send)
                }
                try Self.refuse(sends[0], "queue full", peer)
            },
            { peer in
                try peer.login()
                let sends = try Self.expect(["1", "2"], peer)
                guard sends[0]["dedup-id"] == second.taken?["dedup-id"] else {
                    throw ScriptError.unexpected(sends[0], wanted: .send)
                }
                for send in sends { try peer.receipt(send) }
                try peer.goodBye()
            })
        let client = try await Client.connect(to: [broker.address], options())
        try await client.send(Self.messages(["0", "1", "2"]), retry: Self.quick)
        try await client.close()
        try await broker.finished()
    }

    @Test func aRefusalThatStaysSaysWhatIsKnownOfEach() async throws {
        let broker = try FakeBroker(
            { peer in
                try peer.login()
                let sends = try Self.expect(["0", "1", "2"], peer)
                try peer.receipt(sends[0])
                try Self.refuse(sends[1], "destination not allowed", peer)
            },
            { peer in
                try peer.login()
                try peer.goodBye()
            })
        let client = try await Client.connect(to: [broker.address], options())
        let error = await Self.batchError { () async throws(BatchError) in
            try await client.send(Self.messages(["0", "1", "2"]), retry: Self.quick)
        }
        #expect(error?.outcomes == [.confirmed, .refused, .unknown])
        #expect(error?.unconfirmed == [1, 2])
        guard case .refused(let reason)? = error?.cause else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.message == "destination not allowed")
        for await state in client.states {
            if case .connected = state { break }
        }
        try await client.close()
        try await broker.finished()
    }

    @Test func itEndsWhenItsTaskIsCancelled() async throws {
        let (isHalf, isOver) = (Reached(), Signal())
        let broker = try FakeBroker { peer in
            try peer.login()
            let sends = try Self.expect(["0", "1"], peer)
            try peer.receipt(sends[0])
            try Self.expect(["2"], peer)
            isHalf.mark()
            try isOver.wait()
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options { $0.unconfirmedMessages = 2 })
        let sending = Task {
            await Self.batchError { () async throws(BatchError) in
                try await client.send(Self.messages(["0", "1", "2", "3"]))
            }
        }
        await isHalf.wait()
        sending.cancel()
        let error = await sending.value
        isOver.send()
        #expect(error?.cause == .cancelled)
        #expect(error?.outcomes == [.confirmed, .unknown, .unknown, .notSent])
        try await client.close()
        try await broker.finished()
    }

    @Test func onceCancelledNothingIsSent() async throws {
        let broker = try FakeBroker { peer in
            try peer.login()
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let sending = Task {
            while !Task.isCancelled { await Task.yield() }
            return await Self.batchError { () async throws(BatchError) in
                try await client.send(Self.messages(["0", "1"]))
            }
        }
        sending.cancel()
        #expect(await sending.value == BatchError(.cancelled, [.notSent, .notSent]))
        try await client.close()
        try await broker.finished()
    }

    @Test func oneThatCannotBeSentMeansThatNoneIs() async throws {
        let broker = try FakeBroker { peer in
            try peer.login()
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let wrong = Self.messages(["0"]) + [Outgoing("1", to: "/queue/a", headers: ["receipt": "1"])]
        let error = await Self.batchError { () async throws(BatchError) in try await client.send(wrong) }
        guard case .invalidHeader(name: "receipt", _)? = error?.cause else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(error?.outcomes == [.notSent, .notSent])
        try await client.close()
        let late = await Self.batchError { () async throws(BatchError) in try await client.send(Self.messages(["0"])) }
        #expect(late == BatchError(.closed, [.notSent]))
        try await broker.finished()
    }

    /// A header with a colon is written anew for the version of the next connection.
    @Test func itGoesOnWithAnOlderBroker() async throws {
        let broker = try FakeBroker(
            { peer in
                try peer.login()
                let send = try peer.next(.send)
                guard send["note"] == "a:b\r" else { throw ScriptError.unexpected(send, wanted: .send) }
            },
            { peer in
                try peer.login(version: "1.1")
                let send = try peer.next(.send)
                guard send["note"] == "a:b\r" else { throw ScriptError.unexpected(send, wanted: .send) }
                try peer.receipt(send)
                try peer.goodBye()
            })
        let client = try await Client.connect(to: [broker.address], options())
        try await client.send([Outgoing("x", to: "/queue/a", headers: ["note": "a:b\r"])])
        try await client.close()
        try await broker.finished()
    }
}
