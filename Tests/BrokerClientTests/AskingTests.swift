import Base
import STOMP
import Testing

@testable import BrokerClient

@Suite struct AskingTests {
    private func texts(_ outcome: Result<Reply, ClientError>?) -> [String]? {
        guard case .success(.replies(let replies, _))? = outcome else { return nil }
        return replies.map(\.frame.text)
    }

    private func end(_ outcome: Result<Reply, ClientError>?) -> GatheringEnd? {
        guard case .success(.replies(_, let end))? = outcome else { return nil }
        return end
    }

    @Test func theFirstRequestMakesTheReplyChannelOfAll() {
        var talk = Talk.ready()
        let first = talk.ask("one")
        let second = talk.ask("two")
        #expect(talk.commands == [.subscribe, .send, .send])
        #expect(talk.sent[0]["destination"] == "/temp-queue/replies")
        #expect(talk.sent[0]["ack"] == "auto")
        #expect(talk.sent[1]["reply-to"] == "/temp-queue/replies")
        #expect(talk.sent[1]["correlation-id"] == "me-\(first.number)")
        #expect(talk.sent[2]["correlation-id"] == "me-\(second.number)")
        // In the wrong order, and before any receipt.
        talk.reply("to two", correlation: "me-\(second.number)")
        #expect(talk.outcomes[first] == nil)
        #expect(texts(talk.outcomes[second]) == ["to two"])
        talk.reply("to one", correlation: "me-\(first.number)")
        #expect(texts(talk.outcomes[first]) == ["to one"])
        talk.confirmAll()
        #expect(talk.conversation.requests.isEmpty && talk.conversation.asks.collected.isEmpty)
    }

    @Test func theTimeThatIsLeftTravels() {
        var talk = Talk.ready { $0.requestsInFlight = 1 }
        let first = talk.ask("one", within: 5_000)
        let second = talk.ask("two", within: 4_000)
        #expect(talk.sent.last?["ttl"] == "5000")
        talk.pass(milliseconds: 1_500)
        talk.reply("x", correlation: "me-\(first.number)")
        #expect(talk.sent.last?["correlation-id"] == "me-\(second.number)")
        #expect(talk.sent.last?["ttl"] == "2500")
    }

    @Test func lateAndStrangeRepliesReachNobodyAndAreCounted() {
        var talk = Talk.ready()
        let late = talk.ask("one", within: 100)
        let other = talk.ask("two")
        talk.pass(milliseconds: 100)
        #expect(talk.outcomes[late] == .failure(.timedOut))
        talk.reply("late", correlation: "me-\(late.number)")
        talk.reply("of another client", correlation: "you-\(other.number)")
        talk.reply("nonsense", correlation: "me-x")
        talk.broker(.message, ["subscription": "0", "message-id": "m", "destination": "/reply-queue/1"])
        #expect(talk.outcomes[other] == nil)
        #expect(talk.conversation.asks.lateReplies == 1)
        #expect(talk.conversation.asks.unknownReplies == 3)
        talk.reply("right", correlation: "me-\(other.number)")
        talk.reply("twice", correlation: "me-\(other.number)")
        #expect(texts(talk.outcomes[other]) == ["right"])
        #expect(talk.conversation.asks.lateReplies == 2)
    }

    @Test func anotherKindOfCallIsNotAnsweredByAReply() {
        var talk = Talk.ready()
        let send = talk.send("x")
        talk.reply("x", correlation: "me-\(send.number)")
        #expect(talk.outcomes[send] == nil)
        #expect(talk.conversation.asks.lateReplies == 1)
    }

    @Test func overTheLimitTheyWaitInOrder() {
        var talk = Talk.ready { $0.requestsInFlight = 2 }
        let ids = (0..<4).map { talk.ask("\($0)") }
        #expect(talk.sent.filter { $0.command == .send }.map(\.text) == ["0", "1"])
        talk.cancel(ids[0])
        #expect(talk.outcomes[ids[0]] == .failure(.cancelled))
        #expect(talk.sent.last?.text == "2")
        talk.reply("x", correlation: "me-\(ids[1].number)")
        #expect(talk.sent.last?.text == "3")
        #expect(talk.conversation.asks.inFlight == 2)
    }

    @Test func overTheLimitTheyFailIfSoWished() {
        var talk = Talk.ready {
            $0.requestsInFlight = 2
            $0.failsWhenBusy = true
        }
        let ids = (0..<3).map { talk.ask("\($0)") }
        #expect(talk.outcomes[ids[2]] == .failure(.tooManyRequests(limit: 2)))
        talk.cancel(ids[0])
        let next = talk.ask("next")
        #expect(talk.outcomes[next] == nil)
    }

    @Test func withoutAConnectionTheyWaitAndTheLimitHoldsToo() {
        var talk = Talk.ready {
            $0.requestsInFlight = 1
            $0.failsWhenBusy = true
        }
        talk.lose()
        let waiting = talk.ask("one")
        let tooMany = talk.ask("two")
        #expect(talk.outcomes[tooMany] == .failure(.tooManyRequests(limit: 1)))
        talk.reconnect()
        #expect(talk.commands == [.subscribe, .send])
        talk.reply("x", correlation: "me-\(waiting.number)")
        #expect(texts(talk.outcomes[waiting]) == ["x"])
    }

    @Test func aLostConnectionEndsWhatWasAskedOnItAndTheNextOneHasAChannelOfItsOwn() {
        var talk = Talk.ready()
        let lost = talk.ask("one")
        talk.lose()
        #expect(talk.outcomes[lost] == .failure(.outcomeUnknown))
        #expect(talk.conversation.asks.inFlight == 0)
        talk.reconnect()
        #expect(talk.sent.isEmpty, "nothing of it is sent again")
        let next = talk.ask("two")
        #expect(talk.commands == [.subscribe, .send])
        talk.reply("stray", correlation: "me-\(lost.number)")
        #expect(talk.outcomes[next] == nil)
    }

    @Test func anErrorThatNamesARequestIsItsOutcome() {
        var talk = Talk.ready()
        let refused = talk.ask("one")
        let other = talk.ask("two")
        talk.broker(.error, ["message": "queue full", "receipt-id": "\(refused.number)"])
        guard case .failure(.refused(let error))? = talk.outcomes[refused] else {
            Issue.record("\(String(describing: talk.outcomes[refused]))")
            return
        }
        #expect(error.message == "queue full")
        #expect(talk.outcomes[other] == .failure(.outcomeUnknown))
    }

    @Test func withoutAReplyChannelRequestsAreRefused() throws {
        var talk = Talk.ready()
        let request = talk.ask("one")
        let receipt = try #require(talk.sent[0]["receipt"])
        talk.broker(.error, ["message": "too many subscriptions", "receipt-id": receipt])
        guard case .failure(.refused(let error))? = talk.outcomes[request] else {
            Issue.record("\(String(describing: talk.outcomes[request]))")
            return
        }
        #expect(error.message == "too many subscriptions")
    }

    @Test func closingEndsThem() {
        var talk = Talk.ready { $0.requestsInFlight = 1 }
        let written = talk.ask("one")
        let waiting = talk.ask("two")
        _ = talk.close()
        #expect(talk.outcomes[written] == .failure(.outcomeUnknown))
        #expect(talk.outcomes[waiting] == .failure(.closed))
        let late = talk.ask("three")
        #expect(talk.outcomes[late] == .failure(.closed))
    }

    @Test func aFullSocketHoldsThemBack() {
        var talk = Talk.ready()
        let link = talk.conversation.link
        talk.event { $0.setCongested(true, on: link, at: $1) }
        _ = talk.ask("one")
        #expect(talk.sent.isEmpty)
        talk.event { $0.setCongested(false, on: link, at: $1) }
        #expect(talk.commands == [.subscribe, .send])
    }

    @Test func aReplyNeedsNoAcknowledgement() {
        var talk = Talk.ready()
        let request = talk.ask("one")
        talk.reply("x", correlation: "me-\(request.number)")
        guard case .success(.replies(let replies, _))? = talk.outcomes[request] else {
            Issue.record("no reply")
            return
        }
        #expect(throws: ClientError.alreadySettled) { try talk.settle(replies[0]) }
    }

    @Test func cancelledOnesThatWaitLeaveNothingBehind() {
        var talk = Talk.ready()
        talk.lose()
        for _ in 0..<1_000 {
            let id = talk.ask("x")
            talk.cancel(id)
        }
        #expect(talk.conversation.asks.waiting.count <= 65)
    }

    // MARK: Gathering

    private func gathering(_ talk: inout Talk, atMost: Int, from expected: Set<String> = []) -> RequestID {
        talk.ask("all", within: 1_000) {
            $0.isGathering = true
            $0.atMost = atMost
            $0.expected = expected
        }
    }

    @Test func gatheringEndsWithTheLastThatIsWanted() {
        var talk = Talk.ready()
        let request = gathering(&talk, atMost: 2)
        talk.reply("a", correlation: "me-\(request.number)")
        #expect(talk.outcomes[request] == nil)
        talk.reply("b", correlation: "me-\(request.number)")
        #expect(texts(talk.outcomes[request]) == ["a", "b"] && end(talk.outcomes[request]) == .complete)
        talk.reply("c", correlation: "me-\(request.number)")
        #expect(talk.conversation.asks.lateReplies == 1)
    }

    @Test func gatheringEndsWhenAllExpectedHaveSpoken() {
        var talk = Talk.ready()
        let request = gathering(&talk, atMost: 100, from: ["eu", "us"])
        talk.reply("a", correlation: "me-\(request.number)", from: "eu")
        talk.reply("b", correlation: "me-\(request.number)", from: "eu")
        #expect(talk.outcomes[request] == nil)
        talk.reply("c", correlation: "me-\(request.number)", from: "us")
        #expect(texts(talk.outcomes[request]) == ["a", "b", "c"])
    }

    @Test func gatheringReturnsWhatCameInTime() {
        var talk = Talk.ready()
        let some = gathering(&talk, atMost: 3)
        let none = gathering(&talk, atMost: 3)
        talk.reply("a", correlation: "me-\(some.number)")
        talk.pass(milliseconds: 1_000)
        #expect(texts(talk.outcomes[some]) == ["a"] && end(talk.outcomes[some]) == .timedOut)
        #expect(texts(talk.outcomes[none]) == [] && end(talk.outcomes[none]) == .timedOut)
    }

    @Test func gatheringReturnsWhatCameBeforeTheConnectionWasLost() {
        var talk = Talk.ready()
        let request = gathering(&talk, atMost: 3)
        talk.reply("a", correlation: "me-\(request.number)")
        talk.lose()
        #expect(texts(talk.outcomes[request]) == ["a"])
        #expect(end(talk.outcomes[request]) == .connectionLost(.ended(reason: "peer-closed")))
    }

    @Test func gatheringThatWasNeverSentTimesOut() {
        var talk = Talk.ready()
        talk.lose()
        let request = gathering(&talk, atMost: 3)
        talk.pass(milliseconds: 1_000)
        #expect(talk.outcomes[request] == .failure(.timedOut))
    }

    @Test func whoIsMissingIsNamed() {
        var talk = Talk.ready()
        let request = gathering(&talk, atMost: 100, from: ["eu", "us", "asia"])
        talk.reply("a", correlation: "me-\(request.number)", from: "eu")
        talk.broker(
            .message,
            [
                "subscription": "0", "correlation-id": "me-\(request.number)", "replied-by": "us",
                "error-code": "closed",
            ], text: "holiday")
        talk.pass(milliseconds: 1_000)
        guard case .success(.replies(let replies, let end))? = talk.outcomes[request] else {
            Issue.record("nothing was gathered")
            return
        }
        let split = Gathered.split(replies, expected: ["eu", "us", "asia"])
        #expect(split.replies.map(\.frame.text) == ["a"])
        #expect(split.failures.map(\.code) == ["closed"] && split.failures.map(\.detail) == ["holiday"])
        #expect(split.missing == ["asia"])
        #expect(end == .timedOut)
    }
}
