import Base
import STOMP
import Testing

@testable import BrokerClient

@Suite struct SubscribingTests {
    @Test func subscribeIsAnsweredByItsReceipt() {
        var talk = Talk.ready()
        let (id, request) = talk.subscribe(prefetch: 7)
        #expect(talk.outcomes[request] == nil)
        #expect(
            talk.sent == [
                Frame(
                    .subscribe,
                    [
                        "destination": "/queue/a", "id": "\(id.number)", "ack": "client-individual",
                        "prefetch-count": "7", "receipt": "\(request.number)",
                    ])
            ])
        talk.receipt(request)
        #expect(talk.outcomes[request] == .success(.done))
    }

    @Test(arguments: [
        (Acknowledgement.individual, "client-individual"), (.cumulative, "client"),
        (.automatic, "client-individual"),
    ])
    func modeOnTheWire(mode: Acknowledgement, ack: String) {
        var talk = Talk.ready()
        _ = talk.subscribe(mode)
        #expect(talk.sent[0]["ack"] == ack)
    }

    @Test func messagesComeInOrderWhetherAwaitedOrBuffered() throws {
        var talk = Talk.ready()
        let id = talk.subscribed()
        let early = talk.next(id)
        #expect(talk.outcomes[early] == nil)
        for text in ["a", "b", "c"] { talk.deliver(text, to: id) }
        guard case .success(.message(let first)) = talk.outcomes[early] else {
            Issue.record("nothing came")
            return
        }
        #expect(first.frame.text == "a")
        try talk.expectNext("b", from: id)
        try talk.expectNext("c", from: id)
    }

    @Test func consumersAreServedInTurn() {
        var talk = Talk.ready()
        let id = talk.subscribed()
        let consumers = (0..<3).map { _ in talk.next(id) }
        talk.cancel(consumers[1])
        #expect(talk.outcomes[consumers[1]] == .failure(.cancelled))
        talk.deliver("a", to: id)
        talk.deliver("b", to: id)
        #expect(talk.outcomes[consumers[0]] != nil)
        #expect(talk.outcomes[consumers[2]] != nil)
    }

    @Test func cancelledConsumersLeaveNothingBehind() {
        var talk = Talk.ready()
        let id = talk.subscribed()
        for _ in 0..<1_000 { talk.cancel(talk.next(id)) }
        #expect(talk.conversation.subscriptions[id]?.consumers.isEmpty == true)
    }

    // MARK: A full buffer

    /// Goal: even a broker that ignores the prefetch cannot make the buffer larger than that.
    @Test func theBufferNeverExceedsThePrefetch() throws {
        var talk = Talk.ready()
        let id = talk.subscribed(prefetch: 2)
        talk.expectTaken("a", to: id, true)
        talk.expectTaken("b", to: id, true)
        talk.expectTaken("c", to: id, false)
        #expect(talk.conversation.subscriptions[id]?.buffer.count == 2)
        #expect(talk.resumed == 0)
        try talk.expectNext("a", from: id)
        #expect(talk.resumed == 1)
        talk.expectTaken("c", to: id, true)
        try talk.expectNext("b", from: id)
        try talk.expectNext("c", from: id)
        #expect(talk.resumed == 1)
    }

    @Test(arguments: ["cancel", "forget", "close"]) func theEndOfAFullSubscriptionLetsReadingGoOn(how: String) {
        var talk = Talk.ready()
        let id = talk.subscribed(prefetch: 1)
        talk.deliver("a", to: id)
        talk.expectTaken("b", to: id, false)
        switch how {
        case "cancel":
            let request = talk.request()
            talk.event { $0.cancel(id, as: request, deadline: $1.adding(milliseconds: 9), at: $1) }
        case "forget": talk.event { $0.forget(id, at: $1) }
        default: _ = talk.close()
        }
        #expect(talk.resumed == 1)
        talk.expectTaken("b", to: id, true)
    }

    @Test func silenceDoesNotCountWhileNothingIsRead() {
        var talk = Talk { $0.heartBeat = HeartBeat(sends: 0, wants: 100) }
        _ = talk.connect()
        talk.open()
        talk.broker(.connected, ["version": "1.2", "heart-beat": "100,0"])
        let id = talk.subscribed(prefetch: 1)
        talk.deliver("a", to: id)
        talk.deliver("b", to: id)
        talk.pass(milliseconds: 1_000)
        #expect(talk.conversation.canTransmit)
        _ = talk.next(id)
        talk.pass(milliseconds: 199)
        #expect(talk.conversation.canTransmit)
        talk.pass(milliseconds: 1)
        #expect(!talk.conversation.canTransmit)
    }

    // MARK: The end of a subscription

    @Test func cancelIsAnsweredByItsReceiptAndEndsTheSequenceAtOnce() {
        var talk = Talk.ready()
        let id = talk.subscribed()
        let waiting = talk.next(id)
        let request = talk.request()
        talk.event { $0.cancel(id, as: request, deadline: $1.adding(milliseconds: 9), at: $1) }
        #expect(talk.outcomes[waiting] == .success(.end))
        #expect(talk.outcomes[request] == nil)
        #expect(talk.sent == [Frame(.unsubscribe, ["id": "\(id.number)", "receipt": "\(request.number)"])])
        talk.deliver("late", to: id)
        let after = talk.next(id)
        #expect(talk.outcomes[after] == .success(.end))
        talk.receipt(request)
        #expect(talk.outcomes[request] == .success(.done))
    }

    @Test func cancellingTwiceSaysUnsubscribeOnce() {
        var talk = Talk.ready()
        let id = talk.subscribed()
        for _ in 0..<2 {
            let request = talk.request()
            talk.event { $0.cancel(id, as: request, deadline: $1.adding(milliseconds: 9), at: $1) }
        }
        #expect(talk.commands == [.unsubscribe])
    }

    @Test func aLostConnectionCompletesTheUnsubscribe() {
        var talk = Talk.ready()
        let id = talk.subscribed()
        let request = talk.request()
        talk.event { $0.cancel(id, as: request, deadline: $1.adding(milliseconds: 9_000), at: $1) }
        talk.lose()
        #expect(talk.outcomes[request] == .success(.done))
        talk.reconnect()
        #expect(talk.sent.isEmpty, "it is not restored")
    }

    @Test func aForgottenSubscriptionIsUnsubscribed() {
        var talk = Talk.ready()
        let id = talk.subscribed()
        talk.event { $0.forget(id, at: $1) }
        #expect(talk.sent == [Frame(.unsubscribe, ["id": "\(id.number)"])])
        #expect(talk.conversation.subscriptions.isEmpty)
    }

    @Test func aSubscribeThatGaveUpIsTakenBack() {
        var talk = Talk.ready()
        let (id, request) = talk.subscribe()
        talk.cancel(request)
        #expect(talk.outcomes[request] == .failure(.cancelled))
        #expect(talk.commands == [.subscribe, .unsubscribe])
        talk.receipt(request)
        talk.deliver("late", to: id)
        #expect(talk.conversation.subscriptions.isEmpty)
    }

    @Test func aRefusedSubscribeThrowsAndIsNotRestored() {
        var talk = Talk.ready()
        let (_, request) = talk.subscribe()
        talk.broker(.error, ["message": "not allowed", "receipt-id": "\(request.number)"])
        guard case .failure(.refused) = talk.outcomes[request] else {
            Issue.record("\(String(describing: talk.outcomes[request]))")
            return
        }
        talk.reconnect()
        #expect(talk.sent.isEmpty)
        #expect(talk.states.last == .connected(version: "1.2", server: nil))
    }

    // MARK: Over a reconnect

    @Test func subscriptionsAreRestoredBeforeAnythingIsSent() {
        var talk = Talk.ready()
        let first = talk.subscribed()
        let second = talk.subscribed()
        _ = talk.send("old")
        talk.lose()
        _ = talk.send("new")
        talk.reconnect()
        #expect(talk.commands == [.subscribe, .subscribe])
        #expect(talk.sent.map { $0["id"] } == ["\(first.number)", "\(second.number)"])
        #expect(talk.states.last == .connecting(address: "first:1"))
        let receipts = talk.sent.compactMap { $0["receipt"] }
        #expect(Set(receipts).count == 2)
        talk.broker(.receipt, ["receipt-id": receipts[1]])
        #expect(talk.sent.count == 2)
        talk.broker(.receipt, ["receipt-id": receipts[0]])
        #expect(talk.sentText.suffix(2) == ["SEND old", "SEND new"])
        #expect(talk.states.last == .connected(version: "1.2", server: nil))
    }

    @Test func aSubscribeUnderWayIsAskedForAgain() {
        var talk = Talk.ready()
        let (_, request) = talk.subscribe()
        talk.lose()
        #expect(talk.outcomes[request] == nil)
        talk.reconnect()
        #expect(talk.sent.map { $0["receipt"] } == ["\(request.number)"])
        talk.receipt(request)
        #expect(talk.outcomes[request] == .success(.done))
        #expect(talk.states.last == .connected(version: "1.2", server: nil))
    }

    @Test func aSubscribeCancelledWhileRestoringDoesNotHoldTheRestUp() {
        var talk = Talk.ready()
        let (_, request) = talk.subscribe()
        _ = talk.send("x")
        talk.lose()
        talk.reconnect()
        talk.cancel(request)
        #expect(talk.commands == [.subscribe, .unsubscribe, .send])
    }

    @Test func messagesNotReadYetAreForgottenSinceTheyComeAgain() throws {
        var talk = Talk.ready()
        let id = talk.subscribed()
        talk.deliver("a", to: id)
        talk.lose()
        talk.reconnect()
        talk.confirmAll()
        let next = talk.next(id)
        #expect(talk.outcomes[next] == nil)
        talk.deliver("a", to: id)
        #expect(talk.outcomes[next] != nil)
    }

    @Test func aConsumerWaitsOverAReconnect() {
        var talk = Talk.ready()
        let id = talk.subscribed()
        let next = talk.next(id)
        talk.lose()
        talk.reconnect()
        #expect(talk.outcomes[next] == nil)
        talk.deliver("a", to: id)
        guard case .success(.message) = talk.outcomes[next] else {
            Issue.record("no message")
            return
        }
    }

    @Test func aSubscriptionThatIsNotRestoredEndsAndTheOthersLive() {
        var talk = Talk.ready()
        let bad = talk.subscribed()
        let good = talk.subscribed()
        let (waitsBad, waitsGood) = (talk.next(bad), talk.next(good))
        talk.lose()
        talk.reconnect()
        let receipt = talk.sent[0]["receipt"] ?? ""
        talk.broker(.error, ["message": "gone", "receipt-id": receipt])
        guard case .failure(.refused(let error)) = talk.outcomes[waitsBad] else {
            Issue.record("\(String(describing: talk.outcomes[waitsBad]))")
            return
        }
        #expect(error.message == "gone")
        talk.reconnect()
        #expect(talk.sent.map { $0["id"] } == ["\(good.number)"])
        #expect(talk.outcomes[waitsGood] == nil)
    }

    /// Goal: 1.0 does not promise a `subscription` header.
    @Test func in10TheDestinationWillDo() throws {
        var talk = Talk.ready(version: "1.0")
        let id = talk.subscribed()
        talk.broker(.message, ["destination": "/queue/a", "message-id": "7"], text: "a")
        let delivery = try talk.message(id)
        try talk.settle(delivery)
        #expect(talk.sent[0]["message-id"] == "7")
    }
}
