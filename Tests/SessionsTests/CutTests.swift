import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// C1 #1, #2: how the bytes are cut on their way is nobody's business.
@Suite struct CutTests {
    private static let conversations: [String] = [
        subscribeFrame("s", ack: "client", headers: "receipt:1\n") + subscribeFrame("t", to: "/queue/none")
            + sendFrame("hello", headers: "receipt:2\nx:\\c\n")
            + "\n\r\nSEND\r\ndestination:/queue/a\r\nreceipt:3\r\n\r\nbody\0"
            + "BEGIN\ntransaction:t\nreceipt:5\n\n\0" + sendFrame("in it", headers: "transaction:t\nreceipt:6\n")
            + "COMMIT\ntransaction:t\nreceipt:7\n\n\0UNSUBSCRIBE\nid:t\nreceipt:8\n\n\0"
            + "DISCONNECT\nreceipt:9\n\n\0SEND\n",
        sendFrame("1", headers: "receipt:1\n") + "SUBSCRIBE\nid:s\nreceipt:2\n\n\0"
            + sendFrame("2", headers: "receipt:3\n"),
        sendFrame("1", headers: "receipt:1\n") + sendFrame("x", to: "/elsewhere", headers: "receipt:2\n")
            + sendFrame("3"),
        sendFrame("1", headers: "receipt:1\n") + "SEND\ndestination:/queue/a\ncontent-length:2\nreceipt:2\n\nabc\0"
            + sendFrame("3"),
        subscribeFrame("s", headers: "receipt:1\n") + sendFrame("ask", headers: "reply-to:/temp-queue/r\nreceipt:2\n")
            + "SEND\ndestination:/temp-queue/r\nreceipt:3\n\nreply\0",
    ]

    /// What a client reads: answers in order, and which messages. How these stand among each other is left to time.
    private func outcome(_ conversation: String, _ cuts: [Int]) -> [[String]] {
        let broker = TestBroker()
        let client = broker.client()
        let bytes = Array(("CONNECT\naccept-version:1.2\nhost:h\n\n\0" + conversation).utf8)
        var start = 0
        for end in cuts + [bytes.count] {
            client.send(Array(bytes[start..<end]))
            start = end
        }
        let story = client.story()
        let left = broker.connected(.v12)
        left.send(subscribeFrame("left"))
        return [
            story.filter { !$0.hasPrefix("MESSAGE") }, story.filter { $0.hasPrefix("MESSAGE") }.sorted(),
            client.inbox.map { "\($0)" },
            left.frames().map(\.text), ["\(client.isOver)"],
        ]
    }

    @Test(arguments: conversations.indices)
    func everyCutGivesTheSame(index: Int) {
        let conversation = Self.conversations[index]
        let count = "CONNECT\naccept-version:1.2\nhost:h\n\n\0".utf8.count + conversation.utf8.count
        let whole = outcome(conversation, [])
        #expect(whole[0].count >= 3)
        for cut in 1..<count { #expect(outcome(conversation, [cut]) == whole, "cut at \(cut)") }
        #expect(outcome(conversation, Array(1..<count)) == whole, "byte by byte")
        for step in 2..<9 { #expect(outcome(conversation, Array(stride(from: step, to: count, by: step))) == whole) }
    }
}
