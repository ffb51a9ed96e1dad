import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// What a browser reads.
@Suite struct BrowserTests {
    private static let browser = "SUBSCRIBE\nid:look\ndestination:/queue/a\nack:client-individual\nbrowser:true\n"

    /// Goal: all is shown without anything to acknowledge, then the last MESSAGE, in every version.
    @Test(arguments: Version.allCases) func theLastMessageSaysThatItIsTheLast(version: Version) {
        let client = TestBroker().connected(version)
        client.send(sendFrame("x") + sendFrame("y") + Self.browser + "\n\0")
        let frames = client.frames()
        #expect(frames.map { $0["message-id"] } == ["0-1-1", "0-1-2", "0-1-0"])
        #expect(frames.map { $0["browser"] } == [nil, nil, "end"])
        #expect(frames.allSatisfy { $0["ack"] == nil && $0["redelivered"] == nil })
        #expect(frames.last?["destination"] == "/queue/a")
        #expect(frames.last?["subscription"] == "look")
        #expect(frames.last?["content-length"] == "0")
    }

    @Test func anEmptyQueueAndNoEnd() {
        let client = TestBroker().connected(.v12)
        client.send(Self.browser + "receipt:r\n\n\0")
        #expect(client.story().count == 2)
        client.send("UNSUBSCRIBE\nid:look\n\n\0" + sendFrame("x") + Self.browser + "browser-end:false\n\n\0")
        #expect(client.frames().map { $0["message-id"] } == ["0-1-1"])
    }

    /// Goal: what was shown is still there for who takes it, and as if nobody had seen it.
    @Test func nothingIsTaken() {
        let broker = TestBroker()
        let (looker, taker) = (broker.connected(.v12), broker.connected(.v12))
        looker.send(sendFrame("x") + Self.browser + "selector:destination = '/queue/a'\n\n\0")
        #expect(looker.frames().count == 2)
        taker.send(subscribeFrame("1", ack: "client"))
        let frames = taker.frames()
        #expect(frames.map { $0["message-id"] } == ["0-1-1"])
        #expect(frames.first?["redelivered"] == nil)
    }
}
