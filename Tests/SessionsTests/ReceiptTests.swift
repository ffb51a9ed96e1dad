import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// C10, receipts: what a RECEIPT promises, and when it leaves.
@Suite struct ReceiptTests {
    /// C10 #127: every frame but CONNECT answers, in every version (NACK is none of 1.0).
    @Test(arguments: Version.allCases)
    func everyFrameButConnectIsConfirmed(version: Version) {
        let client = TestBroker().connected(version)
        client.send(
            subscribeFrame(ack: "client-individual", headers: "receipt:subscribe\n")
                + sendFrame("x", headers: "receipt:send\n"))
        let message = client.frames().first { $0.command == .message }
        let id =
            version == .v12
            ? "id:\(message?["ack"] ?? "")" : "subscription:s\nmessage-id:\(message?["message-id"] ?? "")"
        if version > .v10 {
            client.send("NACK\n\(id)\nreceipt:nack\n\n\0")
            #expect(client.story().contains("RECEIPT nack"))
        }
        let again = version == .v12 ? "id:1-2" : id
        let ack = version == .v10 ? id : again
        client.send("ACK\n\(ack)\nreceipt:ack\n\n\0BEGIN\ntransaction:t\nreceipt:begin\n\n\0")
        client.send("ABORT\ntransaction:t\nreceipt:abort\n\n\0BEGIN\ntransaction:t\n\n\0")
        client.send("COMMIT\ntransaction:t\nreceipt:commit\n\n\0UNSUBSCRIBE\nid:s\nreceipt:unsubscribe\n\n\0")
        client.send("DISCONNECT\nreceipt:disconnect\n\n\0")
        let expected = ["ack", "begin", "abort", "commit", "unsubscribe", "disconnect"].map { "RECEIPT \($0)" }
        #expect(client.story() == expected)
        #expect(client.isOver)
    }

    /// C10 #127: no RECEIPT for CONNECT.
    @Test func connectIsNotConfirmed() {
        let client = TestBroker().client()
        client.send("CONNECT\naccept-version:1.2\nhost:h\nreceipt:r\n\n\0")
        #expect(client.story() == ["CONNECTED"])
    }

    /// C10 #127: equal after decoding, whatever is escaped in it.
    @Test(arguments: ["a\\cb", "\\\\n", "\\n", "", " x ", "é"])
    func theReceiptComesBackAsItWasWritten(id: String) {
        let client = TestBroker().connected(.v12)
        client.send("SEND\nreceipt:\(id)\ndestination:/queue/a\n\nx\0")
        #expect(client.take() == "RECEIPT\nreceipt-id:\(id)\n\n\0\n")
    }

    /// C10 #128: not before the disk has it.
    @Test func aReceiptWaitsForTheDisk() {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        broker.isDiskQuick = false
        client.send(sendFrame("x", headers: "receipt:1\n"))
        #expect(client.story() == [])
        #expect(client.waitsForDisk)
        broker.sync()
        #expect(client.story() == ["RECEIPT 1"])
    }

    /// C10 #129: in the order of the frames, though the second needs no disk.
    @Test func receiptsKeepTheOrderOfTheFrames() {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        broker.isDiskQuick = false
        client.send(sendFrame("x", headers: "receipt:1\n"))
        client.send("BEGIN\ntransaction:t\nreceipt:2\n\n\0")
        client.send(sendFrame("y", headers: "receipt:3\n"))
        #expect(client.story() == [])
        broker.sync(through: 1)
        #expect(client.story() == ["RECEIPT 1", "RECEIPT 2"])
        broker.sync()
        #expect(client.story() == ["RECEIPT 3"])
    }

    /// C10 #129 and #134: a RECEIPT speaks for all frames before it, also for those that asked for none and came in
    /// an earlier read. Without that the RECEIPT of DISCONNECT would promise nothing.
    @Test(arguments: ["DISCONNECT\nreceipt:r\n\n\0", "BEGIN\ntransaction:t\nreceipt:r\n\n\0"])
    func aReceiptCoversEarlierFramesThatAskedForNone(frame: String) {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        broker.isDiskQuick = false
        client.send(sendFrame("x"))
        client.send(frame)
        #expect(client.story() == [])
        #expect(!client.isOver)
        broker.sync()
        #expect(client.story() == ["RECEIPT r"])
    }

    /// C7 #94: RECEIPT of SUBSCRIBE, then its first MESSAGE, however slow the disk.
    @Test func theReceiptOfSubscribeComesBeforeItsMessages() {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        client.send(sendFrame("1") + sendFrame("2"))
        broker.isDiskQuick = false
        client.send(sendFrame("other", to: "/queue/b") + subscribeFrame(to: "/queue/a", headers: "receipt:r\n"))
        #expect(client.story() == [])
        broker.sync()
        #expect(client.story() == ["RECEIPT r", "MESSAGE 1", "MESSAGE 2"])
    }

    /// C7 #99: nothing follows the RECEIPT of UNSUBSCRIBE, also what another loop had under way.
    @Test func nothingFollowsTheReceiptOfUnsubscribe() {
        let broker = TestBroker()
        let (client, other) = (broker.connected(.v12), broker.connected(.v12))
        client.send(subscribeFrame(ack: "client"))
        other.send(sendFrame("1"))
        _ = client.take()
        broker.isDiskQuick = false
        client.send("UNSUBSCRIBE\nid:s\nreceipt:r\n\n\0")
        other.send(sendFrame("2"))
        broker.sync()
        #expect(client.story() == ["RECEIPT r"])
        other.send(sendFrame("3"))
        broker.sync()
        #expect(client.story() == [])
    }

    /// An `ack:auto` message counts as taken when it is written, so what the core has given to a subscription must be
    /// written before UNSUBSCRIBE or DISCONNECT ends it. Method: the delivery is under way between two loops.
    @Test(arguments: ["UNSUBSCRIBE\nid:s\nreceipt:r\n\n\0", "DISCONNECT\nreceipt:r\n\n\0"])
    func whatWasUnderWayToAnAutoSubscriptionIsWrittenBeforeItEnds(frame: String) {
        let broker = TestBroker()
        let (client, other) = (broker.connected(.v12), broker.connected(.v12))
        client.send(subscribeFrame())
        broker.isMailSlow = true
        other.send(sendFrame("under way"))
        #expect(client.story() == [])
        client.send(frame)
        #expect(client.story() == ["MESSAGE under way", "RECEIPT r"])
    }

    /// The same for frames in one read.
    @Test(arguments: ["UNSUBSCRIBE\nid:s\nreceipt:r\n\n\0", "DISCONNECT\nreceipt:r\n\n\0"])
    func subscribeAndItsEndInOneReadLoseNothing(frame: String) {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        client.send(sendFrame("1") + sendFrame("2"))
        client.send(subscribeFrame("s", to: "/queue/a", headers: "receipt:s\n") + frame + sendFrame("after"))
        let isGone = frame.hasPrefix("DISCONNECT")
        #expect(client.story() == ["RECEIPT s", "MESSAGE 1", "MESSAGE 2", "RECEIPT r"])
        let next = broker.connected(.v12)
        next.send(subscribeFrame())
        #expect(next.story() == (isGone ? [] : ["MESSAGE after"]))
    }

    /// C10 #130: a frame that fails is not confirmed; those before it are.
    @Test func aFrameThatFailsIsNotConfirmed() {
        let client = TestBroker().connected(.v12)
        client.send(
            sendFrame("x", headers: "receipt:1\n") + sendFrame("x", to: "/elsewhere", headers: "receipt:2\n")
                + sendFrame("x", headers: "receipt:3\n"))
        #expect(client.story() == ["RECEIPT 1", "ERROR unsupported destination for 2"])
        #expect(client.isOver)
    }

    /// C10 #135: frames behind DISCONNECT are not looked at, be they ever so broken.
    @Test func framesBehindDisconnectAreIgnored() {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        client.send("DISCONNECT\nreceipt:r\n\n\0" + sendFrame("x", headers: "receipt:late\n") + "\0\0nonsense")
        client.send(sendFrame("x", headers: "receipt:later\n"))
        #expect(client.story() == ["RECEIPT r"])
        #expect(broker.core.totals.messagesIn == 0)
        #expect(client.isOver)
    }

    /// C10 #134: the session is over only when what it owes has left.
    @Test func disconnectWaitsForWhatIsOwed() {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        broker.isDiskQuick = false
        client.send(sendFrame("x", headers: "receipt:1\n") + "DISCONNECT\n\n\0")
        #expect(client.isEnding)
        #expect(!client.isOver)
        broker.sync()
        #expect(client.story() == ["RECEIPT 1"])
        #expect(client.isOver)
    }

    /// C9 #124: RECEIPT inside a transaction comes at once and means "taken"; that of COMMIT means on disk.
    @Test func insideATransactionReceiptsDoNotWait() {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        client.send(sendFrame("the queue is there"))
        broker.isDiskQuick = false
        client.send("BEGIN\ntransaction:t\nreceipt:1\n\n\0" + sendFrame("x", headers: "transaction:t\nreceipt:2\n"))
        #expect(client.story() == ["RECEIPT 1", "RECEIPT 2"])
        client.send("COMMIT\ntransaction:t\nreceipt:3\n\n\0")
        #expect(client.story() == [])
        broker.sync()
        #expect(client.story() == ["RECEIPT 3"])
    }
}
