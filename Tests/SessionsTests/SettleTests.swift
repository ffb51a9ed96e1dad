import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// C8: ACK and NACK in each version, C9: transactions.
@Suite struct SettleTests {
    /// Three messages given to one subscription; what is left of them for the next client.
    private func left(_ version: Version, ack: String, _ frames: String) -> [String] {
        let broker = TestBroker()
        let client = broker.connected(version)
        client.send(sendFrame("1") + sendFrame("2") + sendFrame("3") + subscribeFrame(ack: ack))
        _ = client.take()
        client.send(frames)
        let errors = client.story().filter { $0.hasPrefix("ERROR") }
        client.vanish()
        let next = broker.connected(.v12)
        next.send(subscribeFrame())
        return errors + next.frames().map(\.text)
    }

    private static func ack(_ version: Version, _ number: Int, _ command: String = "ACK") -> String {
        switch version {
        case .v12: "\(command)\nid:1-\(number)\n\n\0"
        case .v11: "\(command)\nsubscription:s\nmessage-id:0-1-\(number)\n\n\0"
        case .v10: "\(command)\nmessage-id:0-1-\(number)\n\n\0"
        }
    }

    /// C8 #105, #106, #113.
    @Test(arguments: Version.allCases)
    func acksCoverWhatTheirModeSays(version: Version) {
        #expect(left(version, ack: "client", Self.ack(version, 2)) == ["3"])
        #expect(left(version, ack: "client-individual", Self.ack(version, 2)) == ["1", "3"])
        #expect(left(version, ack: "client", "") == ["1", "2", "3"])
        #expect(left(version, ack: "auto", "") == [])
    }

    /// C8 #109, #110, #114.
    @Test(arguments: Version.allCases)
    func acksOfWhatIsSettledOrAutoAreErrors(version: Version) {
        let twice = Self.ack(version, 2) + Self.ack(version, 1)
        #expect(left(version, ack: "client", twice) == ["ERROR unknown or settled message", "3"])
        #expect(
            left(version, ack: "client", Self.ack(version, 9)) == ["ERROR unknown or settled message", "1", "2", "3"])
        #expect(left(version, ack: "auto", Self.ack(version, 1)) == ["ERROR subscription does not take ACK or NACK"])
    }

    /// C8 #102 to #104, #111.
    @Test(arguments: [
        (Version.v12, "ACK\nmessage-id:0-1-1\nsubscription:s\n\n\0", "required header missing"),
        (.v11, "ACK\nmessage-id:0-1-1\n\n\0", "required header missing"),
        (.v11, "ACK\nsubscription:s\n\n\0", "required header missing"),
        (.v11, "ACK\nsubscription:other\nmessage-id:0-1-1\n\n\0", "no such subscription"),
        (.v10, "ACK\nid:1-1\n\n\0", "required header missing"),
        (.v10, "NACK\nmessage-id:0-1-1\n\n\0", "NACK is not in STOMP 1.0"),
        (.v12, "ACK\nid:\n\n\0", "unknown or settled message"),
        (.v12, "ACK\nid:1\n\n\0", "unknown or settled message"),
        (.v12, "ACK\nid:1-\n\n\0", "unknown or settled message"),
        (.v12, "ACK\nid:1-1-1\n\n\0", "unknown or settled message"),
        (.v12, "ACK\nid:4294967297-1\n\n\0", "unknown or settled message"),
        (.v12, "ACK\nid:999999999999999999-999999999999999999\n\n\0", "unknown or settled message"),
        (.v12, "ACK\nid:1-99999999999999999999\n\n\0", "unknown or settled message"),
        (.v12, "ACK\nid:7-1\n\n\0", "unknown or settled message"),
        (.v12, "ACK\nid:0-1\n\n\0", "unknown or settled message"),
        (.v11, "ACK\nsubscription:s\nmessage-id:x-1-1\n\n\0", "unknown or settled message"),
        (.v11, "ACK\nsubscription:s\nmessage-id:0-1\n\n\0", "unknown or settled message"),
        (.v11, "ACK\nsubscription:s\nmessage-id:0-99999999999-1\n\n\0", "unknown or settled message"),
    ])
    func wrongAcksAreErrorsAndSettleNothing(version: Version, frame: String, error: String) {
        #expect(left(version, ack: "client", frame) == ["ERROR \(error)", "1", "2", "3"])
    }

    /// C8 #107: NACK covers what ACK would; the messages come again, in order, counted.
    @Test(arguments: [Version.v11, .v12], [("client", 2), ("client-individual", 1)])
    func nackPutsBack(version: Version, mode: (ack: String, count: Int)) {
        let client = TestBroker().connected(version)
        client.send(sendFrame("1") + sendFrame("2") + subscribeFrame(ack: mode.ack))
        _ = client.take()
        client.send(Self.ack(version, 2, "NACK"))
        let again = client.frames()
        #expect(again.map(\.text) == Array(["1", "2"].suffix(mode.count)))
        #expect(again.allSatisfy { $0["redelivered"] == "true" && $0["delivery-count"] == "2" })
    }

    /// C7 #100: an ACK that was on its way when UNSUBSCRIBE came is late, not wrong, and changes nothing.
    @Test(arguments: [
        (Version.v12, "ACK\nid:1-1\nreceipt:r\n\n\0"),
        (.v11, "ACK\nsubscription:s\nmessage-id:0-1-1\nreceipt:r\n\n\0"),
        (.v10, "ACK\nsubscription:s\nmessage-id:0-1-1\nreceipt:r\n\n\0"),
        (.v10, "ACK\nmessage-id:0-1-1\nreceipt:r\n\n\0"),
    ])
    func anAckBehindUnsubscribeIsLate(version: Version, frame: String) {
        let broker = TestBroker()
        let client = broker.connected(version)
        client.send(sendFrame("1") + subscribeFrame(ack: "client") + "UNSUBSCRIBE\nid:s\n\n\0")
        _ = client.take()
        client.send(frame)
        #expect(client.story() == ["RECEIPT r"])
        let next = broker.connected(.v12)
        next.send(subscribeFrame())
        #expect(next.story() == ["MESSAGE 1"])
    }

    /// What is remembered for late ACKs is bounded.
    @Test func endedIDsAreForgotten() {
        var settings = SessionSettings()
        settings.subscriptions = 3
        let client = TestBroker(settings).connected(.v11)
        for number in 0..<100 { client.send(subscribeFrame("\(number)") + "UNSUBSCRIBE\nid:\(number)\n\n\0") }
        #expect(client.story() == [])
        let (retired, live) = (client.session.retired.count, client.session.subscriptions.count)
        #expect(retired <= 3)
        #expect(live == 0)
    }

    // MARK: Transactions

    /// C9 #116 to #119.
    @Test(arguments: [
        ("BEGIN\n\n\0", "required header missing"), ("COMMIT\n\n\0", "required header missing"),
        ("ABORT\n\n\0", "required header missing"), ("COMMIT\ntransaction:t\n\n\0", "no such transaction"),
        ("ABORT\ntransaction:t\n\n\0", "no such transaction"),
        ("BEGIN\ntransaction:t\n\n\0BEGIN\ntransaction:t\n\n\0", "transaction id in use"),
        ("SEND\ndestination:/queue/a\ntransaction:t\n\nx\0", "no such transaction"),
        ("ACK\nid:1-1\ntransaction:t\n\n\0", "no such transaction"),
        ("BEGIN\ntransaction:1\n\n\0BEGIN\ntransaction:2\n\n\0BEGIN\ntransaction:3\n\n\0", "too many transactions"),
    ])
    func transactionsAreNamedRightly(frames: String, error: String) {
        var settings = SessionSettings()
        settings.transactions = 2
        let client = TestBroker(settings).connected(.v12)
        client.send(frames)
        #expect(client.story() == ["ERROR \(error)"])
    }

    /// C9 #118, #120, #121, #126.
    @Test func whatIsSentInATransactionAppearsAtCommit() {
        let broker = TestBroker()
        let (client, reader) = (broker.connected(.v12), broker.connected(.v12))
        reader.send(subscribeFrame(headers: "transaction:ignored\n"))
        client.send("BEGIN\ntransaction:t\n\n\0" + sendFrame("1", headers: "transaction:t\n"))
        client.send(sendFrame("between") + "SEND\ndestination:/queue/a\ntransaction:t\n\n2\0")
        #expect(reader.story() == ["MESSAGE between"])
        client.send("COMMIT\ntransaction:t\n\n\0")
        #expect(reader.story() == ["MESSAGE 1", "MESSAGE 2"])
        client.send(
            "BEGIN\ntransaction:t\n\n\0" + sendFrame("3", headers: "transaction:t\n") + "ABORT\ntransaction:t\n\n\0")
        #expect(reader.story() == [])
        #expect(client.story() == [])
    }

    /// C9 #121.
    @Test func anAckInATransactionThatIsAbortedCanBeGivenAgain() {
        let client = TestBroker().connected(.v12)
        client.send(sendFrame("1") + subscribeFrame(ack: "client"))
        _ = client.take()
        client.send("BEGIN\ntransaction:t\n\n\0ACK\nid:1-1\ntransaction:t\n\n\0ABORT\ntransaction:t\n\n\0")
        client.send("ACK\nid:1-1\nreceipt:r\n\n\0")
        #expect(client.story() == ["RECEIPT r"])
    }

    /// C9 #122.
    @Test func anOpenTransactionEndsWithTheConnection() {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        client.send("BEGIN\ntransaction:t\n\n\0" + sendFrame("lost", headers: "transaction:t\n") + "DISCONNECT\n\n\0")
        client.vanish()
        let reader = broker.connected(.v12)
        reader.send(subscribeFrame())
        #expect(reader.story() == [])
    }

    /// C9 #125: a core refusal in the middle of a read. What came before counts, the rest does not.
    @Test func aTransactionTooLargeEndsTheSession() {
        var limits = CoreLimits()
        limits.transactionOperations = 2
        let broker = TestBroker(core: limits)
        let client = broker.connected(.v12)
        let frames = (1...4).map { sendFrame("\($0)", headers: "transaction:t\nreceipt:\($0)\n") }.joined()
        client.send(sendFrame("before") + "BEGIN\ntransaction:t\n\n\0" + frames + sendFrame("after"))
        #expect(client.story() == ["RECEIPT 1", "RECEIPT 2", "ERROR transaction too large for 3"])
        client.vanish()
        let reader = broker.connected(.v12)
        reader.send(subscribeFrame())
        #expect(reader.story() == ["MESSAGE before"])
    }

    /// Numbers of transactions go round and pass over those in use.
    @Test func transactionNumbersGoRound() {
        let client = TestBroker().connected(.v12)
        client.send("BEGIN\ntransaction:one\n\n\0")
        client.session.lastTransaction = .max
        client.send(
            "BEGIN\ntransaction:two\n\n\0" + sendFrame("x", headers: "transaction:two\n")
                + "COMMIT\ntransaction:two\nreceipt:r\n\n\0")
        #expect(client.story() == ["RECEIPT r"])
        let open = client.session.transactions.count
        #expect(open == 1)
    }
}
