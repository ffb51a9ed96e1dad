import STOMP
import Testing

@testable import BrokerClient

@Suite(.timeLimit(.minutes(4)), .endsWithItsScripts) struct LoadTests {
    @Test func tenThousandSendsAreConfirmedInOneGo() async throws {
        let count = 10_000
        let broker = try FakeBroker { peer in
            try peer.login()
            var seen: Set<String> = []
            for _ in 0..<count {
                let send = try peer.next(.send)
                seen.insert(send.text)
                try peer.receipt(send)
            }
            guard seen.count == count else { throw ScriptError.notTheEnd(seen.count) }
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<count {
                group.addTask { try await client.send("\(number)", to: "/queue/a") }
            }
            try await group.waitForAll()
        }
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    @Test(arguments: [true, false]) func receiptsOfABurst(inOrder: Bool) async throws {
        let count = 500
        let broker = try FakeBroker { peer in
            try peer.login()
            let sends = try (0..<count).map { _ in try peer.next(.send) }
            let answers = (inOrder ? sends : sends.reversed()).map {
                "RECEIPT\nreceipt-id:\($0["receipt"] ?? "")\n\n\0"
            }
            try peer.write(answers.joined())
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<count {
                group.addTask { try await client.send("\(number)", to: "/queue/a") }
            }
            try await group.waitForAll()
        }
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    @Test func aSingleTasksSendsKeepTheirOrder() async throws {
        let count = 2_000
        let broker = try FakeBroker { peer in
            try peer.login()
            for number in 0..<count {
                let send = try peer.next(.send)
                guard send.text == "\(number)" else { throw ScriptError.unexpected(send, wanted: .send) }
            }
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        for number in 0..<count { try await client.send("\(number)", to: "/queue/a", confirmation: .none) }
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    /// Goal: a broker that does not read cannot make the client's memory grow. Method: send without confirmation
    /// until the client makes us wait.
    @Test func aBrokerThatDoesNotReadHoldsSendersBack() async throws {
        let mayRead = Signal()
        let broker = try FakeBroker { peer in
            try peer.login()
            try mayRead.wait()
            var frame = try peer.next()
            while frame.command == .send { frame = try peer.next() }
            try peer.receipt(frame)
        }
        let client = try await Client.connect(to: [broker.address], options())
        let body = [UInt8](repeating: 7, count: 64 << 10)
        let sent = Counter()
        let sender = Task {
            for _ in 0..<2_000 {
                try await client.send(body, to: "/queue/a", confirmation: .none)
                _ = sent.next()
            }
        }
        // A send that is held back ends by its own deadline, behind those of the sender.
        let error = await clientError { () throws(ClientError) in
            while true {
                try await client.send(body, to: "/queue/a", confirmation: .none, timeout: .milliseconds(200))
            }
        }
        #expect(error == .timedOut)
        // Kernel buffers, the outbox and what was encoded: a few megabytes, not the 125 of all messages.
        #expect(sent.value < 1_000)
        mayRead.send()
        try await sender.value
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    /// Goal: a consumer that lags bounds the client's memory even when the broker ignores the prefetch; nothing is
    /// lost, and the order is kept.
    @Test func aSlowConsumerIsBounded() async throws {
        let count = 5_000
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            for number in 0..<count { try peer.deliver("\(number)", to: subscribe) }
            for _ in 0..<count { try peer.next(.ack) }
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let orders = try await client.subscribe(to: "/queue/a", prefetch: 10)
        for number in 0..<count {
            let message = try #require(try await orders.next())
            #expect(message.text == "\(number)")
            #expect(orders.buffered <= 10)
            try await message.acknowledge()
        }
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    @Test func manyClientsComeAndGo() async throws {
        let count = 100
        let script: FakeBroker.Script = { peer in
            try peer.login()
            try peer.receipt(try peer.next(.send))
            try peer.goodBye()
        }
        for _ in 0..<count {
            let broker = try FakeBroker(script)
            let client = try await Client.connect(to: [broker.address], options())
            try await client.send("x", to: "/queue/a")
            try await client.close(timeout: .seconds(50))
            try await broker.finished()
        }
    }
}
