import Base
import Testing

@testable import DaemonKit

@Suite struct SettingsTests {
    private func judge(_ text: String, overrides: [EffectiveConfiguration.Override] = []) throws
        -> EffectiveConfiguration
    {
        try EffectiveConfiguration.judge(text: text, file: "f.json5", overrides: overrides)
    }

    private func problems(_ text: String) -> [String] {
        do {
            _ = try judge(text)
            return []
        } catch {
            return (error as? ConfigurationError)?.problems.map(\.description) ?? ["\(error)"]
        }
    }

    @Test func everyNameIsWellFormedAndThereOnce() {
        let names = Settings.all.map(\.name)
        #expect(Set(names).count == names.count)
        for setting in Settings.all {
            let parts = setting.name.split(separator: ".", omittingEmptySubsequences: false)
            #expect(parts.allSatisfy { $0.wholeMatch(of: /[a-z][a-z_]*/) != nil }, "\(setting.name)")
            #expect(setting.why.hasSuffix("."), "\(setting.name)")
        }
    }

    @Test func sizesAndTimesHaveTheirUnitInTheName() {
        for setting in Settings.all {
            guard case .bytes = setting.kind else { continue }
            let isRate = setting.name.contains("_bytes_per_second")
            #expect(isRate || setting.name.hasSuffix("bytes"), "\(setting.name)")
        }
    }

    /// Goal: a property that nobody can set is a lie. Method: there are as many lines in the table
    /// as there are properties, and each line changes what it reads.
    @Test func everyPropertyHasItsLine() {
        func count(_ value: Any) -> Int {
            let mirror = Mirror(reflecting: value)
            if mirror.displayStyle != .struct { return 1 }
            if value is String || value is [String] || value is Int { return 1 }
            return mirror.children.reduce(0) { $0 + count($1.value) }
        }
        // And the policies, which have a table of their own.
        #expect(count(Configuration()) == Settings.all.count + 1)
    }

    @Test func defaultsAreAllowedAndDoNotContradictEachOther() throws {
        for setting in Settings.all {
            var configuration = Configuration()
            try setting.write(setting.standard, &configuration)
            #expect(configuration == Configuration(), "\(setting.name)")
        }
        #expect(Configuration().contradictions().isEmpty)
        #expect(try judge("{}").configuration == Configuration())
    }

    @Test func bothEndsOfEachRangeAreAllowedAndNothingBeyond() throws {
        for setting in Settings.all {
            let range: ClosedRange<Int>
            switch setting.kind {
            case .number(let numbers): range = numbers
            case .bytes(let bytes): range = bytes
            default: continue
            }
            var configuration = Configuration()
            for end in [range.lowerBound, range.upperBound] {
                try setting.write(.number(end), &configuration)
                #expect(setting.value(in: configuration) == .number(end), "\(setting.name)")
            }
            for beyond in [range.lowerBound - 1, range.upperBound + 1, .min, .max] {
                #expect(throws: Setting.Refusal.self, "\(setting.name) = \(beyond)") {
                    try setting.write(.number(beyond), &configuration)
                }
            }
        }
    }

    @Test func everySettingRefusesValuesOfAnotherKind() {
        for setting in Settings.all {
            var configuration = Configuration()
            let wrong: SettingValue = if case .flag = setting.kind { .number(1) } else { .flag(true) }
            #expect(throws: Setting.Refusal.self, "\(setting.name)") { try setting.write(wrong, &configuration) }
            #expect(throws: Setting.Refusal.self, "\(setting.name)") {
                try setting.write(.other("null"), &configuration)
            }
        }
    }

    @Test func aFileChangesWhatItNamesAndSaysWhere() throws {
        let effective = try judge("{\n limits: { body_bytes: '1 MiB',\n queues: 5 } }")
        #expect(effective.configuration.limits.bodyBytes == 1 << 20)
        #expect(effective.configuration.limits.queues == 5)
        #expect(effective.origin(of: "limits.queues") == .file("f.json5", line: 3))
        #expect(effective.origin(of: "listen") == .standard)
    }

    @Test func optionsGoBeforeTheFileAndLastOptionBeforeTheFirst() throws {
        let effective = try judge(
            "{ limits: { queues: 5 } }",
            overrides: [
                .init(name: "limits.queues", value: .number(6), option: "--set limits.queues"),
                .init(name: "limits.queues", value: .number(7), option: "--set limits.queues"),
            ])
        #expect(effective.configuration.limits.queues == 7)
        #expect(effective.origin(of: "limits.queues") == .option("--set limits.queues"))
    }

    @Test(arguments: [
        ("{ limit: { queues: 5 } }", "f.json5:1: there is no setting \"limit.queues\"; did you mean limits.queues?"),
        ("{\n body_bytes: 5 }", "f.json5:2: there is no setting \"body_bytes\"; did you mean limits.body_bytes?"),
        ("{ xyzzy: 5 }", "f.json5:1: there is no setting \"xyzzy\"; brokerd --print-config lists them"),
        (
            "{ limits: { queues: '5' } }",
            "f.json5:1: limits.queues is \"5\"; it must be a whole number from 1 to 10000000"
        ),
        (
            "{ limits: { body_bytes: '33 MiB' } }",
            "f.json5:1: limits.body_bytes is 34603008; it must be from 1 KiB to 32 MiB"
        ),
        (
            "{ log: { level: 'loud' } }",
            "f.json5:1: log.level is \"loud\"; it must be one of \"error\", \"warning\", \"info\", \"debug\""
        ),
        ("{ data: '' }", "f.json5:1: data is \"\": a path is wanted"),
        (
            "{ listen: ['127.0.0.1'] }",
            "f.json5:1: listen holds \"127.0.0.1\": HOST:PORT or unix:PATH is expected"
        ),
        ("{ stomp: { strict_host: 1 } }", "f.json5:1: stomp.strict_host is 1; it must be true or false"),
        ("{ data: 'a',\n data: 'b' }", "f.json5:2: data was already set (f.json5:1)"),
        ("{ limits: 5 }", "f.json5:1: limits is 5, but it is a section and must be an object, limits: { … }"),
        ("{ a: 1, ", "f.json5:1:9: the file is not JSON5: a name is missing"),
        ("{ '\\u001b[2J': 1 }", "f.json5:1: there is no setting \"\\u001b[2J\"; brokerd --print-config lists them"),
    ])
    func whatIsWrongIsSaidWithPlaceAndRemedy(text: String, sentence: String) {
        #expect(problems(text) == [sentence])
    }

    @Test func everythingThatIsWrongIsSaidAtOnce() {
        #expect(problems("{ a: 1,\n log: { level: 1 },\n data: '' }").count == 3)
    }

    @Test func anEmptySectionIsHarmlessAndAnUnknownOneIsNot() {
        #expect(problems("{ limits: {} }").isEmpty)
        #expect(problems("{ limitz: {} }").count == 1)
    }

    @Test(arguments: [
        "{ listen: [] }",
        "{ limits: { header_line_bytes: '128 KiB' } }",
        "{ limits: { before_login: { head_bytes: 1024 } } }",
        "{ limits: { head_bytes: '16 KiB', before_login: { head_bytes: '17 KiB' } } }",
        "{ journal: { segment_bytes: '16 MiB' } }",
        "{ limits: { body_bytes: '32 MiB', transaction_operations: 100000, }, topic: { subscriber_backlog_bytes: '32 MiB' }, journal: { segment_bytes: '38 MiB' } }",
        "{ journal: { segments: 24 } }",
        "{ disk: { low_bytes: '512 MiB' } }",
        "{ topic: { subscriber_backlog_bytes: '1 MiB' } }",
        "{ heart_beat: { server_milliseconds: 50 } }",
    ])
    func settingsThatContradictEachOtherAreRefused(text: String) {
        #expect(problems(text).count == 1, "\(problems(text))")
    }

    @Test func aDataDirectoryTooLongForItsSocketIsRefusedUnlessTheSocketIsElsewhere() {
        let long = String(repeating: "d", count: 120)
        #expect(problems("{ data: '/\(long)' }").count == 1)
        #expect(problems("{ data: '/\(long)', admin: ['unix:/run/b.sock'] }").isEmpty)
    }

    @Test func segmentsHoldTheLargestBatchOfAnyAllowedConfiguration() throws {
        let effective = try judge(
            "{ limits: { body_bytes: '1 MiB', transaction_bytes: '1 MiB', transaction_operations: 1000 }, journal: { segment_bytes: '2 MiB' } }"
        )
        let configuration = effective.configuration
        #expect(configuration.batchPayloadBytes >= configuration.messageBytesMax)
        #expect(configuration.batchPayloadBytes < configuration.journal.segmentBytes)
    }

    @Test func sizesAreReadAsTheyArePrinted() {
        for bytes in [0, 1, 1000, 1024, 1 << 20, 3 << 30, 1536] {
            #expect(ByteSize.parse(ByteSize.text(bytes)) == bytes)
        }
        #expect(ByteSize.parse("4GiB") == 4 << 30)
        for wrong in ["", "MiB", "1 MB", "-1 MiB", "1.5 MiB", "+1", "1 MiB ", "99999999999 GiB", "٣ MiB"] {
            #expect(ByteSize.parse(wrong) == nil, "\(wrong)")
        }
    }

    @Test func changesAreSortedByWhatTheyTake() {
        var new = Configuration()
        new.log.level = .debug
        new.limits.bodyBytes = 1 << 20
        new.data = "/elsewhere"
        let changes = Configuration.changes(from: Configuration(), to: new)
        #expect(changes == .init(live: ["limits.body_bytes", "log.level"], needsRestart: ["data"]))
        #expect(Configuration.changes(from: new, to: new).isEmpty)

        let running = Configuration().takingLive(from: new)
        #expect(running.log.level == .debug && running.limits.bodyBytes == 1 << 20 && running.data == "./data")
    }
}
