import Base
import BrokerCore
import Foundation
import STOMP
import Testing

@testable import Sessions

/// C10, errors: their form, their place, and the table of docs/protocol.md.
@Suite struct ErrorTests {
    /// C10 #131 to #133.
    @Test func anErrorSaysWhatWhereAndAboutWhich() {
        let client = TestBroker().connected(.v12)
        client.send("SUBSCRIBE\ndestination:/queue/a\nreceipt:a\\cb\n\n\0")
        let expected =
            "ERROR\nmessage:required header missing\nreceipt-id:a\\cb\ncontent-type:text/plain\n"
            + "content-length:30\n\nSUBSCRIBE needs the header id\n\0\n"
        #expect(client.take() == expected)
        #expect(client.isOver)
        #expect(client.endCode == "header-missing")
    }

    /// C10 #131: faults of the codec, session and core name the receipt of their frame, wherever it stands.
    @Test(arguments: [
        "SEND\nreceipt:bad\ndestination:/queue/a\nno colon\n\nx\0", "SEND\nno colon\nreceipt:bad\n\nx\0",
        "FOO\nreceipt:bad\n\n\0", "ACK\nid:1-1\nreceipt:bad\n\nbody\0", "SEND\nreceipt:bad\n\nx\0",
        "SEND\nreceipt:bad\ndestination:/elsewhere\n\nx\0",
        "SEND\ndestination:/queue/a\ncontent-length:1\nreceipt:bad\n\nxy\0",
        "SEND\ndestination:/elsewhere\ncontent-length:1\nreceipt:bad\n\nx\0", "ACK\nid:1-1\nreceipt:bad\n\n\0",
    ])
    func everyErrorNamesTheReceiptOfItsFrame(frame: String) {
        let broker = TestBroker()
        let client = broker.connected(.v12)
        client.send(sendFrame("x", headers: "receipt:before\n") + frame + sendFrame("x", headers: "receipt:after\n"))
        let story = client.story()
        #expect(story.count == 2)
        #expect(story.first == "RECEIPT before")
        #expect(story.last?.hasPrefix("ERROR ") == true && story.last?.hasSuffix(" for bad") == true, "\(story)")
        #expect(broker.core.totals.messagesIn == 1)
    }

    /// A receipt that is itself the fault must not make the ERROR unreadable. `frames` reads by the rules of 1.2.
    @Test(arguments: ["a\\tb", "a\\", "a\rb"])
    func aBrokenReceiptIsNotRepeated(receipt: String) {
        let client = TestBroker().connected(.v12)
        client.send("SEND\ndestination:/queue/a\nreceipt:\(receipt)\n\nx\0")
        let error = client.frames().first
        #expect(error?.command == .error)
        #expect(error?["receipt-id"] == nil)
        let bytes = TestBroker().connected(.v11)
        bytes.send(Array("SEND\ndestination:/queue/a\nreceipt:".utf8) + [0xFF] + Array("\n\nx\0".utf8))
        #expect(bytes.story() == ["ERROR malformed header"])
    }

    /// C10 #141: no names of others, no versions, before login.
    @Test func anErrorBeforeLoginTellsNothing() {
        let client = TestBroker().client()
        client.send("SUBSCRIBE\nid:1\ndestination:/queue/secret\n\n\0")
        let text = client.take()
        #expect(text.contains("CONNECT expected"))
        #expect(!text.contains("secret"))
        #expect(!text.contains("brokerd"))
    }

    /// Whatever a client writes comes back in no message header, and in a body only as printable ASCII.
    @Test func whatTheClientWroteIsMadePrintable() {
        let client = TestBroker().connected(.v12)
        client.send("UNSUBSCRIBE\nid:\u{1B}[2J\\né\n\n\0")
        let error = client.frames().first
        #expect(error?["message"] == "no such subscription")
        #expect(error?.text == "this connection has no subscription \"?[2J???\"\n")
    }

    /// C10 #132: a slow subscriber of a topic is told why, and cut off.
    @Test func aSlowSubscriberIsToldWhy() {
        var limits = CoreLimits()
        limits.backlogBytes = 1000
        let broker = TestBroker(core: limits)
        let (slow, sender) = (broker.connected(.v12), broker.connected(.v12))
        slow.send(subscribeFrame(to: "/topic/t", ack: "client", headers: "prefetch-count:1\n"))
        for _ in 0..<20 { sender.send(sendFrame(String(repeating: "x", count: 100), to: "/topic/t")) }
        #expect(slow.frames().last?["message"] == "slow consumer")
        #expect(slow.isOver)
        #expect(!sender.isEnding)
    }

    // MARK: The table

    /// One of each, in the order of `place`.
    private static let frameErrors: [FrameError] = [
        .httpRequest, .tlsClientHello, .commandTooLong(limit: 1), .headerLineTooLong(limit: 1),
        .tooManyHeaders(limit: 1),
        .headTooLong(limit: 1), .bodyTooLong(limit: 1), .unknownCommand("x"), .lineWithoutColon(offset: 1),
        .emptyHeaderName(offset: 1), .nulInHead(offset: 1), .strayNUL, .loneCarriageReturn(offset: 1),
        .undefinedEscape(offset: 1), .unfinishedEscape(offset: 1), .invalidUTF8(offset: 1),
        .invalidContentLength(offset: 1),
        .conflictingContentLength(offset: 1), .missingNUL(offset: 1), .bodyNotAllowed(.ack),
    ]

    /// A case that is new does not compile here; it gets the next number, and a line above.
    private static func place(_ error: FrameError) -> Int {
        switch error {
        case .httpRequest: 0
        case .tlsClientHello: 1
        case .commandTooLong: 2
        case .headerLineTooLong: 3
        case .tooManyHeaders: 4
        case .headTooLong: 5
        case .bodyTooLong: 6
        case .unknownCommand: 7
        case .lineWithoutColon: 8
        case .emptyHeaderName: 9
        case .nulInHead: 10
        case .strayNUL: 11
        case .loneCarriageReturn: 12
        case .undefinedEscape: 13
        case .unfinishedEscape: 14
        case .invalidUTF8: 15
        case .invalidContentLength: 16
        case .conflictingContentLength: 17
        case .missingNUL: 18
        case .bodyNotAllowed: 19
        }
    }

    private static var messages: [String] {
        SessionError.Kind.allCases.map(\.message) + Refusal.Kind.allCases.map(\.message)
            + frameErrors.filter { !$0.isNotSTOMP }.map(\.message)
    }

    /// Goal: docs/protocol.md lists every `message`, and none that is not sent.
    @Test func theDocumentListsEveryMessage() throws {
        #expect(Self.frameErrors.map(Self.place) == Array(Self.frameErrors.indices))
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("docs/protocol.md"), encoding: .utf8)
        let section = text.components(separatedBy: "\n## ").first { $0.hasPrefix("Errors\n") }
        let rows = try #require(section).split(separator: "\n").compactMap { $0.firstMatch(of: /^\| `([^`]+)` \|/) }
        let listed = rows.map { String($0.1) }
        #expect(Set(listed) == Set(Self.messages))
        #expect(Set(listed).count == listed.count, "a message is listed twice")
    }

    /// Nothing in a message would need escaping, in any version.
    @Test func messagesNeedNoEscapes() {
        for message in Self.messages { #expect(!message.contains { ":\\\n\r".contains($0) }, "\(message)") }
    }

    /// The log's word for each kind is its own.
    @Test func codesAreKebabCase() {
        #expect(SessionError(.heartBeatTimeout, "x").code == "heart-beat-timeout")
        #expect(SessionError(Refusal(.diskShort, "x")).code == "disk-short")
        #expect(SessionError(FrameError.strayNUL).code == "bad-frame")
    }
}
