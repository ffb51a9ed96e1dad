import Base
import STOMP
import Testing

@testable import BrokerClient

@Suite struct TransactionTests {
    @Test func commitIsAnsweredByItsReceipt() throws {
        var talk = Talk.ready()
        let id = talk.subscribed()
        talk.deliver("x", to: id)
        let delivery = try talk.message(id)
        let transaction = talk.begin()
        let send = talk.send("in it", in: transaction)
        #expect(talk.outcomes[send] == .success(.done))
        try talk.settle(delivery, in: transaction)
        let commit = talk.commit(transaction)
        let name = "\(transaction.number)"
        #expect(talk.commands == [.begin, .send, .ack, .commit])
        #expect(talk.sent.allSatisfy { $0["transaction"] == name })
        #expect(talk.sent.map { $0["receipt"] } == [nil, nil, nil, "\(commit.number)"])
        #expect(talk.outcomes[commit] == nil)
        talk.receipt(commit)
        #expect(talk.outcomes[commit] == .success(.done))
        #expect(talk.conversation.transactions.isEmpty)
    }

    @Test(arguments: [Acknowledgement.individual, .cumulative]) func afterAbortAMessageCanBeSettledAgain(
        mode: Acknowledgement
    ) throws {
        var talk = Talk.ready()
        let id = talk.subscribed(mode)
        for text in ["x", "y", "z"] { talk.deliver(text, to: id) }
        let deliveries = try (0..<3).map { _ in try talk.message(id) }
        let transaction = talk.begin()
        try talk.settle(deliveries[0], in: transaction)
        try talk.settle(deliveries[1], in: transaction)
        #expect(throws: ClientError.alreadySettled) { try talk.settle(deliveries[0]) }
        talk.event { $0.abort(transaction, at: $1) }
        try talk.settle(deliveries[0])
        try talk.settle(deliveries[1])
        #expect(talk.commands == [.begin, .ack, .ack, .abort, .ack, .ack])
    }

    @Test func nothingMoreCanBeDoneAfterTheEnd() throws {
        var talk = Talk.ready()
        let transaction = talk.begin()
        let commit = talk.commit(transaction)
        let early = talk.send("x", in: transaction)
        #expect(talk.outcomes[early] == .failure(.transactionEnded))
        talk.receipt(commit)
        let late = talk.send("x", in: transaction)
        #expect(talk.outcomes[late] == .failure(.transactionEnded))
        let again = talk.commit(transaction)
        #expect(talk.outcomes[again] == .failure(.transactionEnded))
        talk.event { $0.abort(transaction, at: $1) }
        #expect(talk.commands == [.begin, .commit])
    }

    @Test func aTransactionDoesNotSurviveAReconnect() throws {
        var talk = Talk.ready()
        let transaction = talk.begin()
        talk.lose(.ended(reason: "cable"))
        talk.reconnect()
        let lost = ClientError.connectionLost(.ended(reason: "cable"))
        let send = talk.send("x", in: transaction)
        #expect(talk.outcomes[send] == .failure(lost))
        let commit = talk.commit(transaction)
        #expect(talk.outcomes[commit] == .failure(lost))
        talk.event { $0.abort(transaction, at: $1) }
        #expect(talk.sent.isEmpty)
        #expect(talk.conversation.transactions.isEmpty)
    }

    @Test func aLostCommitHasAnUnknownOutcome() {
        var talk = Talk.ready()
        let commit = talk.commit(talk.begin())
        talk.lose()
        #expect(talk.outcomes[commit] == .failure(.outcomeUnknown))
        talk.reconnect()
        #expect(talk.sent.isEmpty, "it is not sent again")
    }

    @Test func aRefusedCommitThrows() {
        var talk = Talk.ready()
        let commit = talk.commit(talk.begin())
        talk.broker(.error, ["message": "no", "receipt-id": "\(commit.number)"])
        guard case .failure(.refused) = talk.outcomes[commit] else {
            Issue.record("\(String(describing: talk.outcomes[commit]))")
            return
        }
    }

    @Test func beginWaitsForAConnection() {
        var talk = Talk.ready()
        talk.lose()
        let transaction = talk.begin()
        #expect(talk.conversation.transactions.isEmpty)
        talk.reconnect()
        #expect(talk.commands == [.begin])
        _ = talk.commit(transaction)
        #expect(talk.commands == [.begin, .commit])
    }
}
