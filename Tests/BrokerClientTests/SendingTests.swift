import Base
import STOMP
import Testing

@testable import BrokerClient

@Suite struct SendingTests {
    @Test func sendIsAnsweredByItsReceipt() {
        var talk = Talk.ready()
        let send = talk.send("hello", headers: ["priority-hint": "3"])
        #expect(talk.outcomes[send] == nil)
        #expect(
            talk.sent == [
                Frame(
                    .send,
                    [
                        "destination": "/queue/a", "persistent": "true", "priority-hint": "3", "content-length": "5",
                        "receipt": "\(send.number)", "dedup-id": "me-\(send.number)",
                    ], text: "hello")
            ])
        talk.receipt(send)
        #expect(talk.outcomes[send] == .success(.done))
    }

    @Test func theCallersDedupIDStands() {
        var talk = Talk.ready()
        _ = talk.send("hello", headers: ["dedup-id": "order-7"])
        #expect(talk.sent[0].headers.filter { $0.name == "dedup-id" }.map(\.value) == ["order-7"])
    }

    @Test func withoutConfirmationNothingIsAwaitedOrPromised() {
        var talk = Talk.ready()
        let send = talk.send("hello", .none)
        #expect(talk.outcomes[send] == .success(.done))
        #expect(talk.sent[0]["receipt"] == nil)
        #expect(talk.sent[0]["dedup-id"] == nil)
        talk.lose()
        talk.reconnect()
        #expect(talk.sent.isEmpty)
    }

    @Test func receiptsMayComeInAnyOrder() {
        var talk = Talk.ready()
        let sends = (0..<3).map { _ in talk.send("x") }
        for send in sends.reversed() {
            #expect(talk.outcomes[send] == nil)
            talk.receipt(send)
            #expect(talk.outcomes[send] == .success(.done))
        }
    }

    @Test func strangeReceiptsAreNoHarm() {
        var talk = Talk.ready()
        let send = talk.send("x")
        talk.receipt(send)
        talk.receipt(send)
        talk.broker(.receipt, ["receipt-id": "nobody's"])
        talk.broker(.receipt, ["receipt-id": "999999"])
        talk.broker(.receipt)
        #expect(talk.conversation.canTransmit)
    }

    // MARK: Limits

    @Test func overTheLimitOfMessagesSendsWait() {
        var talk = Talk.ready { $0.unconfirmedMessages = 2 }
        let sends = (0..<4).map { talk.send("\($0)") }
        #expect(talk.sentText == ["SEND 0", "SEND 1"])
        talk.receipt(sends[1])
        #expect(talk.sentText == ["SEND 0", "SEND 1", "SEND 2"])
        talk.receipt(sends[0])
        #expect(talk.sentText == ["SEND 0", "SEND 1", "SEND 2", "SEND 3"])
    }

    @Test func overTheLimitOfBytesSendsWait() {
        var talk = Talk.ready { $0.unconfirmedBytes = 1_000 }
        let first = talk.send(String(repeating: "x", count: 400))
        _ = talk.send(String(repeating: "y", count: 400))
        #expect(talk.sent.count == 1)
        talk.receipt(first)
        #expect(talk.sent.count == 2)
    }

    @Test func aMessageLargerThanTheLimitGoesAlone() {
        var talk = Talk.ready { $0.unconfirmedBytes = 10 }
        let first = talk.send("larger than ten bytes")
        _ = talk.send("this one, too")
        #expect(talk.sent.count == 1)
        talk.receipt(first)
        #expect(talk.sent.count == 2)
    }

    @Test func nothingOvertakesASendThatWaits() {
        var talk = Talk.ready { $0.unconfirmedMessages = 1 }
        let first = talk.send("0")
        _ = talk.send("1")
        let post = talk.send("2", .none)
        #expect(talk.outcomes[post] == nil)
        talk.receipt(first)
        #expect(talk.sentText == ["SEND 0", "SEND 1", "SEND 2"])
    }

    @Test func aFullSocketHoldsSendsBack() {
        var talk = Talk.ready()
        let link = talk.conversation.link
        talk.event { $0.setCongested(true, on: link, at: $1) }
        let post = talk.send("0", .none)
        #expect(talk.sent.isEmpty)
        #expect(talk.outcomes[post] == nil)
        talk.event { $0.setCongested(false, on: link, at: $1) }
        #expect(talk.outcomes[post] == .success(.done))
    }

    // MARK: Giving up

    @Test func theDeadlineFreesTheRoom() {
        var talk = Talk.ready { $0.unconfirmedMessages = 1 }
        let first = talk.send("0", within: 100)
        let second = talk.send("1", within: 200)
        let third = talk.send("2", within: 1_000)
        talk.pass(milliseconds: 100)
        #expect(talk.outcomes[first] == .failure(.timedOut))
        #expect(talk.sentText == ["SEND 0", "SEND 1"])
        talk.pass(milliseconds: 100)
        #expect(talk.outcomes[second] == .failure(.timedOut))
        #expect(talk.sentText == ["SEND 0", "SEND 1", "SEND 2"])
        talk.receipt(first)
        talk.receipt(third)
        #expect(talk.outcomes[third] == .success(.done))
    }

    @Test(arguments: [0, 1, 2]) func cancellingOneOfThreeLeavesTheOthers(which: Int) {
        var talk = Talk.ready { $0.unconfirmedMessages = 1 }
        let sends = (0..<3).map { talk.send("\($0)") }
        talk.cancel(sends[which])
        #expect(talk.outcomes[sends[which]] == .failure(.cancelled))
        for (index, send) in sends.enumerated() where index != which {
            talk.receipt(send)
            #expect(talk.outcomes[send] == .success(.done), "send \(index)")
        }
        #expect(talk.conversation.unconfirmedMessages == 0)
        #expect(talk.conversation.unconfirmedBytes == 0)
    }

    @Test func cancelledSendsLeaveNothingBehind() {
        var talk = Talk()
        _ = talk.connect()
        for _ in 0..<10_000 { talk.cancel(talk.send("x")) }
        #expect(talk.conversation.waiting.count <= 200)
        #expect(talk.conversation.requests.count == 1)
    }

    // MARK: Over a reconnect

    @Test func unconfirmedSendsGoOutAgainInOrderAndUnchanged() {
        var talk = Talk.ready()
        let sends = (0..<5).map { talk.send("\($0)") }
        let before = talk.sent
        talk.receipt(sends[2])
        talk.lose()
        talk.reconnect()
        #expect(talk.sent == [before[0], before[1], before[3], before[4]])
        for send in sends { #expect((talk.outcomes[send] == nil) == (send != sends[2])) }
        talk.confirmAll()
        for send in sends { #expect(talk.outcomes[send] == .success(.done)) }
    }

    @Test func sendsMadeWhileDisconnectedFollowTheOldOnes() {
        var talk = Talk.ready { $0.unconfirmedMessages = 2 }
        _ = (talk.send("0"), talk.send("1"), talk.send("2"))
        talk.lose()
        _ = talk.send("3")
        talk.reconnect()
        #expect(talk.sentText == ["SEND 0", "SEND 1"])
        talk.confirmAll()
        #expect(talk.sentText == ["SEND 0", "SEND 1", "SEND 2", "SEND 3"])
    }

    @Test func aSendThatCausedAnErrorIsNotSentAgain() {
        var talk = Talk.ready()
        let (good, bad) = (talk.send("good"), talk.send("bad"))
        talk.broker(.error, ["message": "no", "receipt-id": "\(bad.number)"])
        guard case .failure(.refused(let error)) = talk.outcomes[bad] else {
            Issue.record("\(String(describing: talk.outcomes[bad]))")
            return
        }
        #expect(error.message == "no")
        #expect(talk.outcomes[good] == nil)
        talk.reconnect()
        #expect(talk.sentText == ["SEND good"])
    }

    /// Goal: a poisonous SEND does not break the connection for ever when the broker never says which it was.
    @Test func aSendSuspectedThreeTimesIsGivenUp() {
        var talk = Talk.ready()
        let bad = talk.send("bad")
        for round in 1...Conversation.suspicions {
            #expect(talk.outcomes[bad] == nil, "round \(round)")
            talk.broker(.error, ["message": "something is wrong"])
            talk.reconnect()
        }
        guard case .failure(.refused) = talk.outcomes[bad] else {
            Issue.record("\(String(describing: talk.outcomes[bad]))")
            return
        }
        #expect(talk.sent.isEmpty)
    }

    @Test func plainLossesAreNotSuspicious() {
        var talk = Talk.ready()
        let send = talk.send("x", within: 10_000_000)
        for _ in 0..<10 {
            talk.lose()
            talk.reconnect()
        }
        #expect(talk.outcomes[send] == nil)
        #expect(talk.sentText == ["SEND x"])
    }
}
