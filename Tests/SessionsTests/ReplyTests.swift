import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// Reply channels, in RabbitMQ's way and in ActiveMQ's.
@Suite struct ReplyTests {
    /// A service that answers one request on `/queue/service`, and what it saw as `reply-to`.
    private func answer(_ service: TestClient, with text: String) -> String {
        let request = service.frames().last { $0.command == .message }
        let address = request?["reply-to"] ?? "none"
        service.send(sendFrame(text, to: address, headers: "receipt:answered\n"))
        #expect(service.story() == ["RECEIPT answered"])
        return address
    }

    /// RabbitMQ: `reply-to` is enough, and its name is the subscription's id.
    @Test(arguments: Version.allCases)
    func aReplyToMakesItsOwnSubscription(version: Version) {
        let broker = TestBroker()
        let (client, service) = (broker.connected(version), broker.connected(.v12))
        service.send(subscribeFrame(to: "/queue/service"))
        client.send("SEND\ndestination:/queue/service\nreply-to:/temp-queue/r\n\nask\0")
        let address = answer(service, with: "reply")
        #expect(address == "/reply-queue/token0.1")
        let reply = client.frames().first
        #expect(reply?.text == "reply")
        #expect(reply?["subscription"] == "/temp-queue/r")
        #expect(reply?["destination"] == address)
    }

    /// ActiveMQ: SUBSCRIBE first, with an id of the client's own.
    @Test func aSubscriptionBeforeServesTheReplies() {
        let broker = TestBroker()
        let (client, service) = (broker.connected(.v12), broker.connected(.v12))
        service.send(subscribeFrame(to: "/queue/service"))
        client.send(
            subscribeFrame("mine", to: "/temp-queue/r")
                + sendFrame("ask", to: "/queue/service", headers: "reply-to:/temp-queue/r\n"))
        _ = answer(service, with: "reply")
        #expect(client.frames().map { $0["subscription"] } == ["mine"])
    }

    /// An explicit SUBSCRIBE takes over, also under the very name that the first one has, and in 1.0 without any.
    @Test(arguments: [
        (Version.v12, "SUBSCRIBE\nid:mine\ndestination:/temp-queue/r\n\n\0", "mine"),
        (.v12, "SUBSCRIBE\nid:/temp-queue/r\ndestination:/temp-queue/r\n\n\0", "/temp-queue/r"),
        (.v10, "SUBSCRIBE\ndestination:/temp-queue/r\n\n\0", ""),
    ])
    func anExplicitSubscribeTakesOver(version: Version, frame: String, id: String) {
        let broker = TestBroker()
        let (client, service) = (broker.connected(version), broker.connected(.v12))
        service.send(subscribeFrame(to: "/queue/service"))
        client.send(sendFrame("ask", to: "/queue/service", headers: "reply-to:/temp-queue/r\n") + frame)
        _ = answer(service, with: "reply")
        let frames = client.frames()
        #expect(frames.map(\.text) == ["reply"])
        #expect(frames.first?["subscription"] ?? "" == id)
    }

    /// The name is of this connection: two clients, one name, two channels; and nobody listens to another's.
    @Test func channelsBelongToTheirConnection() {
        let broker = TestBroker()
        let (one, two, service) = (broker.connected(.v12), broker.connected(.v12), broker.connected(.v12))
        service.send(subscribeFrame(to: "/queue/service"))
        for client in [one, two] {
            client.send(sendFrame("ask", to: "/queue/service", headers: "reply-to:/temp-queue/r\n"))
        }
        let addresses = service.frames().compactMap { $0["reply-to"] }
        #expect(Set(addresses).count == 2)
        service.send(sendFrame("for two", to: addresses[1]))
        #expect(one.story() == [])
        #expect(two.story() == ["MESSAGE for two"])
        service.send(subscribeFrame("listen", to: addresses[0]))
        #expect(service.story() == ["ERROR temporary queue of another connection"])
    }

    /// A reply to somebody who has gone is not the replier's fault.
    @Test func repliesToTheDepartedAreDropped() {
        let broker = TestBroker()
        let (client, service) = (broker.connected(.v12), broker.connected(.v12))
        service.send(subscribeFrame(to: "/queue/service"))
        client.send(sendFrame("ask", to: "/queue/service", headers: "reply-to:/temp-queue/r\n"))
        client.vanish()
        _ = answer(service, with: "too late")
        #expect(broker.core.totals.repliesDropped == 1)
    }

    @Test func temporaryQueuesAreBoundedAndMustBeThere() {
        var settings = SessionSettings()
        settings.temporaries = 2
        let broker = TestBroker(settings)
        let client = broker.connected(.v12)
        client.send(subscribeFrame("1", to: "/temp-queue/1") + subscribeFrame("2", to: "/temp-queue/2"))
        client.send(sendFrame("to myself", to: "/temp-queue/1"))
        #expect(client.story() == ["MESSAGE to myself"])
        client.send(subscribeFrame("3", to: "/temp-queue/3"))
        #expect(client.story() == ["ERROR too many temporary queues"])
        let other = broker.connected(.v12)
        other.send(sendFrame("x", to: "/temp-queue/1", headers: "receipt:r\n"))
        #expect(other.story() == ["ERROR no such temporary queue for r"])
    }

    @Test func anotherReplyToIsLeftAsItIs() {
        let client = TestBroker().connected(.v12)
        client.send(subscribeFrame() + sendFrame("x", headers: "reply-to:/queue/answers\n"))
        #expect(client.frames().last?["reply-to"] == "/queue/answers")
    }
}
