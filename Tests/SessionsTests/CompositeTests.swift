import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// SEND to several destinations: all of them or none, and one RECEIPT.
@Suite struct CompositeTests {
    private func subscribed(_ broker: TestBroker, _ version: Version = .v12) -> TestClient {
        let reader = broker.connected(version)
        reader.send(
            subscribeFrame("a", to: "/queue/a") + subscribeFrame("b", to: "/queue/b")
                + subscribeFrame("t", to: "/topic/t"))
        return reader
    }

    /// Each message says the one destination that it came by.
    @Test(arguments: Version.allCases) func eachGetsItsOwn(version: Version) {
        let broker = TestBroker()
        let reader = subscribed(broker, version)
        let sender = broker.connected(version)
        sender.send(sendFrame("x", to: "/queue/a,/topic/t,/queue/b", headers: "receipt:1\nk:v\n"))
        #expect(sender.story() == ["RECEIPT 1"])
        let frames = reader.frames().sorted { ($0["destination"] ?? "") < ($1["destination"] ?? "") }
        #expect(frames.map { $0["destination"] } == ["/queue/a", "/queue/b", "/topic/t"])
        #expect(frames.map { $0["subscription"] } == ["a", "b", "t"])
        #expect(frames.allSatisfy { $0.text == "x" && $0["k"] == "v" && $0["content-length"] == "1" })
    }

    @Test(arguments: [
        ("/queue/a,b", ["/queue/a,b"]), ("/queue/a,", ["/queue/a,"]), (",", [","]), ("a,/queue/b", ["a", "/queue/b"]),
        ("/queue/a,/queue/a,/queue/b", ["/queue/a", "/queue/b"]), ("/queue/a, /queue/b", ["/queue/a, /queue/b"]),
        ("", [""]), (",/queue/a", ["", "/queue/a"]), ("/queue/a,,/queue/b", ["/queue/a,", "/queue/b"]),
    ])
    func aCommaBeforeASlashSeparates(name: String, parts: [String]) {
        #expect(Session.parts(of: Array(name.utf8)) == parts.map { Array($0.utf8) })
    }

    /// The RECEIPT speaks for all: it waits for the disk.
    @Test func theReceiptWaitsForAll() {
        let broker = TestBroker()
        broker.isDiskQuick = false
        let client = broker.connected(.v12)
        client.send(sendFrame("x", to: "/topic/t,/queue/a", headers: "receipt:1\n"))
        #expect(client.story() == [])
        broker.sync()
        #expect(client.story() == ["RECEIPT 1"])
    }

    /// One wrong part, wherever it stands: nothing is sent anywhere.
    @Test(arguments: [
        ("/queue/a,/topic/t,/elsewhere/x", "unsupported destination"),
        ("/elsewhere/x,/queue/a", "unsupported destination"),
        ("/queue/a,/topic/x.*", "wildcard in SEND destination"),
        ("/queue/a,/temp-queue/none", "no such temporary queue"),
        ("/queue/a,/", "unsupported destination"), (",/queue/a", "bad destination"),
    ])
    func oneWrongPartRefusesAll(destination: String, message: String) {
        let broker = TestBroker()
        let reader = subscribed(broker)
        let sender = broker.connected(.v12)
        sender.send(sendFrame("x", to: destination, headers: "receipt:1\n"))
        #expect(sender.story() == ["ERROR \(message) for 1"])
        sender.vanish()
        #expect(reader.story() == [])
    }

    @Test func partsAreBounded() {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        let most = (0..<16).map { "/queue/\($0)" }.joined(separator: ",")
        client.send(sendFrame("x", to: most, headers: "receipt:1\n"))
        #expect(client.story() == ["RECEIPT 1"])
        client.send(sendFrame("x", to: most + ",/queue/16", headers: "receipt:2\n"))
        #expect(client.story() == ["ERROR bad header value for 2"])
    }

    /// In the client's transaction the parts wait like any other SEND.
    @Test(arguments: [true, false]) func itBelongsToTheTransaction(commits: Bool) {
        let broker = TestBroker()
        let reader = subscribed(broker)
        let sender = broker.connected(.v12)
        sender.send(
            "BEGIN\ntransaction:1\n\n\0"
                + sendFrame("x", to: "/queue/a,/queue/b", headers: "transaction:1\nreceipt:1\n"))
        #expect(sender.story() == ["RECEIPT 1"])
        #expect(reader.story() == [])
        sender.send("\(commits ? "COMMIT" : "ABORT")\ntransaction:1\nreceipt:2\n\n\0")
        #expect(sender.story() == ["RECEIPT 2"])
        #expect(reader.story() == (commits ? ["MESSAGE x", "MESSAGE x"] : []))
    }

    /// The transaction that makes it whole is nobody's: it takes none of the client's, and ends with the frame.
    @Test func itTakesNoTransactionOfTheClient() {
        var settings = SessionSettings()
        settings.transactions = 1
        let broker = TestBroker(settings)
        let reader = subscribed(broker)
        let sender = broker.connected(.v12)
        sender.send("BEGIN\ntransaction:1\n\n\0" + sendFrame("1", to: "/queue/a", headers: "transaction:1\n"))
        for _ in 0..<3 { sender.send(sendFrame("2", to: "/queue/a,/queue/b")) }
        #expect(reader.story().count == 6)
        sender.send("COMMIT\ntransaction:1\n\n\0BEGIN\ntransaction:1\n\n\0")
        #expect(reader.story() == ["MESSAGE 1"])
        #expect(sender.failure == nil)
    }

    /// A name that the session has seen last is not looked at again, and must still be taken apart.
    @Test func plainAndCompositeTakeTurns() {
        let broker = TestBroker()
        let reader = subscribed(broker)
        let sender = broker.connected(.v12)
        for _ in 0..<3 {
            sender.send(
                sendFrame("1", to: "/queue/b") + sendFrame("2", to: "/queue/a,/queue/b")
                    + sendFrame("3", to: "/queue/b"))
        }
        #expect(
            reader.story().sorted() == Array(repeating: "MESSAGE 1", count: 3)
                + Array(repeating: "MESSAGE 2", count: 6) + Array(repeating: "MESSAGE 3", count: 3))
    }

    /// Reply channels are names of the connection, also among others.
    @Test func aReplyChannelMayBeAPart() {
        let client = TestBroker().connected(.v12)
        client.send(
            subscribeFrame("r", to: "/temp-queue/r") + subscribeFrame("a", to: "/queue/a")
                + sendFrame("x", to: "/queue/a,/temp-queue/r"))
        let frames = client.frames()
        #expect(Set(frames.compactMap { $0["subscription"] }) == ["r", "a"])
        #expect(client.failure == nil)
    }
}
