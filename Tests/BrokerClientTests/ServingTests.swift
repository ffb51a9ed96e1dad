import STOMP
import Testing

@testable import BrokerClient

private struct Trouble: Error {}

@Suite(.timeLimit(.minutes(4)), .endsWithItsScripts) struct ServingTests {
    /// Serves with a handler that answers by the text of the request, while the script plays the broker.
    private func serve(
        _ handled: Reached, name: String? = nil, _ script: @escaping @Sendable (Peer, Frame) throws -> Void
    ) async throws -> ConsumerCounters {
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            try script(peer, subscribe)
            handled.mark()
            try peer.unsubscribeAndGoodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let service = try await client.serve("/queue/a", name: name) { request in
            switch request.text {
            case "failure": throw RequestFailure(code: "sold-out", detail: "none left", headers: ["since": "today"])
            case "bug": throw Trouble()
            case "bad": return Answer("x", headers: ["": "no name"])
            default: return Answer("re: \(request.text)", headers: ["extra": "1"])
            }
        }
        await handled.wait()
        try await service.stop()
        try await client.close()
        try await broker.finished()
        return service.counters
    }

    private static let asker = "reply-to:/reply-queue/x\ncorrelation-id:c\\c1\n"

    @Test func theReplyGoesToTheAskerWithItsCorrelation() async throws {
        let counters = try await serve(Reached(), name: "eu") { peer, subscribe in
            try peer.deliver("hello", to: subscribe, Self.asker)
            guard try peer.next(.ack)["id"] == "a-hello" else { throw ScriptError.nothingCame }
            let reply = try peer.next(.send)
            guard reply["destination"] == "/reply-queue/x", reply["correlation-id"] == "c:1", reply["extra"] == "1",
                reply["replied-by"] == "eu", reply["error-code"] == nil, reply["persistent"] == "false",
                reply.text == "re: hello"
            else { throw ScriptError.unexpected(reply, wanted: .send) }
        }
        #expect(counters.handled == 1 && counters.unanswered == 0)
    }

    @Test func failuresAreAnswersAndBugsTellNothing() async throws {
        let counters = try await serve(Reached()) { peer, subscribe in
            try peer.deliver("failure", to: subscribe, Self.asker)
            try peer.next(.ack)
            let failure = try peer.next(.send)
            guard failure["error-code"] == "sold-out", failure.text == "none left", failure["since"] == "today",
                failure["correlation-id"] == "c:1"
            else { throw ScriptError.unexpected(failure, wanted: .send) }
            try peer.deliver("bug", to: subscribe, Self.asker)
            try peer.next(.ack)
            let bug = try peer.next(.send)
            guard bug["error-code"] == "internal-error", bug.text == "" else {
                throw ScriptError.unexpected(bug, wanted: .send)
            }
        }
        #expect(counters.failed == 2 && counters.handled == 0)
    }

    @Test func whoWantsNoReplyGetsNone() async throws {
        let counters = try await serve(Reached()) { peer, subscribe in
            for (number, more) in ["", "reply-to:/nonsense/x\n", "reply-to:\n", "reply-to:/topic/*\n"].enumerated() {
                try peer.deliver("\(number)", to: subscribe, more)
                guard try peer.next(.ack)["id"] == "a-\(number)" else { throw ScriptError.nothingCame }
            }
            // An answer that cannot be written.
            try peer.deliver("bad", to: subscribe, Self.asker)
            try peer.next(.ack)
        }
        #expect(counters.handled == 5 && counters.unanswered == 5)
    }

    @Test func aReplyToAQueueIsThereBeforeTheRequestIsGone() async throws {
        _ = try await serve(Reached()) { peer, subscribe in
            try peer.deliver("x", to: subscribe, "reply-to:/queue/answers\ncorrelation-id:7\npersistent:true\n")
            let reply = try peer.next(.send)
            guard reply["persistent"] == "true", reply["receipt"] != nil, reply["destination"] == "/queue/answers"
            else {
                throw ScriptError.unexpected(reply, wanted: .send)
            }
            try peer.receipt(reply)
            try peer.next(.ack)
        }
    }

    @Test func aRequestWhoseAskerHasGivenUpIsDroppedWithoutWork() async throws {
        let counters = try await serve(Reached()) { peer, subscribe in
            // Came with all of its time, which tells how the clocks stand; the second one has none left.
            try peer.deliver("one", to: subscribe, Self.asker + "ttl:3600000\nexpires:1800003600000\n")
            try peer.next(.ack)
            try peer.next(.send)
            try peer.deliver("two", to: subscribe, Self.asker + "ttl:3600000\nexpires:1800000000000\n")
            guard try peer.next(.ack)["id"] == "a-two" else { throw ScriptError.nothingCame }
            try peer.deliver("three", to: subscribe, Self.asker)
            try peer.next(.ack)
            guard try peer.next(.send).text == "re: three" else { throw ScriptError.nothingCame }
        }
        #expect(counters.handled == 2 && counters.expired == 1)
    }

    @Test func aReplyThatTheBrokerRefusesEndsOneConnectionAndNoMore() async throws {
        let settled = Reached()
        let broker = try FakeBroker(
            { peer in
                let subscribe = try peer.loginAndSubscribe()
                try peer.deliver("x", to: subscribe, "reply-to:/queue/no\n")
                let reply = try peer.next(.send)
                try peer.write("ERROR\nmessage:no such queue\nreceipt-id:\(reply["receipt"] ?? "")\n\n\0")
                try peer.expectEnd()
            },
            { peer in
                let subscribe = try peer.loginAndSubscribe()
                try peer.deliver("x", to: subscribe, "reply-to:/queue/no\nredelivered:true\n")
                let nack = try peer.next(.nack)
                guard nack["requeue"] == "false" else { throw ScriptError.unexpected(nack, wanted: .nack) }
                settled.mark()
                try peer.unsubscribeAndGoodBye()
            })
        let client = try await Client.connect(to: [broker.address], options())
        let service = try await client.serve("/queue/a") { _ in Answer("x") }
        await settled.wait()
        try await service.stop()
        #expect(service.counters.handled == 1 && service.counters.deadLettered == 1)
        try await client.close()
        try await broker.finished()
    }

    @Test func anAskerAndAServiceUnderstandEachOther() async throws {
        // The broker here only carries the request over and the reply back.
        let broker = try FakeBroker { peer in
            let service = try peer.loginAndSubscribe()
            let channel = try peer.next(.subscribe)
            try peer.receipt(channel)
            for text in ["hello", "failure"] {
                let request = try peer.next(.send)
                guard request.text == text else { throw ScriptError.unexpected(request, wanted: .send) }
                let correlation = request["correlation-id"] ?? ""
                try peer.deliver(text, to: service, "reply-to:/reply-queue/x\ncorrelation-id:\(correlation)\n")
                try peer.next(.ack)
                let reply = try peer.next(.send)
                let error = reply["error-code"].map { "error-code:\($0)\n" } ?? ""
                try peer.deliver(
                    reply.text, to: channel, "correlation-id:\(reply["correlation-id"] ?? "")\n" + error)
            }
            try peer.unsubscribeAndGoodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let service = try await client.serve("/queue/a") { request in
            if request.text == "failure" { throw RequestFailure(code: "sold-out", detail: "none left") }
            return Answer("re: \(request.text)")
        }
        let reply = try await client.request("hello", to: "/queue/a")
        #expect(reply.text == "re: hello")
        let error = await clientError { () async throws(ClientError) in
            _ = try await client.request("failure", to: "/queue/a")
        }
        guard case .requestFailed(let failure)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(failure.code == "sold-out" && failure.detail == "none left")
        #expect(client.requestCounters == RequestCounters())
        try await service.stop()
        try await client.close()
        try await broker.finished()
    }
}
