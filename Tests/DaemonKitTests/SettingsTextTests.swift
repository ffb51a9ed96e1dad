import Foundation
import Testing

@testable import DaemonKit

/// The documents that are made from the table of settings say what the table says. To write them
/// anew: `BROKERD_WRITE_DOCS=1 swift test --filter SettingsTextTests`.
@Suite struct SettingsTextTests {
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    private static let isWriting = ProcessInfo.processInfo.environment["BROKERD_WRITE_DOCS"] == "1"

    private func held(_ path: String, to made: (String) -> String?) throws {
        let file = Self.root.appendingPathComponent(path)
        let written = try String(contentsOf: file, encoding: .utf8)
        let wanted = try #require(made(written), "\(path) has no place for the table")
        if Self.isWriting { try wanted.write(to: file, atomically: true, encoding: .utf8) }
        #expect(written == wanted || Self.isWriting, "\(path) is not what the table of settings makes")
    }

    @Test func theSampleConfigurationIsMadeFromTheTable() throws {
        try held("Config/brokerd.json5") { _ in SettingsText.sample }
    }

    @Test func theTableInTheDocumentationIsMadeFromTheTable() throws {
        try held("docs/configuration.md") { written in
            let begin = "<!-- begin of the table made from Sources/DaemonKit/Settings/Settings.swift -->\n"
            let end = "<!-- end of the table -->"
            guard let first = written.range(of: begin), let last = written.range(of: end) else { return nil }
            return written[..<first.upperBound] + SettingsText.markdownTable + written[last.lowerBound...]
        }
    }

    @Test func theTableOfDestinationsSettingsIsMadeFromTheirTable() throws {
        try held("docs/policies.md") { written in
            let begin = "<!-- begin of the table made from Sources/BrokerCore/QueueSetting+All.swift -->\n"
            let end = "<!-- end of the table -->"
            guard let first = written.range(of: begin), let last = written.range(of: end) else { return nil }
            return written[..<first.upperBound] + PolicyText.markdownTable + written[last.lowerBound...]
        }
    }

    @Test func theUsageInTheDocumentationIsThatOfTheProgram() throws {
        let document = try String(
            contentsOf: Self.root.appendingPathComponent("docs/configuration.md"), encoding: .utf8)
        let usage = try #require(SettingsText.help.range(of: "usage: "))
        let end = try #require(SettingsText.help.range(of: "\n\n  --config"))
        #expect(document.contains(SettingsText.help[usage.lowerBound..<end.lowerBound]))
    }

    /// As it is, the sample sets nothing; with the slashes away, it sets every default.
    @Test func theSampleConfigurationIsRightAsItIsAndWithTheSlashesAway() throws {
        let asItIs = try EffectiveConfiguration.judge(text: SettingsText.sample, file: "s", overrides: [])
        #expect(asItIs.configuration == Configuration())

        let names = Settings.all.compactMap { $0.name.split(separator: ".").last }
        let uncommented = SettingsText.sample.split(separator: "\n").map { line in
            names.contains { line.contains("// \($0): ") }
                ? line.replacingOccurrences(of: "// ", with: "") : String(line)
        }
        let all = try EffectiveConfiguration.judge(
            text: uncommented.joined(separator: "\n"), file: "s", overrides: [])
        #expect(all.configuration == Configuration())
        for setting in Settings.all { #expect(all.origin(of: setting.name) != .standard, "\(setting.name)") }
    }

    @Test func printedLinesFitOnATerminal() {
        for line in SettingsText.sample.split(separator: "\n") { #expect(line.count <= 110, "\(line)") }
        for line in SettingsText.help.split(separator: "\n") { #expect(line.count <= 100, "\(line)") }
    }
}
