import Base
import STOMP
import Testing

@testable import BrokerClient

@Suite struct ClosingTests {
    private func receipt(_ talk: Talk) -> String { talk.sent.last?["receipt"] ?? "" }

    @Test func closeIsAnsweredByTheReceiptOfDisconnect() {
        var talk = Talk.ready()
        let close = talk.close()
        #expect(talk.commands == [.disconnect])
        #expect(talk.outcomes[close] == nil)
        talk.broker(.receipt, ["receipt-id": receipt(talk)])
        #expect(talk.outcomes[close] == .success(.done))
        #expect(talk.hangUps.map(\.politely) == [true])
        #expect(talk.states.last == .closed(reason: nil))
    }

    @Test func sendsUnderWayAreStillConfirmed() {
        var talk = Talk.ready { $0.unconfirmedMessages = 1 }
        let first = talk.send("0")
        let second = talk.send("1")
        let close = talk.close()
        #expect(talk.outcomes[second] == .failure(.closed), "it was not sent")
        #expect(talk.outcomes[first] == nil)
        talk.receipt(first)
        #expect(talk.outcomes[first] == .success(.done))
        #expect(talk.commands == [.send, .disconnect], "nothing may follow DISCONNECT")
        talk.broker(.receipt, ["receipt-id": receipt(talk)])
        #expect(talk.outcomes[close] == .success(.done))
    }

    @Test func sendsThatWereNeverConfirmedHaveAnUnknownOutcome() {
        var talk = Talk.ready()
        let send = talk.send("0")
        _ = talk.close()
        talk.broker(.receipt, ["receipt-id": receipt(talk)])
        #expect(talk.outcomes[send] == .failure(.outcomeUnknown))
    }

    @Test func closeIsBounded() {
        var talk = Talk.ready()
        let close = talk.close(within: 100)
        talk.pass(milliseconds: 100)
        #expect(talk.outcomes[close] == .failure(.timedOut))
        #expect(talk.states.last == .closed(reason: nil))
        #expect(talk.hangUps.count == 1)
    }

    @Test func aLossWhileClosingEndsIt() {
        var talk = Talk.ready()
        let close = talk.close()
        talk.lose(.ended(reason: "cable"))
        #expect(talk.outcomes[close] == .failure(.connectionLost(.ended(reason: "cable"))))
        #expect(talk.states.last == .closed(reason: nil))
        #expect(talk.dials.count == 1)
    }

    @Test func anErrorWhileClosingEndsIt() {
        var talk = Talk.ready()
        let close = talk.close()
        talk.broker(.error, ["message": "no"])
        guard case .failure(.connectionLost(.error)) = talk.outcomes[close] else {
            Issue.record("\(String(describing: talk.outcomes[close]))")
            return
        }
    }

    @Test func allWhoCloseAreAnswered() {
        var talk = Talk.ready()
        let (first, second) = (talk.close(within: 5_000), talk.close(within: 100))
        #expect(talk.commands == [.disconnect])
        talk.cancel(first)
        #expect(talk.outcomes[first] == .failure(.cancelled))
        #expect(talk.outcomes[second] == nil)
        talk.pass(milliseconds: 100)
        #expect(talk.outcomes[second] == .failure(.timedOut), "the shorter bound counts")
        let third = talk.close()
        #expect(talk.outcomes[third] == .success(.done))
    }

    @Test func closingWhileDisconnectedNeedsNoBroker() {
        var talk = Talk.ready()
        let send = talk.send("0")
        talk.lose()
        let close = talk.close()
        #expect(talk.outcomes[close] == .success(.done))
        #expect(talk.outcomes[send] == .failure(.outcomeUnknown))
        #expect(talk.states.last == .closed(reason: nil))
    }

    @Test func closingWhileDialingHangsUp() {
        var talk = Talk.ready()
        talk.lose()
        talk.sleepUntilWake()
        let before = talk.hangUps.count
        let close = talk.close()
        #expect(talk.outcomes[close] == .success(.done))
        #expect(talk.hangUps.count == before + 1)
    }

    @Test func everyCallAfterCloseThrowsClosed() throws {
        var talk = Talk.ready()
        let id = talk.subscribed()
        talk.deliver("x", to: id)
        let delivery = try talk.message(id)
        let waiting = talk.next(id)
        _ = talk.close()
        #expect(talk.outcomes[waiting] == .success(.end))
        for round in ["closing", "closed"] {
            let send = talk.send("x")
            let post = talk.send("x", .none)
            let subscribe = talk.subscribe().request
            let commit = talk.commit(TransactionID(number: 1))
            for request in [send, post, subscribe, commit] {
                #expect(talk.outcomes[request] == .failure(.closed), "\(round)")
            }
            #expect(throws: ClientError.closed) { try talk.settle(delivery) }
            let next = talk.next(id)
            #expect(talk.outcomes[next] == .success(.end))
            talk.broker(.receipt, ["receipt-id": receipt(talk)])
        }
    }

    @Test func leavingSaysGoodByeWithoutWaiting() {
        var talk = Talk.ready()
        talk.event { $0.leave(at: $1) }
        #expect(talk.sent == [Frame(.disconnect)])
        #expect(talk.hangUps.map(\.politely) == [true])
        #expect(talk.states.last == .closed(reason: nil))
    }

    @Test func subscribesUnderWayFailWhenClosing() {
        var talk = Talk.ready()
        let (_, subscribe) = talk.subscribe()
        _ = talk.close()
        #expect(talk.outcomes[subscribe] == .failure(.closed))
    }
}
