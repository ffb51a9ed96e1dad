import Base
import Foundation
import STOMP
import Synchronization
import Testing

@testable import brokerctl

/// A STOMP broker that serves one connection by a script: what it is sent, it tells the script, which
/// says what to answer.
final class ScriptedBroker: Sendable {
    let port: UInt16
    let frames = Mutex<[Frame]>([])

    init(version: String = "1.2", _ answer: @escaping @Sendable (Frame) -> [Frame]) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutableBytes(of: &address) { bytes in
            let name = bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
            return name.map {
                bind(listener, $0, length) == 0 && listen(listener, 1) == 0 && getsockname(listener, $0, &length) == 0
            } ?? false
        }
        guard bound else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { self.serve(listener, version, answer) }
    }

    private func serve(_ listener: Int32, _ version: String, _ answer: (Frame) -> [Frame]) {
        let client = accept(listener, nil, nil)
        close(listener)
        defer { close(client) }
        let spoken: Version = version == "1.2" ? .v12 : version == "1.1" ? .v11 : .v10
        var parser = FrameParser(role: .server, limits: FrameLimits())
        var input = Buffer()
        while true {
            input.reserve(64 << 10)
            let count = recv(client, input.room.baseAddress, input.room.count, 0)
            guard count > 0 else { return }
            input.written(count)
            if input.readable.starts(with: Array("GET ".utf8)) {
                let refusal = Frame(.error, ["message": "this is STOMP, not HTTP"]).encoded(version: .v12)
                _ = send(client, refusal, refusal.count, Int32(MSG_NOSIGNAL))
                return
            }
            while !input.isEmpty, let step = try? parser.next(in: UnsafeBufferPointer(input.readable)),
                step != .incomplete
            {
                if step == .frame,
                    let frame = try? Frame.decode(
                        layout: parser.layout, bytes: UnsafeBufferPointer(input.readable),
                        version: parser.version ?? .v10)
                {
                    frames.withLock { $0.append(frame) }
                    var answers = answer(frame)
                    if frame.command == .connect, answers.isEmpty {
                        parser.version = spoken
                        answers = [Frame(.connected, version == "1.0" ? [:] : ["version": version])]
                    }
                    if let receipt = frame["receipt"] { answers.append(Frame(.receipt, ["receipt-id": receipt])) }
                    var out: [UInt8] = [10]
                    for answer in answers { out += answer.encoded(version: spoken) }
                    _ = send(client, out, out.count, Int32(MSG_NOSIGNAL))
                    if answers.contains(where: { $0.command == .error }) { return }
                }
                input.consume(parser.consumed)
            }
        }
    }

    func run(_ words: String..., input: String = "", outputIsTerminal: Bool = false) async -> CtlRun {
        await CtlRun.of(words + ["--stomp", "127.0.0.1:\(port)"], input: input, outputIsTerminal: outputIsTerminal)
    }

    func sent(_ command: Command) -> [Frame] { frames.withLock { $0.filter { $0.command == command } } }

    static func message(_ number: Int, _ body: String) -> Frame {
        Frame(
            .message,
            [
                "destination": "/queue/a", "message-id": "m\(number)", "subscription": "1", "ack": "a\(number)",
                "x": "1:2",
            ],
            text: body)
    }

    /// Answers SUBSCRIBE with so many messages.
    static func messages(_ count: Int, body: String = "hello", version: String = "1.2") throws -> ScriptedBroker {
        try ScriptedBroker(version: version) { frame in
            frame.command == .subscribe ? (0..<count).map { message($0, body) } : []
        }
    }
}

@Suite struct AdminCtlPublishTests {
    @Test func aMessageCarriesWhatWasAskedFor() async throws {
        let broker = try ScriptedBroker { _ in [] }
        let run = await broker.run(
            "publish", "/queue/a", "hällo", "--header", "colour: red:blue\n", "--reply-to", "/queue/b",
            "--content-type",
            "text/plain", "--no-persistent")
        #expect(run.code == 0 && run.output == "1 message confirmed.\n", "\(run.complaint)")
        let frame = try #require(broker.sent(.send).first)
        #expect(frame.text == "hällo" && frame["destination"] == "/queue/a" && frame["persistent"] == "false")
        #expect(
            frame["colour"] == "red:blue" && frame["reply-to"] == "/queue/b" && frame["content-type"] == "text/plain")
        #expect(broker.sent(.disconnect).count == 1)
    }

    @Test func theBodyMayComeFromInput() async throws {
        let broker = try ScriptedBroker { _ in [] }
        let run = await broker.run("publish", "/queue/a", input: "from input")
        #expect(run.code == 0)
        #expect(broker.sent(.send).map(\.text) == ["from input"])
        #expect(broker.sent(.send).first?["persistent"] == "true")
    }

    /// Goal: thousands of messages go out in one run, each once, with few receipts.
    @Test func manyMessagesAreConfirmedInBatches() async throws {
        let broker = try ScriptedBroker { _ in [] }
        let run = await broker.run("publish", "/queue/a", "x", "--count", "10001", "--json")
        #expect(run.code == 0 && run.output == "{\"confirmed\":true,\"messages\":10001}\n")
        let frames = broker.sent(.send)
        #expect(frames.count == 10_001)
        #expect(frames.filter { $0["receipt"] != nil }.count == 21)
        #expect(frames.last?["receipt"] == "10001")
    }

    @Test func withoutReceiptNothingIsWaitedFor() async throws {
        let broker = try ScriptedBroker { _ in [] }
        let run = await broker.run("publish", "/queue/a", "x", "--no-receipt")
        #expect(run.code == 0 && run.output == "1 message sent.\n")
        #expect(broker.frames.withLock { $0.allSatisfy { $0["receipt"] == nil } })
    }

    @Test func anERRORIsToldAndExitCode1() async throws {
        for receipt in ["--receipt", "--no-receipt"] {
            let broker = try ScriptedBroker { frame in
                frame.command == .send
                    ? [Frame(.error, ["message": "queue is full\u{1B}"], text: "limits.queue\n")] : []
            }
            let run = await broker.run("publish", "/queue/a", "x", receipt)
            #expect(run.code == 1 && run.output == "")
            #expect(run.complaint == "brokerctl: The broker refused: queue is full\\u{1b} (limits.queue)")
        }
    }

    @Test func aRefusedLoginIsTold() async throws {
        let broker = try ScriptedBroker { _ in [Frame(.error, ["message": "unknown host"])] }
        let run = await broker.run("publish", "/queue/a", "x")
        #expect(run.code == 1 && run.complaint.contains("unknown host"))
    }

    @Test(arguments: [
        (["--header", "novalue"], "NAME:VALUE"), (["--header", ":x"], "NAME:VALUE"),
        (["--file", "f"], "BODY or --file"),
        (["--receipt", "--no-receipt"], "Give --receipt or"), (["--count", "0"], "1 or more"),
    ])
    func wrongOptionsAreFoundBeforeAnythingIsSent(options: [String], words: String) async {
        let run = await CtlRun.of(["publish", "/queue/a", "x", "--stomp", "127.0.0.1:1"] + options)
        #expect(run.code == 2 && run.complaint.contains(words), "\(run.complaint)")
    }

    @Test func whatDoesNotSpeakSTOMPIsTold() async throws {
        let server = try AdminServer()
        let run = await CtlRun.of(["publish", "/queue/a", "x", "--stomp", "127.0.0.1:\(server.port)"])
        #expect(run.code == 1 && run.complaint.contains("does not answer in STOMP"), "\(run.complaint)")
    }
}

@Suite struct AdminCtlConsumeTests {
    @Test func aMessageIsPrintedAndAcknowledged() async throws {
        let broker = try ScriptedBroker.messages(3)
        let run = await broker.run("consume", "/queue/a")
        #expect(run.code == 0, "\(run.complaint)")
        #expect(run.output.hasPrefix("--- message 1\ndestination: /queue/a\nmessage-id: m0\n"))
        #expect(run.output.contains("x: 1:2\n") && run.output.hasSuffix("\n\nhello\n"))
        #expect(!run.output.contains("message 2"))
        #expect(broker.sent(.ack).map { $0["id"] } == ["a0"])
        #expect(broker.sent(.subscribe).first?["prefetch-count"] == "1")
        #expect(broker.sent(.unsubscribe).count == 1 && broker.sent(.disconnect).count == 1)
    }

    @Test(arguments: [("1.1", "message-id", "m1"), ("1.0", "message-id", "m1")])
    func olderVersionsAreAcknowledgedInTheirWay(version: String, header: String, value: String) async throws {
        let broker = try ScriptedBroker.messages(2, version: version)
        let run = await broker.run("consume", "/queue/a", "--count", "2", "--ack", "client")
        #expect(run.code == 0, "\(run.complaint)")
        let ack = try #require(broker.sent(.ack).last)
        #expect(ack[header] == value)
        #expect(ack["subscription"] == (version == "1.1" ? "1" : nil))
    }

    @Test func withAckAutoNothingIsAcknowledged() async throws {
        let broker = try ScriptedBroker.messages(2)
        let run = await broker.run("consume", "/queue/a", "--ack", "auto", "--count", "2")
        #expect(run.code == 0)
        #expect(broker.sent(.ack).isEmpty)
    }

    @Test func forProgramsEachMessageIsALine() async throws {
        let broker = try ScriptedBroker.messages(2, body: "a\n\"b\"")
        let run = await broker.run("consume", "/queue/a", "--count", "2", "--json")
        let lines = run.output.split(separator: "\n")
        #expect(lines.count == 2)
        let object = try JSONSerialization.jsonObject(with: Data(lines[1].utf8)) as? [String: Any]
        #expect(object?["body"] as? String == "a\n\"b\"")
        #expect((object?["headers"] as? [[String: String]])?.contains(["name": "message-id", "value": "m1"]) == true)
    }

    /// Also when something else than a message came last.
    @Test func whatIsPrintedIsAcknowledgedBeforeTheNextOneIsThere() async throws {
        let broker = try ScriptedBroker { frame in
            switch frame.command {
            case .subscribe: [ScriptedBroker.message(0, "one")]
            case .ack where frame["id"] == "a0": [ScriptedBroker.message(1, "two")]
            default: []
            }
        }
        let run = await broker.run("consume", "/queue/a", "--count", "2", "--body-only", "--timeout", "30")
        #expect(run.code == 0 && run.output == "one\ntwo\n", "\(run.complaint)")
    }

    @Test func tooFewMessagesAreExitCode5() async throws {
        let broker = try ScriptedBroker.messages(1)
        let run = await broker.run("consume", "/queue/a", "--count", "2", "--timeout", "0")
        #expect(run.code == 5)
        #expect(run.output.contains("message 1") || run.complaint.contains("0 of 2"))
    }

    @Test func aBodySteersNoTerminalButReachesAFileAsItIs() async throws {
        let body = "a\u{1B}]0;owned\u{7}\nb"
        let terminal = await (try ScriptedBroker.messages(1, body: body)).run(
            "consume", "/queue/a", "--body-only", outputIsTerminal: true)
        #expect(terminal.output == "a\\u{1b}]0;owned\\u{7}\nb\n")
        let file = await (try ScriptedBroker.messages(1, body: body)).run("consume", "/queue/a", "--body-only")
        #expect(file.output == body + "\n")
    }
}
