import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// Messages that are encoded once for several subscribers. That the bytes are those that each would get alone is
/// looked at by `TestBroker`, here and wherever a topic has more than one subscriber.
@Suite struct SharedFrameTests {
    private func reader(_ broker: TestBroker, _ version: Version = .v12, id: String = "0", ack: String = "auto")
        -> TestClient
    {
        let client = broker.connected(version)
        client.send(subscribeFrame(id, to: "/topic/t", ack: ack))
        return client
    }

    @Test func subscribersWithTheSameIDAndOthersGetTheSameMessages() {
        let broker = TestBroker()
        let readers = ["0", "0", "a\\cb", "longer", "0"].map { reader(broker, id: $0) }
        let sender = broker.connected(.v12)
        sender.send((0..<20).map { sendFrame("m\($0)", to: "/topic/t", headers: "k:v\n") }.joined())
        for client in readers {
            let frames = client.frames()
            #expect(frames.map(\.text) == (0..<20).map { "m\($0)" })
            #expect(Set(frames.map { $0["k"] }) == ["v"])
        }
        #expect(broker.sharedFrames == 100)
    }

    @Test func olderVersionsAreWrittenByThemselves() {
        let broker = TestBroker()
        let readers = [Version.v10, .v12, .v11, .v12].map { reader(broker, $0) }
        broker.connected(.v12).send(sendFrame("x", to: "/topic/t", headers: "k:a\\cb\n"))
        #expect(readers.map { $0.frames().map { $0["k"] } } == [["a:b"], ["a:b"], ["a:b"], ["a:b"]])
        #expect(broker.sharedFrames == 2)
    }

    /// The RECEIPT of a SUBSCRIBE that waits for the disk stands before the messages of the subscription.
    @Test func whatWaitsForAReceiptIsNotOvertaken() {
        let broker = TestBroker()
        let first = reader(broker)
        broker.isDiskQuick = false
        let late = broker.connected(.v12)
        late.send(
            sendFrame("y", to: "/queue/a", headers: "persistent:true\nreceipt:r\n")
                + subscribeFrame("0", to: "/topic/t", headers: "receipt:s\n"))
        broker.connected(.v12).send(sendFrame("x", to: "/topic/t"))
        #expect(first.story() == ["MESSAGE x"])
        #expect(late.story() == [])
        broker.sync()
        #expect(late.story() == ["RECEIPT r", "RECEIPT s", "MESSAGE x"])
    }

    @Test func whoLeavesGetsWhatWasUnderWayAndOthersLoseNothing() {
        let broker = TestBroker()
        let (first, second) = (reader(broker), reader(broker))
        broker.isMailSlow = true
        broker.connected(.v12).send(sendFrame("x", to: "/topic/t"))
        first.send("UNSUBSCRIBE\nid:0\nreceipt:r\n\n\0")
        #expect(first.story() == ["MESSAGE x", "RECEIPT r"])
        broker.openMailbox()
        #expect(second.story() == ["MESSAGE x"])
    }

    @Test func whoHasGoneIsPassedOver() {
        let broker = TestBroker()
        let (first, second) = (reader(broker), reader(broker))
        broker.isMailSlow = true
        broker.connected(.v12).send(sendFrame("x", to: "/topic/t"))
        first.vanish()
        broker.openMailbox()
        #expect(second.story() == ["MESSAGE x"])
    }
}
