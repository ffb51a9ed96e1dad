import Foundation
import Testing

@testable import DaemonKit

@Suite struct ArgumentsTests {
    private func configuration(_ words: String...) throws -> Configuration {
        try Arguments(words).load().configuration
    }

    private func refusal(_ words: [String]) -> String? {
        if case .refuse(let text, .badConfiguration) = Startup.prepare(words) { text } else { nil }
    }

    @Test func withoutOptionsTheDefaultsCountAndTheBrokerRuns() throws {
        let arguments = try Arguments([])
        #expect(arguments.action == .run)
        #expect(try arguments.load().configuration == Configuration())
    }

    @Test func optionsAreSettings() throws {
        let configuration = try configuration(
            "--data", "/d", "--listen", "127.0.0.1:1", "--listen=[::1]:2", "--admin", "unix:/a", "--log-level", "debug",
            "--log-format=json", "--set", "limits.body_bytes=1 MiB", "--set", "stomp.hosts=a, b",
            "--set=stomp.strict_host=true")
        #expect(configuration.data == "/d")
        #expect(configuration.listen.map { "\($0)" } == ["127.0.0.1:1", "[::1]:2"])
        #expect(configuration.adminAddresses.map { "\($0)" } == ["unix:/a"])
        #expect(configuration.log.level == .debug)
        #expect(configuration.log.format == .json)
        #expect(configuration.limits.bodyBytes == 1 << 20)
        #expect(configuration.stomp.hosts == ["a", "b"])
        #expect(configuration.stomp.strictHost)
    }

    @Test func theAdminSocketLiesInTheDataDirectoryUnlessSaidOtherwise() throws {
        #expect(try configuration("--data", "/d").adminAddresses.map { "\($0)" } == ["unix:/d/admin.sock"])
        #expect(try configuration("--data", "/d/").adminAddresses.map { "\($0)" } == ["unix:/d/admin.sock"])
    }

    @Test(arguments: [
        (["--dat", "x"], "brokerd: there is no option \"--dat\"; did you mean --data?\n"),
        (["--data"], "brokerd: --data wants a value\n"),
        (["--data", "--listen"], "brokerd: --data wants a value, but \"--listen\" follows\n"),
        (["--data="], "brokerd: --data wants a value, not an empty one\n"),
        (["--version=1"], "brokerd: --version takes no value\n"),
        (["serve"], "brokerd: \"serve\" is not an option; brokerd --help lists them\n"),
        (["--set", "x"], "brokerd: --set wants name=value, not \"x\"\n"),
        (
            ["--set", "limits.queue=1"],
            "brokerd: --set limits.queue: there is no setting \"limits.queue\"; did you mean limits.queues?\n"
        ),
        (
            ["--set", "limits.queues=many"],
            "brokerd: --set limits.queues: limits.queues is \"many\"; it must be a whole number from 1 to 10000000\n"
        ),
        (
            ["--log-level", "x", "--set", "io.loops=-1"],
            "brokerd: --log-level: log.level is \"x\"; it must be one of \"error\", \"warning\", \"info\", \"debug\"\nbrokerd: --set io.loops: io.loops is -1; it must be a whole number from 0 to 256\n"
        ),
        (
            ["--set", "data=a,b=c", "--set", "stomp.strict_host=yes"],
            "brokerd: --set stomp.strict_host: stomp.strict_host is \"yes\"; it must be true or false\n"
        ),
    ])
    func wrongUsageIsRefusedWithCodeTwoAndARemedy(words: [String], text: String) {
        #expect(refusal(words) == text)
    }

    @Test func listeningForOtherMachinesIsRefused() throws {
        let text = try #require(refusal(["--listen", "0.0.0.0:61613"]))
        #expect(text.contains("has no login"))
    }

    @Test func aMissingFileIsRefusedWithItsName() throws {
        let text = try #require(refusal(["--config", "/nowhere/brokerd.json5"]))
        #expect(text.hasPrefix("brokerd: /nowhere/brokerd.json5: the file cannot be read"))
        #expect(refusal(["--config", "/"]) == "brokerd: /: it is not a regular file\n")
    }

    /// A pipe that nobody writes into would keep the broker from starting, without a word.
    @Test func aPipeIsNoConfigurationFile() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("brokerd-\(UUID())").path
        try #require(mkfifo(path, 0o600) == 0)
        defer { unlink(path) }
        #expect(refusal(["--config", path]) == "brokerd: \(path): it is not a regular file\n")
    }

    @Test func theFileIsReadAgainForEachLoadAndOptionsStillGoBefore() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("brokerd-\(UUID()).json5").path
        defer { unlink(path) }
        func write(_ text: String) throws { try text.write(toFile: path, atomically: true, encoding: .utf8) }

        try write("{ log: { level: 'info' }, limits: { queues: 5 } }")
        let arguments = try Arguments(["--config", path, "--set", "limits.queues=6"])
        #expect(try arguments.load().configuration.log.level == .info)
        try write("{ log: { level: 'debug' }, limits: { queues: 7 } }")
        #expect(try arguments.load().configuration.log.level == .debug)
        #expect(try arguments.load().configuration.limits.queues == 6)
        try write("{ log: ")
        #expect(throws: ConfigurationError.self) { try arguments.load() }
        try Data([0x7b, 0xff, 0x7d]).write(to: URL(fileURLWithPath: path))
        #expect(throws: ConfigurationError.self) { try arguments.load() }
        try Data(repeating: 0x20, count: 2 << 20).write(to: URL(fileURLWithPath: path))
        #expect(throws: ConfigurationError.self) { try arguments.load() }
    }

    @Test func questionsAreAnsweredWithoutStarting() {
        #expect(Startup.prepare(["--version"]) == .answer("brokerd \(Product.version)\n"))
        #expect(Startup.prepare(["--check-config"]) == .answer("the configuration is right\n"))
        #expect(refusal(["--check-config", "--set", "io.loops=x"]) != nil)
        guard case .answer(let help) = Startup.prepare(["--set", "nonsense=1", "--help", "--version"]) else {
            Issue.record("--help was not answered")
            return
        }
        for setting in Settings.all { #expect(help.contains("  \(setting.name) ")) }
    }

    @Test func whatIsPrintedIsAFileThatMeansTheSame() throws {
        let words = [
            "--set", "limits.body_bytes=2 MiB", "--data", "/a \"quoted\"/\u{1b}[2J", "--set", "stomp.hosts=a,b",
            "--print-config",
        ]
        guard case .answer(let text) = Startup.prepare(words) else {
            Issue.record("--print-config was not answered")
            return
        }
        #expect(!text.unicodeScalars.contains("\u{1b}"))
        let again = try EffectiveConfiguration.judge(text: text, file: "printed", overrides: [])
        #expect(try again.configuration == Arguments(words).load().configuration)
    }
}
