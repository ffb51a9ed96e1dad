import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// C7: SUBSCRIBE and UNSUBSCRIBE, and the MESSAGE frames they make.
@Suite struct SubscribeTests {
    /// C7 #86 to #89, #92, #96 to #98; and what is not there must not be asked for in vain.
    @Test(arguments: [
        ("1.2", "SUBSCRIBE\nid:1\n\n\0", "required header missing"),
        ("1.2", "SUBSCRIBE\ndestination:/queue/a\n\n\0", "required header missing"),
        ("1.1", "SUBSCRIBE\ndestination:/queue/a\n\n\0", "required header missing"),
        ("1.0", "SUBSCRIBE\ndestination:/queue/a\n\n\0", ""),
        ("1.0", "SUBSCRIBE\ndestination:/queue/a\n\n\0SUBSCRIBE\ndestination:/queue/a\n\n\0", "subscription id in use"),
        (
            "1.2", "SUBSCRIBE\nid:1\ndestination:/queue/a\n\n\0SUBSCRIBE\nid:1\ndestination:/queue/b\n\n\0",
            "subscription id in use"
        ),
        ("1.2", "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:\n\n\0", "bad header value"),
        ("1.2", "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:Auto\n\n\0", "bad header value"),
        ("1.0", "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\n\n\0", ""),
        ("1.2", "UNSUBSCRIBE\ndestination:/queue/a\n\n\0", "required header missing"),
        ("1.2", "UNSUBSCRIBE\nid:1\n\n\0", "no such subscription"),
        ("1.0", "SUBSCRIBE\ndestination:/queue/a\n\n\0UNSUBSCRIBE\ndestination:/queue/a\n\n\0", ""),
        ("1.0", "SUBSCRIBE\nid:1\ndestination:/queue/a\n\n\0UNSUBSCRIBE\nid:1\n\n\0", ""),
        ("1.2", "SUBSCRIBE\nid:1\ndestination:/queue/a\nexclusive:false\nbrowser:false\ndurable:true\n\n\0", ""),
        ("1.2", "SUBSCRIBE\nid:1\ndestination:/topic/a\nactivemq.subscriptionName:n\n\0", "malformed frame"),
        ("1.2", "SUBSCRIBE\nid:1\ndestination:/queue/a\nx-stream-offset:first\n\n\0", "unsupported header"),
        ("1.2", "SUBSCRIBE\nid:1\ndestination:/queue/a\nprefetch-count:-1\n\n\0", "bad header value"),
        ("1.2", "SUBSCRIBE\nid:1\ndestination:/queue/a\ncredit:x,1\n\n\0", "bad header value"),
        ("1.2", "SUBSCRIBE\nid:1\ndestination:/elsewhere/a\n\n\0", "unsupported destination"),
        ("1.2", "SUBSCRIBE\nid:1\ndestination:/topic/**.a\n\n\0", "bad destination"),
        ("1.2", "SUBSCRIBE\nid:1\ndestination:/temp-queue/\n\n\0", "bad header value"),
        ("1.2", "SUBSCRIBE\nid:1\ndestination:/reply-queue/x.1\n\n\0", "no such temporary queue"),
    ])
    func whatIsRefusedAndWhatIsNot(version: String, frames: String, error: String) {
        let client = TestBroker().client()
        client.send("CONNECT\naccept-version:\(version)\nhost:h\n\n\0")
        _ = client.take()
        client.send(frames)
        #expect(client.story() == (error.isEmpty ? [] : ["ERROR \(error)"]))
        #expect(client.isOver == !error.isEmpty)
    }

    /// C6 #80 to #84: the headers of MESSAGE by version and mode.
    @Test(arguments: Version.allCases, ["auto", "client", "client-individual"])
    func messagesCarryWhatTheirVersionWants(version: Version, ack: String) {
        let client = TestBroker().connected(version)
        client.send(sendFrame("x") + subscribeFrame("my\\\\id", ack: ack))
        let message = client.frames().first
        #expect(message?["subscription"] == (version == .v10 ? "my\\\\id" : "my\\id"))
        #expect(message?["message-id"] == "0-1-1")
        #expect(message?["ack"] == (version == .v12 && ack != "auto" ? "1-1" : nil))
        #expect(message?["redelivered"] == nil)
        #expect(message?["destination"] == "/queue/a")
    }

    /// C6 #83.
    @Test func aSubscriptionOf10WithoutIDHasNoName() {
        let client = TestBroker().connected(.v10)
        client.send(sendFrame("x") + "SUBSCRIBE\ndestination:/queue/a\n\n\0")
        #expect(client.frames().map { $0["subscription"] } == [nil])
    }

    /// C6 #84, topics: one SEND, two subscriptions of one connection, two frames.
    @Test func twoSubscriptionsOfOneConnectionGetTheirOwn() {
        let client = TestBroker().connected(.v12)
        client.send(
            subscribeFrame("1", to: "/topic/a.b", ack: "client") + subscribeFrame("2", to: "/topic/a.*", ack: "client"))
        client.send(sendFrame("x", to: "/topic/a.b"))
        let frames = client.frames()
        #expect(frames.map { $0["subscription"] } == ["1", "2"])
        #expect(Set(frames.map { $0["ack"] ?? "" }).count == 2)
        #expect(Set(frames.map { $0["message-id"] ?? "" }).count == 1)
    }

    /// C6 #81 and C8 #112: the id stays, the count rises, and the message keeps its place.
    @Test func theMessageIDIsStableAcrossRedelivery() {
        let broker = TestBroker()
        let first = broker.connected(.v12)
        first.send(sendFrame("1") + sendFrame("2") + subscribeFrame(ack: "client"))
        let before = first.frames()
        first.vanish()
        let second = broker.connected(.v12)
        second.send(subscribeFrame())
        let after = second.frames()
        #expect(after.map(\.text) == ["1", "2"])
        #expect(after.map { $0["message-id"] } == before.map { $0["message-id"] })
        #expect(after.map { $0["redelivered"] } == ["true", "true"])
        #expect(after.map { $0["delivery-count"] } == ["2", "2"])
    }

    /// The spellings of prefetch of several brokers, and their bounds.
    @Test(arguments: [
        ("prefetch-count:2\n", 2), ("activemq.prefetchSize:3\n", 3), ("credit:4\n", 4), ("credit:4,100\n", 4),
        ("prefetch-size:1\n", 1), ("consumer-window-size:0\n", 1), ("consumer-window-size:-1\n", 10),
        ("prefetch-count:0\n", 10), ("prefetch-size:0\n", 10), ("prefetch-count:2\ncredit:4\n", 2),
        ("prefetch-count:999999999999999999\nprefetch-size:999999999999999999\n", 10), ("", 10),
    ])
    func prefetchIsTakenInManySpellings(headers: String, expected: Int) {
        let client = TestBroker().connected(.v12)
        client.send((0..<10).map { sendFrame("\($0)") }.joined() + subscribeFrame(ack: "client", headers: headers))
        #expect(client.frames().count == expected)
    }

    @Test func prefetchHasABound() {
        var settings = SessionSettings()
        settings.prefetchCountMost = 5
        let client = TestBroker(settings).connected(.v12)
        client.send(
            (0..<10).map { sendFrame("\($0)") }.joined() + subscribeFrame(ack: "client", headers: "prefetch-count:7\n"))
        #expect(client.frames().count == 5)
    }

    /// C7 #101: an id used again is another subscription.
    @Test func anIDMayBeUsedAgain() {
        let client = TestBroker().connected(.v12)
        client.send(
            sendFrame("x") + subscribeFrame(ack: "client") + "UNSUBSCRIBE\nid:s\n\n\0" + subscribeFrame(ack: "client"))
        let frames = client.frames()
        #expect(frames.last?["ack"] == "2-1")
        client.send("ACK\nid:1-1\nreceipt:late\n\n\0")
        #expect(client.story() == ["RECEIPT late"])
        client.send("UNSUBSCRIBE\nid:s\n\n\0" + subscribeFrame())
        #expect(client.story() == ["MESSAGE x"], "the late ACK settled nothing")
    }

    @Test func subscriptionsAndIDsAreBounded() {
        var settings = SessionSettings()
        settings.subscriptions = 2
        let broker = TestBroker(settings)
        let many = broker.connected(.v12)
        many.send(subscribeFrame("1") + subscribeFrame("2") + "UNSUBSCRIBE\nid:1\n\n\0" + subscribeFrame("3"))
        #expect(many.story() == [])
        many.send(subscribeFrame("4"))
        #expect(many.story() == ["ERROR too many subscriptions"])
        let long = broker.connected(.v12)
        long.send(subscribeFrame(String(repeating: "x", count: 1025)))
        #expect(long.story() == ["ERROR bad header value"])
    }

    /// No number is given twice, and the last one is not the end of the process.
    @Test func theLastSubscriptionNumberEndsTheSession() {
        let client = TestBroker().connected(.v12)
        client.session.nextSlot = .max - 1
        client.send(subscribeFrame("1"))
        #expect(client.story() == [])
        client.send(subscribeFrame("2"))
        #expect(client.story() == ["ERROR too many subscriptions"])
    }
}
