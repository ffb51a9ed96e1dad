import STOMP
import Testing

@testable import BrokerClient

/// What a test needs of a client: heart-beats off, so that they do not get between the frames of a script, and
/// reconnects without a noticeable wait.
func options(_ change: (inout ClientOptions) -> Void = { _ in }) -> ClientOptions {
    var options = ClientOptions()
    options.heartBeat = .none
    options.reconnect = .exponential(first: .milliseconds(1), longest: .milliseconds(10))
    change(&options)
    return options
}

/// The error that `body` throws, which must be a `ClientError`.
func clientError(_ body: () async throws(ClientError) -> Void) async -> ClientError? {
    do throws(ClientError) {
        try await body()
        return nil
    } catch {
        return error
    }
}

@Suite(.timeLimit(.minutes(4)), .endsWithItsScripts) struct ClientTests {
    @Test func sendsAndCloses() async throws {
        let broker = try FakeBroker { peer in
            let connect = try peer.login("server:fake/1\n")
            guard connect["host"] == "/", connect["login"] == "guest", connect["passcode"] == "a:b\\c" else {
                throw ScriptError.unexpected(connect, wanted: .connect)
            }
            let send = try peer.next(.send)
            guard send["destination"] == "/queue/a", send["note"] == "x:\\\r\ny", send.text == "hello",
                send["content-type"] == "text/plain;charset=utf-8", send["persistent"] == "true"
            else { throw ScriptError.unexpected(send, wanted: .send) }
            try peer.receipt(send)
            try peer.goodBye()
        }
        let client = try await Client.connect(
            to: [broker.address],
            options {
                $0.login = "guest"
                $0.passcode = { "a:b\\c" }
                $0.host = "/"
            })
        #expect(client.state == .connected(version: "1.2", server: "fake/1"))
        try await client.send("hello", to: "/queue/a", headers: ["note": "x:\\\r\ny"])
        try await client.close()
        #expect(client.state == .closed(reason: nil))
        try await broker.finished()
    }

    @Test func receivesAndAcknowledges() async throws {
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            try peer.deliver(
                "one", to: subscribe, "redelivered:true\ndelivery-count:2\nnote:a\\cb\\nc\ncontent-type:text/plain\n")
            try peer.deliver("two", to: subscribe)
            let ack = try peer.next(.ack)
            guard ack["id"] == "a-one" else { throw ScriptError.unexpected(ack, wanted: .ack) }
            let nack = try peer.next(.nack)
            guard nack["id"] == "a-two" else { throw ScriptError.unexpected(nack, wanted: .nack) }
            try peer.receipt(nack)
            try peer.unsubscribeAndGoodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let orders = try await client.subscribe(to: "/queue/a")
        var texts: [String] = []
        for try await message in orders {
            texts.append(message.text)
            if message.text == "one" {
                #expect(message.redelivered)
                #expect(message.deliveryCount == 2)
                #expect(message.messageID == "m-one")
                #expect(message.headers["note"] == "a:b\nc")
                #expect(message.destination == "/queue/a")
                #expect(message.contentType == "text/plain")
                try await message.acknowledge()
            } else {
                #expect(!message.redelivered)
                #expect(message.deliveryCount == nil)
                try await message.reject(confirmation: .receipt)
                try await orders.cancel()
            }
        }
        #expect(texts == ["one", "two"])
        try await client.close()
        try await broker.finished()
    }

    @Test func commitsATransaction() async throws {
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            try peer.deliver("one", to: subscribe)
            let name = try peer.next(.begin)["transaction"]
            for command: Command in [.send, .ack, .commit] {
                let frame = try peer.next(command)
                guard frame["transaction"] == name else { throw ScriptError.unexpected(frame, wanted: command) }
                try peer.receipt(frame)
            }
            let other = try peer.next(.begin)["transaction"]
            try peer.next(.send)
            let abort = try peer.next(.abort)
            guard abort["transaction"] == other, other != name else {
                throw ScriptError.unexpected(abort, wanted: .abort)
            }
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let orders = try await client.subscribe(to: "/queue/a")
        let message = try #require(try await orders.next())
        let answer = try await client.transaction { transaction in
            try await transaction.send("done", to: "/queue/b")
            try transaction.acknowledge(message)
            return 42
        }
        #expect(answer == 42)

        struct Regret: Error {}
        await #expect(throws: Regret.self) {
            try await client.transaction { transaction in
                try await transaction.send("no", to: "/queue/b")
                throw Regret()
            }
        }
        try await client.close()
        try await broker.finished()
    }

    // MARK: Connecting

    @Test func connectTimesOutWhenTheBrokerDoesNotAnswer() async throws {
        let broker = try FakeBroker { peer in
            try peer.next(.connect)
            try peer.expectEnd()
        }
        let error = await clientError { () throws(ClientError) in
            _ = try await Client.connect(
                to: [broker.address], options { $0.connectTimeout = .seconds(2) })
        }
        #expect(error == .connectTimedOut(address: broker.address))
        try await broker.finished()
    }

    @Test func nobodyListensThere() async throws {
        let broker = try FakeBroker()
        try await broker.finished()
        let error = await clientError { () throws(ClientError) in
            _ = try await Client.connect(to: [broker.address], options())
        }
        guard case .connectFailed(broker.address, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func theSecondAddressIsTried() async throws {
        let dead = try FakeBroker()
        try await dead.finished()
        let broker = try FakeBroker { peer in
            try peer.login()
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [dead.address, broker.address], options())
        try await client.close()
        try await broker.finished()
    }

    @Test(arguments: ["", "nonsense", "127.0.0.1:99999", "[::1:61613"]) func unreadableAddress(
        text: String
    ) async throws {
        let error = await clientError { () throws(ClientError) in
            _ = try await Client.connect(to: [text])
        }
        guard case .invalidAddress = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func versionRefused() async throws {
        let broker = try FakeBroker { peer in
            try peer.next(.connect)
            try peer.write("ERROR\nversion:2.0\nmessage:unsupported\n\nonly 2.0 here\0")
        }
        let error = await clientError { () throws(ClientError) in
            _ = try await Client.connect(to: [broker.address], options())
        }
        #expect(error == .versionRefused(offered: "2.0"))
        try await broker.finished()
    }

    @Test func loginRefused() async throws {
        let broker = try FakeBroker { peer in
            try peer.next(.connect)
            try peer.write("ERROR\nmessage:access refused\ncontent-length:4\n\nno\0!\0")
        }
        let error = await clientError { () throws(ClientError) in
            _ = try await Client.connect(to: [broker.address], options())
        }
        guard case .loginRefused(let answer) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(answer.message == "access refused")
        #expect(answer.detail == "no\0!")
        try await broker.finished()
    }

    @Test func somethingElseThanSTOMPAnswers() async throws {
        let broker = try FakeBroker { peer in
            try peer.next(.connect)
            try peer.write("HTTP/1.1 400 Bad Request\r\n\r\n")
        }
        let error = await clientError { () throws(ClientError) in
            _ = try await Client.connect(to: [broker.address], options())
        }
        guard case .connectionLost(.notSTOMP) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        try await broker.finished()
    }

    @Test func aPasscodeWithALineBreakIsNotSent() async throws {
        let broker = try FakeBroker { try $0.expectEnd() }
        let error = await clientError { () throws(ClientError) in
            _ = try await Client.connect(
                to: [broker.address], options { $0.passcode = { "a\nlogin:root" } })
        }
        guard case .invalidHeader("passcode", _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func aPasscodeThatIsNotGivenIsAnError() async throws {
        struct NoToken: Error {}
        let broker = try FakeBroker()
        let error = await clientError { () throws(ClientError) in
            _ = try await Client.connect(to: [broker.address], options { $0.passcode = { throw NoToken() } })
        }
        #expect(error == .credentialsFailed(reason: "NoToken()"))
    }

    // MARK: Bytes

    @Test func framesCutAtEveryByteAreTheSame() async throws {
        let broker = try FakeBroker { peer in
            try peer.next(.connect)
            for byte in "\n\r\nCONNECTED\r\nversion:1.1\n\n\0\n\n".utf8 { try peer.write([byte]) }
            let send = try peer.next(.send)
            for byte in "\nRECEIPT\nreceipt-id:\(send["receipt"] ?? "")\n\n\0".utf8 { try peer.write([byte]) }
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        #expect(client.state == .connected(version: "1.1", server: nil))
        try await client.send("x", to: "/queue/a")
        try await client.close()
        try await broker.finished()
    }

    @Test func largeBodiesWithNULsComeAndGoWhole() async throws {
        let body = (0..<(4 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            let send = try peer.next(.send)
            try peer.receipt(send)
            var message = Frame(
                .message,
                [
                    "subscription": subscribe["id"] ?? "", "message-id": "1", "ack": "1", "destination": "/queue/a",
                ])
            message.body = send.body
            try peer.write(message.encoded(version: .v12))
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let orders = try await client.subscribe(to: "/queue/a")
        try await client.send(body, to: "/queue/a")
        let message = try #require(try await orders.next())
        #expect(message.body == body)
        try await client.close()
        try await broker.finished()
    }

    @Test func headersThatCannotBeSentAreRefusedAtOnce() async throws {
        let broker = try FakeBroker { peer in
            try peer.login()
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        for headers: Headers in [["receipt": "1"], ["a": "\0"], ["": "x"], ["transaction": "t"]] {
            let error = await clientError { () throws(ClientError) in
                try await client.send("x", to: "/queue/a", headers: headers)
            }
            guard case .invalidHeader = error else {
                Issue.record("\(headers): \(String(describing: error))")
                continue
            }
        }
        try await client.close()
        try await broker.finished()
    }

    // MARK: References

    @Test func theLastReferenceSaysGoodBye() async throws {
        let broker = try FakeBroker { peer in
            try peer.login()
            try peer.next(.disconnect)
            try peer.expectEnd()
        }
        do {
            let client = try await Client.connect(to: [broker.address], options())
            #expect(client.state == .connected(version: "1.2", server: nil))
        }
        try await broker.finished()
    }

    /// Goal: neither the loop, nor a timer, nor a waiting task keeps a client that was closed. Method: look until
    /// it is gone; what would never go would run into the time limit of the suite.
    @Test func nothingKeepsAClosedClient() async throws {
        let broker = try FakeBroker { peer in
            try peer.loginAndSubscribe()
            try peer.receipt(try peer.next(.send))
            try peer.goodBye()
        }
        weak var engine: Engine?
        do {
            let client = try await Client.connect(to: [broker.address], options { $0.passcode = { "x" } })
            engine = client.engine
            let orders = try await client.subscribe(to: "/queue/a")
            try await client.send("x", to: "/queue/a")
            try await client.close()
            let end = try await orders.next()
            #expect(end?.text == nil)
        }
        try await broker.finished()
        while engine != nil { await Task.yield() }
    }

    @Test func nothingKeepsAClientThatWasNeverConnected() async {
        final class Secret: Sendable {}
        weak var kept: Secret?
        do {
            let secret = Secret()
            kept = secret
            let options = options { options in
                options.passcode = {
                    withExtendedLifetime(secret) {}
                    return "x"
                }
            }
            let connecting = Task { () throws in
                while !Task.isCancelled { await Task.yield() }
                _ = try await Client.connect(to: ["127.0.0.1:1"], options)
            }
            connecting.cancel()
            await #expect(throws: ClientError.cancelled) { try await connecting.value }
        }
        while kept != nil { await Task.yield() }
    }

    @Test func theLastReferenceToASubscriptionCancelsIt() async throws {
        let broker = try FakeBroker { peer in
            try peer.loginAndSubscribe()
            try peer.next(.unsubscribe)
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        do {
            let orders = try await client.subscribe(to: "/queue/a")
            #expect(orders.destination == "/queue/a")
        }
        try await client.close()
        try await broker.finished()
    }

    @Test func aSubscriptionKeepsItsClientOpen() async throws {
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            try peer.deliver("one", to: subscribe)
            try peer.next(.unsubscribe)
            try peer.next(.disconnect)
        }
        do {
            let orders = try await Client.connect(to: [broker.address], options()).subscribe(to: "/queue/a")
            let message = try #require(try await orders.next())
            #expect(message.text == "one")
        }
        try await broker.finished()
    }

    @Test func closeIsBoundedWhenTheBrokerDoesNotAnswer() async throws {
        let broker = try FakeBroker { peer in
            try peer.login()
            try peer.next(.disconnect)
            try peer.expectEnd()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let error = await clientError { () throws(ClientError) in try await client.close(timeout: .milliseconds(50)) }
        #expect(error == .timedOut)
        #expect(client.state == .closed(reason: nil))
        try await client.close()
        try await broker.finished()
    }
}
