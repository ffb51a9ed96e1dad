import Base
import Foundation
import STOMP
import Synchronization
import Testing

@testable import brokerctl

/// A directory for one test.
private final class Room: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "brokerctl-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do { try FileManager.default.removeItem(atPath: path) } catch { print("\(path) stays: \(error)") }
    }
}

private func request(_ number: Int, _ body: String, replyTo: String? = "/reply-queue/x") -> Frame {
    var frame = ScriptedBroker.message(number, body)
    frame.headers.append(.init("correlation-id", "c\(number)"))
    if let replyTo { frame.headers.append(.init("reply-to", replyTo)) }
    return frame
}

/// Answers SUBSCRIBE with these.
private func broker(delivering messages: [Frame]) throws -> ScriptedBroker {
    try ScriptedBroker { $0.command == .subscribe ? messages : [] }
}

/// Answers a request with these headers and texts.
private func broker(replying replies: [([Frame.Header], String)]) throws -> ScriptedBroker {
    try ScriptedBroker { frame in
        guard frame.command == .send, let correlation = frame["correlation-id"] else { return [] }
        let stray = Frame(.message, ["correlation-id": "other", "subscription": "replies"], text: "for somebody else")
        return [stray]
            + replies.map { headers, text in
                var reply = Frame(.message, ["correlation-id": correlation, "subscription": "replies"], text: text)
                reply.headers += headers
                return reply
            }
    }
}

@Suite(.timeLimit(.minutes(2))) struct AdminCtlRequestTests {
    @Test func aRequestIsAskedInTheHeadersOfTheLibrary() async throws {
        let broker = try broker(replying: [([], "890")])
        let run = await broker.run(
            "request", "/queue/prices", "bicycle", "--timeout", "7", "--body-only", "--header", "colour:red")
        #expect(run.code == 0 && run.output == "890\n", "\(run.complaint)")
        let frame = try #require(broker.sent(.send).first)
        #expect(frame.text == "bicycle" && frame["colour"] == "red" && frame["destination"] == "/queue/prices")
        #expect(frame["ttl"] == "7000" && frame["persistent"] == "false")
        #expect(frame["reply-to"] == "/temp-queue/replies")
        let channel = try #require(broker.sent(.subscribe).first)
        #expect(channel["destination"] == "/temp-queue/replies" && channel["ack"] == "auto")
    }

    @Test func aServiceThatFailedIsToldAndExitCode1() async throws {
        let broker = try broker(replying: [([.init("error-code", "sold-out")], "none left\u{1B}")])
        let run = await broker.run("request", "/queue/prices", "bicycle")
        #expect(run.code == 1 && run.output.contains("error-code: sold-out"))
        #expect(run.complaint == "brokerctl: The service failed: sold-out: none left\\u{1b}")
    }

    @Test func noReplyIsExitCode5() async throws {
        let broker = try broker(replying: [])
        let run = await broker.run("request", "/queue/prices", "bicycle", "--timeout", "1")
        #expect(run.code == 5 && run.output == "" && run.complaint.contains("No reply came within 1 second"))
    }

    @Test func gatheringPrintsWhatComesAndStopsWhenAllHaveSpoken() async throws {
        let replies: [([Frame.Header], String)] = [
            ([.init("replied-by", "eu")], "one"), ([.init("replied-by", "us")], "two"), ([], "three"),
        ]
        let all = await (try broker(replying: replies)).run(
            "gather", "/topic/offers", "bicycle", "--from", "eu", "--from", "us", "--body-only")
        #expect(all.code == 0 && all.output == "one\ntwo\n", "\(all.complaint)")
        let two = await (try broker(replying: replies)).run(
            "gather", "/topic/offers", "bicycle", "--at-most", "1", "--body-only")
        #expect(two.code == 0 && two.output == "one\n")
        let missing = await (try broker(replying: replies)).run(
            "gather", "/topic/offers", "bicycle", "--from", "moon", "--timeout", "1", "--body-only")
        #expect(missing.code == 5 && missing.output == "one\ntwo\nthree\n" && missing.complaint.contains("moon"))
        let nobody = await (try broker(replying: [])).run("gather", "/topic/offers", "bicycle", "--timeout", "1")
        #expect(nobody.code == 5 && nobody.complaint.contains("Nobody answered"))
    }

    @Test(arguments: [
        (["serve", "/queue/q"], "one of --reply"), (["serve", "/queue/q", "--reply", "x", "--echo"], "one of --reply"),
        (["serve", "/queue/q", "--echo", "--concurrency", "2"], "--concurrency is for --command"),
        (["serve", "/queue/q", "--command", ""], "must not be empty"),
        (["consume", "/queue/q", "--concurrency", "2"], "--concurrency is for --command"),
        (["consume", "/queue/q", "--command", "true", "--ack", "auto"], "acknowledges each message by itself"),
        (["consume", "/queue/q", "--command", "true", "--json"], "nothing is printed"),
        (["request", "/queue/q", "x", "--header", "ttl:5"], "header ttl is written by brokerctl"),
        (["request", "/queue/q", "x", "--timeout", "0"], "1 to"),
    ])
    func wrongOptionsAreFoundBeforeAnythingIsSent(words: [String], sentence: String) async {
        let run = await CtlRun.of(words + ["--stomp", "127.0.0.1:1"])
        #expect(run.code == 2 && run.complaint.contains(sentence), "\(run.complaint)")
    }
}

@Suite(.timeLimit(.minutes(2))) struct AdminCtlServeTests {
    @Test func aTextIsTheAnswerBehindTheAcknowledgement() async throws {
        let broker = try broker(delivering: [request(1, "bicycle"), request(2, "unicycle", replyTo: nil)])
        let run = await broker.run("serve", "/queue/prices", "--reply", "890", "--name", "eu", "--count", "2")
        #expect(run.code == 0, "\(run.complaint)")
        #expect(run.output == "1 request answered, 0 of them with an error; 1 had nowhere to be answered to.\n")
        #expect(
            broker.frames.withLock { $0.map(\.command) } == [
                .connect, .subscribe, .ack, .send, .ack, .unsubscribe, .disconnect,
            ])
        let reply = try #require(broker.sent(.send).first)
        #expect(reply.text == "890" && reply["destination"] == "/reply-queue/x" && reply["correlation-id"] == "c1")
        #expect(reply["replied-by"] == "eu" && reply["persistent"] == "false" && reply["error-code"] == nil)
        #expect(broker.sent(.ack).map { $0["id"] } == ["a1", "a2"])
        #expect(broker.sent(.subscribe).first?["prefetch-count"] == "1")
    }

    /// Either both are there after any crash, or neither.
    @Test func aReplyToAQueueIsOneTransactionWithTheAcknowledgement() async throws {
        let broker = try broker(delivering: [request(1, "x", replyTo: "/queue/answers")])
        let run = await broker.run("serve", "/queue/prices", "--echo", "--count", "1", "--json")
        #expect(run.code == 0 && run.output == "{\"answered\":1,\"failed\":0,\"unanswered\":0}\n", "\(run.complaint)")
        let transaction = broker.sent(.begin).first?["transaction"]
        #expect(transaction != nil)
        for command in [Command.send, .ack, .commit] {
            #expect(broker.sent(command).map { $0["transaction"] } == [transaction])
        }
        #expect(broker.sent(.send).first?.text == "x" && broker.sent(.send).first?["persistent"] == "true")
    }

    @Test func aCommandReadsTheRequestAndWritesTheAnswer() async throws {
        let broker = try broker(delivering: [request(1, "hello"), request(2, "fail"), request(3, "world")])
        let run = await broker.run(
            "serve", "/queue/upper", "--count", "3", "--command",
            "read -r word; [ \"$word\" != fail ] || exit 3; echo \"$word\" | tr a-z A-Z; echo $BROKERCTL_CORRELATION_ID"
        )
        #expect(run.code == 0, "\(run.complaint)")
        #expect(run.complaint == "brokerctl: m2: the command ended with 3")
        let replies = broker.sent(.send)
        #expect(replies.map(\.text) == ["HELLO\nc1\n", "the command ended with 3", "WORLD\nc3\n"])
        #expect(replies.map { $0["error-code"] } == [nil, "internal-error", nil])
        #expect(run.output == "3 requests answered, 1 of them with an error; 0 had nowhere to be answered to.\n")
    }

    /// Each waits for the other: one after the other they would not end.
    @Test func commandsRunSideBySideUpToTheLimit() async throws {
        let room = try Room()
        let broker = try broker(delivering: [request(1, ""), request(2, ""), request(3, "")])
        let run = await broker.run(
            "serve", "/queue/q", "--count", "2", "--concurrency", "2", "--command",
            "cd '\(room.path)'; touch $BROKERCTL_MESSAGE_ID; "
                + "while [ $(ls | wc -l) -lt 2 ]; do sleep 0.02; done; ls | wc -l")
        #expect(run.code == 0, "\(run.complaint)")
        #expect(broker.sent(.send).map(\.text) == ["2\n", "2\n"], "a third one began")
        #expect(broker.sent(.subscribe).first?["prefetch-count"] == "2")
    }
}

@Suite(.timeLimit(.minutes(2))) struct AdminCtlCommandTests {
    @Test func aMessageIsAcknowledgedWhenItsCommandHasSucceeded() async throws {
        let broker = try broker(
            delivering: ["good", "bad", "good"].enumerated().map { ScriptedBroker.message($0, $1) })
        let run = await broker.run(
            "consume", "/queue/q", "--count", "3", "--command", "grep -q good")
        #expect(run.code == 1)
        #expect(
            run.complaint.contains("m1: the command ended with 1") && run.complaint.contains("1 message of 3 went back")
        )
        #expect(broker.sent(.ack).map { $0["id"] } == ["a0", "a2"])
        #expect(broker.sent(.nack).map { $0["id"] } == ["a1"])
    }

    @Test func withoutMessagesItStopsAndIsExitCode5() async throws {
        let broker = try broker(delivering: [ScriptedBroker.message(1, "x")])
        let run = await broker.run(
            "consume", "/queue/q", "--count", "2", "--command", "cat >/dev/null", "--timeout", "1")
        #expect(run.code == 5 && run.complaint.contains("1 of 2 messages came"), "\(run.complaint)")
        #expect(broker.sent(.ack).count == 1)
    }

    @Test func aDurableSubscriptionHasItsName() async throws {
        let broker = try ScriptedBroker.messages(1)
        let run = await broker.run(
            "subscribe", "news", "--durable-name", "billing", "--header", "selector:n > 5", "--body-only")
        #expect(run.code == 0 && run.output == "hello\n", "\(run.complaint)")
        let frame = try #require(broker.sent(.subscribe).first)
        #expect(frame["destination"] == "/topic/news" && frame["selector"] == "n > 5")
        #expect(frame["durable"] == "true" && frame["x-queue-name"] == "billing")
        #expect(broker.sent(.ack).count == 1)
    }

    // MARK: The command itself

    private static func run(_ text: String, input: [UInt8] = [], seconds: UInt64 = 60) async -> (
        ending: ShellCommand.Ending, output: [UInt8]
    ) {
        await blocking { ShellCommand(text: text, seconds: seconds, keepsOutput: true).run(input: input) }
    }

    /// On a thread of its own.
    private static func blocking<R: Sendable>(_ work: @escaping @Sendable () -> R) async -> R {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: work()) }
        }
    }

    /// A pipe with a name, open at both ends: who writes a line to it never waits, and who reads waits for one.
    private static func line(_ path: String) throws -> Int32 {
        try #require(mkfifo(path, 0o600) == 0)
        let number = open(path, O_RDWR | O_CLOEXEC)
        try #require(number >= 0)
        return number
    }

    /// What has ended when the crew rings.
    private static func endings(of crew: Crew) async -> [ShellCommand.Ending] {
        await blocking {
            var bell = pollfd(fd: crew.bell, events: Int16(POLLIN), revents: 0)
            while poll(&bell, 1, -1) < 0, errno == EINTR {}
            return crew.collect().map(\.ending)
        }
    }

    @Test func largeBodiesGoThrough() async {
        let body = [UInt8](repeating: 7, count: 3 << 20)
        let (ending, output) = await Self.run("cat", input: body)
        #expect(ending == .succeeded && output == body)
    }

    @Test func aCommandNeedNotReadWhatItIsGiven() async {
        let (ending, output) = await Self.run("echo done", input: [UInt8](repeating: 7, count: 3 << 20))
        #expect(ending == .succeeded && output == Array("done\n".utf8))
    }

    @Test func endingsAreTold() async {
        #expect(await Self.run("exit 9").ending == .failed(9))
        #expect(await Self.run("kill -TERM $$").ending == .failed(128 + SIGTERM))
        #expect(await Self.run("/nonexistent").ending == .failed(127))
        #expect(await Self.run("yes").ending == .wroteTooMuch)
    }

    /// With all that it has begun.
    @Test func aCommandThatTakesTooLongIsEnded() async {
        let (ending, _) = await Self.run("sleep 1000 | sleep 1000", seconds: 1)
        #expect(ending == .tookTooLong(seconds: 1))
    }

    @Test func anInterruptionLetsFinishAndASecondOneDoesNot() async throws {
        let room = try Room()
        let crew = try Crew(
            ShellCommand(
                text: "cd '\(room.path)'; read -r word; echo $word >begun; "
                    + "if [ $word = first ]; then read -r word <go; else sleep 1000; fi",
                seconds: 60, keepsOutput: true))
        let (begun, go) = (try Self.line(room.path + "/begun"), try Self.line(room.path + "/go"))
        defer { for end in [begun, go] { close(end) } }
        for word in ["first", "second"] { crew.begin(Frame(.message, [:], text: word + "\n")) }
        await Self.blocking {
            var bytes = [UInt8](repeating: 0, count: 64)
            var lines = 0
            while lines < 2 {
                let count = read(begun, &bytes, bytes.count)
                lines += bytes.prefix(max(0, count)).count { $0 == UInt8(ascii: "\n") }
            }
        }
        crew.interrupt()
        #expect(crew.isInterrupted && crew.inHand == 2)
        #expect(write(go, "go\n", 3) == 3)
        var endings: [ShellCommand.Ending] = []
        // It rings for an interruption, too.
        while endings.isEmpty { endings += await Self.endings(of: crew) }
        #expect(endings == [.succeeded])
        crew.interrupt()
        while endings.count < 2 { endings += await Self.endings(of: crew) }
        #expect(endings == [.succeeded, .interrupted] && crew.inHand == 0)
    }
}
