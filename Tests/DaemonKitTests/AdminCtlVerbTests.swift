import DaemonKit
import Foundation
import Synchronization
import Testing

@testable import brokerctl

/// What a run of brokerctl left behind.
struct CtlRun: Sendable {
    var code: Int32
    var output: String
    var complaint: String

    /// Runs on a thread of its own, since brokerctl blocks.
    static func of(
        _ words: [String], input: String = "", outputIsTerminal: Bool = false
    ) async -> CtlRun {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                let output = Mutex<[UInt8]>([])
                let complaint = Mutex("")
                let console = Console(
                    write: { bytes in output.withLock { $0 += bytes } },
                    complain: { text in complaint.withLock { $0 += text } },
                    read: { file throws(CtlFailure) in
                        if file == "missing" { throw CtlFailure(.failed, "no such file") }
                        return Array(input.utf8)
                    },
                    environment: [:], fileExists: { _ in false }, outputIsTerminal: outputIsTerminal,
                    errorIsTerminal: false)
                let code = Brokerctl.run(["brokerctl"] + words, console)
                continuation.resume(
                    returning: CtlRun(
                        code: code, output: String(decoding: output.withLock { $0 }, as: UTF8.self),
                        complaint: complaint.withLock { $0 }))
            }
        }
    }
}

@Suite struct AdminCtlVerbTests {
    let server: AdminServer

    init() throws { server = try AdminServer() }

    func run(_ words: String...) async -> CtlRun { await CtlRun.of(["--admin", "unix:\(server.path)"] + words) }

    @Test func queuesAreListedInATable() async {
        let run = await run("queue", "list")
        let lines = run.output.split(separator: "\n")
        #expect(run.code == 0 && run.complaint == "")
        #expect(lines.count == 4)
        #expect(lines[0].hasPrefix("NAME    MESSAGES  READY"))
        #expect(lines[1].hasPrefix("a/b ä          0"))
        #expect(lines[3].hasPrefix("orders      2500   2500"))
    }

    @Test func aListIsWholeHoweverManyPagesItTakes() async throws {
        server.backend.world.withLock { world in
            world.queues = (0..<20_500).map { number in
                var queue = API.Queue()
                queue.name = "q\(number)"
                return queue
            }
        }
        let run = await run("queue", "list", "--json")
        let list = try APICoding.decode(API.QueueList.self, from: Array(run.output.utf8))
        #expect(list.queues.count == 20_500 && Set(list.queues.map(\.name)).count == 20_500)
        #expect(list.total == 20_500 && list.next == nil)
    }

    @Test(arguments: [
        ["status"], ["store", "info"], ["config", "show"], ["queue", "list"], ["queue", "show", "orders"],
        ["queue", "create", "x"], ["queue", "delete", "mail"], ["queue", "purge", "orders"],
        ["queue", "browse", "orders"],
        ["queue", "move", "orders", "mail"], ["topic", "list"], ["connection", "list"], ["connection", "close", "2"],
        ["subscription", "list"], ["reload"], ["policy", "list"], ["policy", "explain", "/queue/orders"],
        ["policy", "set", "p", "--pattern", "a.*", "--set", "delivery_limit=5"], ["queue", "settings", "orders"],
        ["queue", "settings", "orders", "--set", "length_most=5"], ["queue", "pause", "orders"],
        ["queue", "resume", "orders"], ["queue", "create", "y", "--set", "overflow=drop-head"],
        ["queue", "retry", "orders"], ["queue", "purge", "orders", "--where", "n > 5"],
        ["queue", "browse", "orders", "--where", "n > 5", "--from", "1:7"], ["subscription", "list", "--durable"],
        ["subscription", "show", "billing.prices"], ["subscription", "delete", "billing.prices"],
    ])
    func everyVerbAnswersPeopleAndPrograms(words: [String]) async throws {
        let people = await CtlRun.of(["--admin", "unix:\(server.path)"] + words)
        #expect(people.code == 0 && people.complaint == "")
        #expect(people.output.hasSuffix("\n") && people.output.count > 5)
        let fresh = try AdminServer()
        let programs = await CtlRun.of(["--admin", "unix:\(fresh.path)", "--json"] + words)
        let object = try JSONSerialization.jsonObject(with: Data(programs.output.utf8))
        #expect(programs.code == 0 && object is [String: Any])
    }

    @Test(
        arguments: [
            (["queue", "show", "none"], 4, "There is no queue none"),
            (["connection", "close", "9"], 4, "connection 9"),
            (["queue", "delete", "orders"], 1, "has messages"), (["connection", "close", "x"], 2, "ID is a number"),
            (["queue", "move", "orders", "/queue/orders"], 1, "another queue"),
            (["queue", "list", "--json=1"], 2, "takes no value"),
            (["store", "check"], 2, "DIR is missing"), (["restore", "a"], 2, "DIR is missing"),
            (["store", "check", "/nonexistent"], 7, "cannot be used"),
            (["store", "repair", "/nonexistent", "--cut-what-is-damaged"], 7, "cannot be used"),
            (["store", "dump", "/nonexistent"], 7, "cannot be used"),
            (["backup", "/nonexistent/copy"], 7, "/nonexistent"),
            (["restore", "/nonexistent/copy", "/nonexistent/data"], 7, "/nonexistent"),
            (["queue", "show", "\u{1B}[2J"], 4, "There is no queue \\u{1b}[2J"),
        ] as [([String], Int32, String)])
    func failuresHaveTheirExitCodeAndASentence(words: [String], code: Int32, sentence: String) async {
        let run = await CtlRun.of(["--admin", "unix:\(server.path)"] + words)
        #expect(run.code == code)
        #expect(run.output == "")
        #expect(run.complaint.hasPrefix("brokerctl: ") && run.complaint.contains(sentence), "\(run.complaint)")
    }

    @Test(arguments: ["unix:/nonexistent/admin.sock", "127.0.0.1:1"])
    func aBrokerThatIsNotThereIsExitCode3(address: String) async {
        let run = await CtlRun.of(["--admin", address, "status"])
        #expect(run.code == 3)
        #expect(run.complaint.contains("No broker answers at \(address)") && run.complaint.contains("--admin"))
    }

    @Test func whatIsNoAdminInterfaceIsExitCode3() async throws {
        let broker = try ScriptedBroker { _ in [] }
        let run = await CtlRun.of(["--admin", "127.0.0.1:\(broker.port)", "status"])
        #expect(run.code == 3)
        #expect(run.complaint.contains("is not the admin interface"), "\(run.complaint)")
    }

    @Test func anAddressThatIsNoneIsExitCode2() async {
        let run = await CtlRun.of(["--admin", "localhost", "status"])
        #expect(run.code == 2)
    }

    /// Goal: a move goes on until all that was there is moved, and not for ever. Method: a backend that
    /// moves 1000 at a time.
    @Test func aMoveAsksUntilAllIsMoved() async {
        let all = await run("queue", "move", "orders", "mail")
        #expect(all.output == "2500 messages moved to mail, 0 left.\n")
    }

    @Test func aMoveStopsAtItsCount() async {
        let some = await run("queue", "move", "orders", "mail", "--count", "1200")
        #expect(some.output == "1200 messages moved to mail, 1300 left.\n")
    }

    @Test func overTCPTooTheBrokerAnswers() async {
        let run = await CtlRun.of(["--admin", "localhost:\(server.port)", "queue", "show", "orders"])
        #expect(run.code == 0 && run.output.contains("2500"))
    }

    @Test func aBrokerThatIsNotReadyIsExitCode1() async {
        server.backend.world.withLock {
            $0.health.ready = false
            $0.health.reasons = ["the disk is full"]
        }
        let run = await run("status")
        #expect(run.code == 1)
        #expect(run.output.contains("not ready") && run.complaint.contains("the disk is full"))
    }

    @Test func browsingShowsWhatProducersWroteWithoutObeyingIt() async {
        let table = await run("queue", "browse", "orders")
        #expect(table.output.contains("\n  1:7   5 B           0  ready  usual  hello\n"))
        let full = await run("queue", "browse", "orders", "--full", "--body-bytes", "3")
        #expect(full.output.contains("colour: red\\u{1b}[2J\n\nhel… (5 bytes in all)"))
    }

    @Test func helpNeedsNoBroker() async {
        for words in [
            [], ["help"], ["help", "queue"], ["queue", "move", "--help"], ["-h"], ["--version"], ["version"],
        ] {
            let run = await CtlRun.of(words)
            #expect(run.code == 0 && !run.output.isEmpty, "\(words)")
        }
    }
}
