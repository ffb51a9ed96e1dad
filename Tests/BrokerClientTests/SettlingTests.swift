import Base
import STOMP
import Testing

@testable import BrokerClient

@Suite struct SettlingTests {
    @Test func eachVersionNamesTheMessageItsOwnWay() throws {
        for (version, headers) in [
            ("1.2", ["id": "a-x"]),
            ("1.1", ["message-id": "m-x", "subscription": "2"]),
            ("1.0", ["message-id": "m-x", "subscription": "2"]),
        ] {
            var talk = Talk.ready(version: version)
            let id = talk.subscribed()
            talk.deliver("x", to: id)
            try talk.settle(try talk.message(id))
            #expect(talk.commands == [.ack])
            let sent = Dictionary(uniqueKeysWithValues: talk.sent[0].headers.map { ($0.name, $0.value) })
            #expect(sent == headers, "\(version)")
        }
    }

    @Test func rejectIsNACK() throws {
        var talk = Talk.ready()
        let id = talk.subscribed()
        talk.deliver("x", to: id)
        talk.deliver("y", to: id)
        try talk.settle(try talk.message(id), .reject(requeue: true))
        try talk.settle(try talk.message(id), .reject(requeue: false))
        #expect(talk.sent == [Frame(.nack, ["id": "a-x"]), Frame(.nack, ["id": "a-y", "requeue": "false"])])
    }

    @Test func in10ThereIsNoReject() throws {
        var talk = Talk.ready(version: "1.0")
        let id = talk.subscribed()
        talk.deliver("x", to: id)
        let delivery = try talk.message(id)
        #expect(throws: ClientError.notSupported("STOMP 1.0 has no NACK")) {
            try talk.settle(delivery, .reject(requeue: true))
        }
        try talk.settle(delivery)
    }

    /// Goal: a second ACK, which would cost the connection, never leaves the client.
    @Test(arguments: [Acknowledgement.individual, .cumulative]) func settlingTwiceThrows(
        mode: Acknowledgement
    ) throws {
        var talk = Talk.ready()
        let id = talk.subscribed(mode)
        talk.deliver("x", to: id)
        let delivery = try talk.message(id)
        try talk.settle(delivery)
        #expect(throws: ClientError.alreadySettled) { try talk.settle(delivery) }
        #expect(throws: ClientError.alreadySettled) { try talk.settle(delivery, .reject(requeue: true)) }
        #expect(talk.commands == [.ack])
    }

    @Test func cumulativeCoversWhatCameBefore() throws {
        var talk = Talk.ready()
        let id = talk.subscribed(.cumulative)
        for text in ["x", "y", "z"] { talk.deliver(text, to: id) }
        let deliveries = try (0..<3).map { _ in try talk.message(id) }
        try talk.settle(deliveries[1])
        #expect(throws: ClientError.alreadySettled) { try talk.settle(deliveries[0]) }
        try talk.settle(deliveries[2])
        #expect(talk.sent.map { $0["id"] } == ["a-y", "a-z"])
    }

    @Test func automaticAcknowledgesWhatIsHandedOverAndNothingElse() throws {
        var talk = Talk.ready()
        let id = talk.subscribed(.automatic)
        let waiting = talk.next(id)
        talk.deliver("x", to: id)
        talk.deliver("y", to: id)
        #expect(talk.outcomes[waiting] != nil)
        #expect(talk.sent.map { $0["id"] } == ["a-x"])
        let second = try talk.message(id)
        #expect(talk.sent.map { $0["id"] } == ["a-x", "a-y"])
        #expect(throws: ClientError.alreadySettled) { try talk.settle(second) }
    }

    @Test func aMessageOfAnEarlierConnectionCannotBeSettled() throws {
        var talk = Talk.ready()
        let id = talk.subscribed()
        talk.deliver("x", to: id)
        let delivery = try talk.message(id)
        talk.lose(.ended(reason: "cable"))
        #expect(throws: ClientError.connectionLost(.ended(reason: "cable"))) { try talk.settle(delivery) }
        talk.reconnect()
        talk.confirmAll()
        talk.sent = []
        #expect(throws: ClientError.connectionLost(.ended(reason: "cable"))) { try talk.settle(delivery) }
        #expect(talk.sent.isEmpty)
    }

    @Test func aMessageOfACancelledSubscriptionCannotBeSettled() throws {
        var talk = Talk.ready()
        let id = talk.subscribed()
        talk.deliver("x", to: id)
        let delivery = try talk.message(id)
        talk.event { $0.forget(id, at: $1) }
        #expect(throws: ClientError.subscriptionEnded) { try talk.settle(delivery) }
    }

    // MARK: Confirmed

    private func confirmed(_ talk: inout Talk, _ delivery: Delivery) -> RequestID {
        let request = talk.request()
        talk.event {
            $0.settleConfirmed(
                delivery, .acknowledge, as: request, deadline: $1.adding(milliseconds: 100), at: $1)
        }
        return request
    }

    /// Goal: a RECEIPT is asked for whatever cannot be settled, and an error does not wait for it. Method: of three messages the
    /// last is settled already; of one there is none left.
    @Test func theLastThatCanBeSettledIsConfirmed() throws {
        var talk = Talk.ready()
        let id = talk.subscribed()
        for name in ["x", "y", "z"] { talk.deliver(name, to: id) }
        let deliveries = [try talk.message(id), try talk.message(id), try talk.message(id)]
        try talk.settle(deliveries[2])
        for turn in 0..<2 {
            let request = talk.request()
            var failure: ClientError?
            talk.event {
                failure = $0.acknowledge(
                    deliveries, as: request, deadline: $1.adding(milliseconds: 100), at: $1)
            }
            #expect(failure == .alreadySettled)
            if turn == 0 {
                let acks = [Frame(.ack, ["id": "a-x"]), Frame(.ack, ["id": "a-y", "receipt": "\(request.number)"])]
                #expect(Array(talk.sent.suffix(2)) == acks)
                #expect(talk.outcomes[request] == nil)
                talk.receipt(request)
                #expect(talk.outcomes[request] == .success(.done))
            } else {
                #expect(talk.outcomes[request] == .failure(.alreadySettled))
            }
        }
        #expect(talk.commands.filter { $0 == .ack }.count == 3)
    }

    @Test(arguments: ["receipt", "error", "loss", "deadline", "twice"]) func confirmedSettling(how: String) throws {
        var talk = Talk.ready()
        let id = talk.subscribed()
        talk.deliver("x", to: id)
        let delivery = try talk.message(id)
        let request = confirmed(&talk, delivery)
        #expect(talk.sent == [Frame(.ack, ["id": "a-x", "receipt": "\(request.number)"])])
        switch how {
        case "receipt":
            talk.receipt(request)
            #expect(talk.outcomes[request] == .success(.done))
        case "error":
            talk.broker(.error, ["message": "who?", "receipt-id": "\(request.number)"])
            guard case .failure(.refused) = talk.outcomes[request] else {
                Issue.record("\(String(describing: talk.outcomes[request]))")
                return
            }
        case "loss":
            talk.lose(.ended(reason: "cable"))
            #expect(talk.outcomes[request] == .failure(.connectionLost(.ended(reason: "cable"))))
        case "deadline":
            talk.pass(milliseconds: 100)
            #expect(talk.outcomes[request] == .failure(.timedOut))
        default:
            let second = confirmed(&talk, delivery)
            #expect(talk.outcomes[second] == .failure(.alreadySettled))
        }
    }

    /// Goal: each can be settled once, in any order, and again what an aborted transaction had. Method: many, from a seed.
    @Test(arguments: 0..<20) func anyOrderDoes(seed: UInt64) throws {
        var dice = SplitMix64(seed: seed)
        var talk = Talk.ready()
        let id = talk.subscribed(prefetch: 300)
        for number in 0..<300 { talk.deliver("\(number)", to: id) }
        var open: [Delivery] = []
        for _ in 0..<300 { open.append(try talk.message(id)) }
        var inOrder = (dice.below(100) < 50)
        while !open.isEmpty {
            if dice.below(100) < 5 { inOrder.toggle() }
            let place = inOrder ? 0 : dice.below(open.count)
            let delivery = open.remove(at: place)
            if dice.below(100) < 10 {
                let transaction = talk.begin()
                try talk.settle(delivery, in: transaction)
                #expect(throws: ClientError.alreadySettled) { try talk.settle(delivery) }
                talk.event { $0.abort(transaction, at: $1) }
            }
            try talk.settle(delivery)
            #expect(throws: ClientError.alreadySettled) { try talk.settle(delivery) }
        }
        #expect(talk.sent.count { $0.command == .ack && $0["transaction"] == nil } == 300)
    }
}
