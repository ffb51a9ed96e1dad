import Foundation
import Testing

@testable import brokerctl

@Suite struct AdminCtlParsingTests {
    static func parse(_ line: String) throws -> Invocation {
        try Invocation(parsing: line.split(separator: " ").map(String.init))
    }

    static func refusal(_ line: String) -> CtlFailure? {
        do {
            _ = try parse(line)
            return nil
        } catch {
            return error as? CtlFailure
        }
    }

    @Test func optionsMayStandAnywhere() throws {
        for line in [
            "--json queue move a b --count 3", "queue --count=3 move a --json b", "queue move --count 3 -- a b --json",
        ] {
            let call = try? Self.parse(line)
            if line.hasSuffix("-- a b --json") {
                #expect(call == nil, "behind -- everything is an argument, here one too many")
                continue
            }
            #expect(call?.verb.name == "queue move")
            #expect(call?.arguments == ["a", "b"])
            #expect(call?.value("--count") == "3")
            #expect(call?.wantsJSON == true)
        }
        #expect(try Self.parse("queue show -- --json").arguments == ["--json"])
        #expect(try Self.parse("publish a --header x:1 --header y:2").values("--header") == ["x:1", "y:2"])
    }

    @Test(arguments: [
        ("queu list", "did you mean `queue`"), ("queue", "one of list, show"), ("queue lst", "one of list, show"),
        ("queue show", "NAME is missing"), ("queue move a", "TO is missing"), ("queue show a b", "one word too many"),
        ("queue list --nme x", "no option --nme, but --name"), ("queue list --force", "no option --force"),
        ("queue list --name", "needs a value"), ("queue delete a --force=yes", "takes no value"),
        ("queue list --name a --name b", "once"), ("consume a --ack maybe", "one of auto, client, client-individual"),
        ("xyzzy", "no verb `xyzzy`"), ("completion zsh", "one of bash"),
    ])
    func whatIsWrongIsSaid(line: String, words: String) throws {
        let failure = try #require(Self.refusal(line))
        #expect(failure.kind == .usage)
        #expect(failure.message.contains(words), "\(failure.message)")
    }

    @Test(arguments: ["0", "-1", "x", "99999999999999999999", "", "1.5"])
    func aNumberOutOfItsRangeIsRefused(text: String) throws {
        let call = try Invocation(parsing: ["queue", "move", "a", "b", "--count", text])
        #expect(throws: CtlFailure.self) { try call.number("--count", in: 1...UInt64.max) }
    }

    @Test func theBrokerIsLookedForInOrder() {
        func address(_ admin: String?, _ data: String?, _ environment: String?, _ files: [String]) -> String {
            AdminClient.address(
                admin: admin, data: data, environment: environment.map { ["BROKERD_ADMIN": $0] } ?? [:],
                fileExists: { files.contains($0) })
        }
        let service = "/run/brokerd/admin.sock"
        #expect(address("h:1", "d", "e:1", [service]) == "h:1")
        #expect(address(nil, "d", "e:1", [service]) == "unix:d/admin.sock")
        #expect(address(nil, nil, "e:1", [service]) == "e:1")
        #expect(address(nil, nil, "", ["data/admin.sock", service]) == "unix:data/admin.sock")
        #expect(address(nil, nil, nil, [service]) == "unix:/run/brokerd/admin.sock")
        #expect(address(nil, nil, nil, []) == "unix:data/admin.sock")
    }
}

@Suite struct AdminCtlTextTests {
    @Test func columnsAreAligned() {
        var table = Table([.left("NAME"), .right("MESSAGES"), .left("KIND")])
        table.add(["orders", "5", "durable"])
        table.add(["a-very-long-name", "1234567890", ""])
        table.add(["ä\u{1B}[2J", "0", "x"])
        #expect(
            table.text == """
                NAME                MESSAGES  KIND
                orders                     5  durable
                a-very-long-name  1234567890
                ä\\u{1b}[2J                 0  x
                """)
        #expect(Table([.left("A"), .right("B")]).text == "A  B")
    }

    @Test func factsAreAligned() {
        var facts = Facts()
        facts.add("A", "1")
        facts.add("", "2")
        facts.add("Longer", "x\ny")
        #expect(facts.text == "A       1\n        2\nLonger  x\\ny")
    }

    @Test(
        arguments: [
            (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (10_239, "9.9 KiB"),
            (102_400, "100 KiB"),
            (1_048_575, "1023 KiB"), (1_048_576, "1.0 MiB"), (UInt64.max, "15.9 EiB"),
        ] as [(UInt64, String)])
    func sizesAreWrittenForPeople(bytes: UInt64, text: String) { #expect(humanBytes(bytes) == text) }

    @Test(
        arguments: [
            (0, "0 s"), (59, "59 s"), (60, "1 min"), (3661, "1 h 1 min"), (86_400, "1 d"), (90_000, "1 d 1 h"),
            (UInt64.max, "213503982334601 d 7 h"),
        ] as [(UInt64, String)])
    func durationsAreWrittenForPeople(seconds: UInt64, text: String) {
        #expect(humanDuration(seconds: seconds) == text)
    }

    @Test(arguments: [
        (0, "0.0"), (0.04, "0.0"), (9.96, "10.0"), (99.94, "99.9"), (99.96, "100"), (1234.5, "1235"),
        (Double.nan, "?"), (-1, "?"), (Double.infinity, "?"), (1e300, "?"),
    ])
    func ratesAreWrittenForPeople(rate: Double, text: String) { #expect(humanRate(rate) == text) }

    @Test(arguments: [
        ("plain \"text\" \\ ä 漢 😀", "plain \"text\" \\ ä 漢 😀"), ("\u{1B}[31mred", "\\u{1b}[31mred"),
        ("a\nb\tc\rd", "a\\nb\\tc\\u{d}d"), ("\u{202E}evil", "\\u{202e}evil"), ("\u{9B}31m", "\\u{9b}31m"),
        ("\u{0}\u{7F}\u{2028}\u{200B}", "\\u{0}\\u{7f}\\u{2028}\\u{200b}"),
    ])
    func nothingFromOutsideSteersTheTerminal(text: String, shown: String) {
        #expect(harmless(text) == shown)
        #expect(harmless("a\n\tb\u{1B}", keepsLines: true) == "a\n\tb\\u{1b}")
    }
}

@Suite struct AdminCtlHelpTests {
    static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static func isUpToDate(_ path: String, _ text: String) throws -> Bool {
        let file = root.appending(path: path)
        if ProcessInfo.processInfo.environment["UPDATE_DOCS"] != nil {
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        return try String(contentsOf: file, encoding: .utf8) == text
    }

    @Test(arguments: Verb.all.indices) func helpForEveryVerbShowsItsUsageAndAnExample(index: Int) throws {
        let verb = Verb.all[index]
        let text = Help.text(of: verb)
        #expect(!verb.examples.isEmpty)
        for example in verb.examples { #expect(text.contains("  \(example)")) }
        for option in verb.options + Verb.common { #expect(text.contains("  \(option.name)")) }
        #expect(text.contains("Usage: brokerctl \(verb.name)"))
        #expect(Help.overview.contains("  \(verb.name) "))
    }

    /// An example that brokerctl itself would refuse is worse than none.
    @Test(arguments: Verb.all.indices) func everyExampleIsUnderstood(index: Int) throws {
        for example in Verb.all[index].examples {
            let command = example.replacing("source <(", with: "").replacing(")", with: "")
            let line = try #require(command.components(separatedBy: "brokerctl ").last)
            let plain = line.replacing("'{\"id\": 1}'", with: "{}").replacing("\"n > 5\"", with: "n>5")
            let words = plain.split(separator: " ").map(String.init)
            let call = try Invocation(parsing: words)
            #expect(call.verb.name == Verb.all[index].name, "\(example)")
        }
    }

    @Test func noVerbHidesAnother() {
        for (index, verb) in Verb.all.enumerated() {
            #expect(Verb.all.firstIndex { verb.words.starts(with: $0.words) } == index, "\(verb.name)")
        }
    }

    @Test func anOptionTakesAValueInEveryVerbOrInNone() {
        var takes: [String: Bool] = [:]
        for option in Verb.all.flatMap(\.options) + Verb.common {
            let before = takes.updateValue(option.value != nil, forKey: option.name)
            #expect(before == nil || before == (option.value != nil), "\(option.name)")
        }
    }

    @Test func theManualIsWhatTheVerbsAre() throws {
        #expect(try Self.isUpToDate("docs/brokerctl.md", Manual.text))
    }

    @Test func theCompletionFileIsWhatTheVerbsAre() throws {
        #expect(try Self.isUpToDate("Config/brokerctl.bash-completion", Completion.bash))
    }

    static func bash(_ script: String) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        process.arguments = ["--norc", "-c", script]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, output)
    }

    @Test func theCompletionScriptIsBash() throws {
        let (status, output) = try Self.bash("bash -n <<'END'\n\(Completion.bash)\nEND")
        #expect(status == 0 && output.isEmpty, "\(output)")
    }

    @Test(arguments: [
        ("brokerctl ", ["status", "queue", "--json"], ["list"]), ("brokerctl queue ", ["list", "move"], ["status"]),
        ("brokerctl queue mo", ["move"], ["list"]), ("brokerctl queue move a b --", ["--count", "--json"], ["--name"]),
        ("brokerctl --data /x queue list --na", ["--name"], ["--count"]),
        ("brokerctl consume a --ack ", ["client-individual"], ["--json"]), ("brokerctl help ", ["queue"], ["list"]),
    ])
    func completionOffersWhatFits(line: String, offered: [String], hidden: [String]) throws {
        var words = line.split(separator: " ").map(String.init)
        if line.hasSuffix(" ") { words.append("") }
        let array = words.map { "'\($0)'" }.joined(separator: " ")
        let (status, output) = try Self.bash(
            "\(Completion.bash)\nCOMP_WORDS=(\(array)); COMP_CWORD=\(words.count - 1); _brokerctl; "
                + "printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        #expect(status == 0, "\(output)")
        let replies = Set(output.split(separator: "\n").map(String.init))
        #expect(replies.isSuperset(of: offered), "\(replies)")
        #expect(replies.isDisjoint(with: hidden), "\(replies)")
    }
}
