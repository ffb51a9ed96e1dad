import STOMP
import Synchronization
import Testing

@testable import BrokerClient

private struct Trouble: Error {}

private let quick = RetryPolicy(attempts: 3, first: .milliseconds(1), longest: .milliseconds(1))

@Suite(.timeLimit(.minutes(4)), .endsWithItsScripts) struct ConsumingTests {
    @Test func whatIsHandledIsAcknowledged() async throws {
        let acknowledged = Reached()
        let broker = try FakeBroker { peer in
            try peer.login()
            let subscribe = try peer.next(.subscribe)
            guard subscribe["prefetch-count"] == "4" else {
                throw ScriptError.unexpected(subscribe, wanted: .subscribe)
            }
            try peer.receipt(subscribe)
            try peer.deliver("one", to: subscribe)
            try peer.deliver("two", to: subscribe)
            let acks = try Set([peer.next(.ack)["id"], peer.next(.ack)["id"]])
            guard acks == ["a-one", "a-two"] else { throw ScriptError.nothingCame }
            acknowledged.mark()
            try peer.unsubscribeAndGoodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let consumer = try await client.consume("/queue/a", concurrency: 2) { _ in }
        await acknowledged.wait()
        try await consumer.stop()
        #expect(consumer.counters.handled == 2 && consumer.counters.inHand == 0)
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    @Test func theErrorSaysWhatBecomesOfTheMessage() async throws {
        let settled = Reached()
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            try peer.deliver("again", to: subscribe)
            let again = try peer.next(.nack)
            guard again["id"] == "a-again", again["requeue"] == nil else {
                throw ScriptError.unexpected(again, wanted: .nack)
            }
            try peer.deliver("never", to: subscribe)
            let never = try peer.next(.nack)
            guard never["id"] == "a-never", never["requeue"] == "false" else {
                throw ScriptError.unexpected(never, wanted: .nack)
            }
            settled.mark()
            try peer.unsubscribeAndGoodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let consumer = try await client.consume("/queue/a") { message in
            if message.text == "never" { throw Unprocessable("it is not JSON") }
            throw Trouble()
        }
        await settled.wait()
        try await consumer.stop()
        let counters = consumer.counters
        #expect(counters.failed == 2 && counters.rejected == 1 && counters.deadLettered == 1 && counters.handled == 0)
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    @Test func aGroupIsWorkedOnInOrderAlsoWhenOneFails() async throws {
        let settled = Reached()
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            for text in ["1", "2", "3"] { try peer.deliver(text, to: subscribe, "message-group:g\n") }
            // The first fails once, the second for good.
            guard try peer.next(.ack)["id"] == "a-1" else { throw ScriptError.nothingCame }
            let dead = try peer.next(.nack)
            guard dead["id"] == "a-2", dead["requeue"] == "false" else {
                throw ScriptError.unexpected(dead, wanted: .nack)
            }
            guard try peer.next(.ack)["id"] == "a-3" else { throw ScriptError.nothingCame }
            settled.mark()
            try peer.unsubscribeAndGoodBye()
        }
        let calls = Mutex<[String]>([])
        let client = try await Client.connect(to: [broker.address], options())
        let consumer = try await client.consume(
            "/queue/a", concurrency: 3, orderedBy: .messageGroup, retry: quick
        ) { message in
            let count = calls.withLock { calls in
                calls.append(message.text)
                return calls.filter { $0 == message.text }.count
            }
            if message.text == "1", count == 1 { throw Trouble() }
            if message.text == "2" { throw Trouble() }
        }
        await settled.wait()
        try await consumer.stop()
        #expect(calls.withLock { $0 } == ["1", "1", "2", "2", "2", "3"])
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    @Test func stoppingFinishesWhatIsInHandAndTakesNothingNew() async throws {
        let begun = Reached()
        let mayEnd = Reached()
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            try peer.deliver("one", to: subscribe)
            try peer.deliver("two", to: subscribe)
            // Not the second one: it goes back with the subscription.
            guard try peer.next(.ack)["id"] == "a-one" else { throw ScriptError.nothingCame }
            try peer.unsubscribeAndGoodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let consumer = try await client.consume("/queue/a") { message in
            guard message.text == "one" else { throw Trouble() }
            begun.mark()
            await mayEnd.wait()
        }
        await begun.wait()
        #expect(consumer.counters.inHand == 1)
        async let stopping: Void = consumer.stop()
        async let waiting: Void = consumer.finished()
        while !consumer.isStopping { await Task.yield() }
        mayEnd.mark()
        try await stopping
        try await waiting
        #expect(consumer.counters.handled == 1 && consumer.counters.failed == 0)
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    @Test func aHandlerThatDoesNotEndIsCancelledWhenTheTimeIsOver() async throws {
        let begun = Reached()
        let cancelled = Reached()
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            try peer.deliver("one", to: subscribe)
            try peer.next(.unsubscribe)
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let consumer = try await client.consume("/queue/a") { _ in
            begun.mark()
            // Nobody marks it but the cancellation of this task.
            await cancelled.wait()
            try Task.checkCancellation()
        }
        await begun.wait()
        let error = await clientError { () async throws(ClientError) in try await consumer.stop(within: .zero) }
        #expect(error == .timedOut)
        await cancelled.wait()
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    @Test func cancellingWhoWaitsForItStopsIt() async throws {
        let begun = Reached()
        let mayEnd = Reached()
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            try peer.deliver("one", to: subscribe)
            guard try peer.next(.ack)["id"] == "a-one" else { throw ScriptError.nothingCame }
            try peer.unsubscribeAndGoodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let consumer = try await client.consume("/queue/a") { _ in
            begun.mark()
            await mayEnd.wait()
        }
        let program = Task { try await consumer.finished() }
        await begun.wait()
        program.cancel()
        mayEnd.mark()
        try await program.value
        #expect(consumer.counters.handled == 1)
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    @Test func whatEndsTheSubscriptionIsThrown() async throws {
        let broker = try FakeBroker { peer in
            try peer.loginAndSubscribe()
        }
        let client = try await Client.connect(to: [broker.address], options { $0.reconnect = .never })
        let consumer = try await client.consume("/queue/a") { _ in }
        let error = await clientError { () async throws(ClientError) in try await consumer.finished() }
        #expect(error == .connectionLost(.ended(reason: "peer-closed")))
        try await broker.finished()
    }

    @Test func afterALostConnectionWhatComesAgainIsWorkedOnAgain() async throws {
        let held = Signal()
        let isBack = Reached()
        let settled = Reached()
        let broker = try FakeBroker(
            { peer in
                let subscribe = try peer.loginAndSubscribe()
                try peer.deliver("one", to: subscribe)
                try peer.deliver("two", to: subscribe)
                try held.wait()
            },
            { peer in
                let subscribe = try peer.loginAndSubscribe()
                isBack.mark()
                try peer.deliver("one", to: subscribe, "redelivered:true\n")
                try peer.deliver("two", to: subscribe, "redelivered:true\n")
                guard try peer.next(.ack)["id"] == "a-one", try peer.next(.ack)["id"] == "a-two" else {
                    throw ScriptError.nothingCame
                }
                settled.mark()
                try peer.unsubscribeAndGoodBye()
            })
        let texts = Mutex<[String]>([])
        let client = try await Client.connect(to: [broker.address], options())
        let consumer = try await client.consume("/queue/a") { message in
            texts.withLock { $0.append(message.text + (message.redelivered ? " again" : "")) }
            if message.redelivered { return }
            held.send()
            await isBack.wait()
        }
        await settled.wait()
        try await consumer.stop()
        // The second one that was held when the connection broke was not worked on in vain.
        #expect(texts.withLock { $0 } == ["one", "one again", "two again"])
        #expect(consumer.counters.lost == 2)
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    @Test func aPipeAcknowledgesAndSendsOnInOneTransaction() async throws {
        let committed = Reached()
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            try peer.deliver("order", to: subscribe)
            let begin = try peer.next(.begin)
            let name = begin["transaction"]
            let ack = try peer.next(.ack)
            guard name != nil, ack["transaction"] == name, ack["id"] == "a-order" else {
                throw ScriptError.unexpected(ack, wanted: .ack)
            }
            for text in ["invoice", "parcel"] {
                let send = try peer.next(.send)
                guard send["transaction"] == name, send.text == text, send["destination"] == "/queue/\(text)" else {
                    throw ScriptError.unexpected(send, wanted: .send)
                }
            }
            let commit = try peer.next(.commit)
            guard commit["transaction"] == name else { throw ScriptError.unexpected(commit, wanted: .commit) }
            try peer.receipt(commit)
            committed.mark()
            try peer.unsubscribeAndGoodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let stage = try await client.pipe("/queue/a") { _ in
            [Outgoing("invoice", to: "/queue/invoice"), Outgoing("parcel", to: "/queue/parcel")]
        }
        await committed.wait()
        try await stage.stop()
        #expect(stage.counters.handled == 1 && stage.counters.lost == 0)
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    @Test func moreThanItHoldsIsNotRead() async throws {
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            // This broker does not look at prefetch-count.
            for number in 0..<200 { try peer.deliver("\(number)", to: subscribe) }
            for number in 0..<200 {
                let ack = try peer.next(.ack)
                guard ack["id"] == "a-\(number)" else { throw ScriptError.unexpected(ack, wanted: .ack) }
            }
            try peer.unsubscribeAndGoodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let all = Reached()
        let consumer = try await client.consume("/queue/a", prefetch: 3) { message in
            if message.text == "199" { all.mark() }
        }
        await all.wait()
        try await consumer.stop()
        #expect(consumer.counters.handled == 200)
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }

    /// Goal: reading that was stopped for want of room goes on when there is room, also when that comes in the moment of stopping.
    /// Method: so many moments that some of them are that one.
    @Test func readingGoesOnHoweverOftenItStops() async throws {
        let count = 10_000
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            for number in 0..<count { try peer.deliver("\(number)", to: subscribe) }
            for _ in 0..<count { _ = try peer.next(.ack) }
            try peer.unsubscribeAndGoodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let all = Reached()
        let consumer = try await client.consume("/queue/a", prefetch: 2) { message in
            if message.text == "\(count - 1)" { all.mark() }
        }
        await all.wait()
        try await consumer.stop()
        #expect(consumer.counters.handled == count)
        try await client.close(timeout: .seconds(50))
        try await broker.finished()
    }
}
