import Foundation
import Testing

@testable import DaemonKit

@Suite struct LogTests {
    private func line(
        _ message: String, _ fields: LogFields = [:], level: LogLevel = .info, form: LogLine.Form = .text
    ) -> String {
        var line: [UInt8] = []
        LogLine.append(message, fields, level: level, milliseconds: 1_795_259_298_007, form: form, to: &line)
        return String(decoding: line, as: UTF8.self)
    }

    // MARK: Lines

    @Test func textLinesAreForPeople() {
        #expect(
            line(
                "listening",
                ["address": "127.0.0.1:61613", "connections": 10, "tls": false, "queue": "a b", "none": ""])
                == "2026-11-21T11:08:18.007Z info    listening address=127.0.0.1:61613 connections=10 tls=false queue=\"a b\" none=\"\"\n"
        )
        #expect(line("x", level: .warning).contains("Z warning x\n"))
    }

    @Test func journaldGetsThePriorityAndNoTime() {
        #expect(
            line("stopping", ["after_seconds": 3], level: .error, form: .journald) == "<3>stopping after_seconds=3\n")
    }

    @Test func jsonLinesAreJSON() throws {
        let text = line(
            "a \"b\"\n",
            [
                "n": .number(UInt64.max), "b": true, "t": "\u{1b}[31m\\ \u{202e} \u{1F600} \u{E0041}",
                "passcode": "hunter2",
            ], form: .json)
        #expect(text.hasSuffix("}\n") && text.filter { $0 == "\n" }.count == 1)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["time"] as? String == "2026-11-21T11:08:18.007Z")
        #expect(object["level"] as? String == "info")
        #expect(object["message"] as? String == "a \"b\"\n")
        #expect(object["n"] as? Int64 == .max)
        #expect(object["b"] as? Bool == true)
        #expect(object["t"] as? String == "\u{1b}[31m\\ \u{202e} \u{1F600} \u{E0041}")
        #expect(object["passcode"] as? String == "[redacted]")
    }

    /// Fault case S24: nothing from outside may start a line, move the cursor or turn the text round.
    @Test(arguments: [
        "\n", "\r", "\r\n", "\u{1b}[2J", "\u{7f}", "\u{9b}31m", "\u{202e}", "\u{2066}", "\u{200f}", "\u{61c}",
        "\u{2028}", "\u{2029}", "\0", "\u{feff}",
        "\u{e000}", "\u{E0041}",
    ])
    func nothingFromOutsideActsOnTheReader(nasty: String) {
        for form in [LogLine.Form.text, .journald, .json] {
            let text = line("m\(nasty)", ["k": .text("v\(nasty)")], form: form)
            let rest = text.dropLast().unicodeScalars
            for scalar in nasty.unicodeScalars where scalar.value != 0x5b && !("0"..."z" ~= Character(scalar)) {
                #expect(!rest.contains(scalar), "\(form)")
            }
        }
    }

    @Test func noValueCanLookLikeTwoFields() {
        #expect(line("m", ["k": "a b=c"]).hasSuffix(" m k=\"a b=c\"\n"))
        #expect(line("m", ["k": "a\" b=\"c"]).hasSuffix(#" m k="a\" b=\"c""# + "\n"))
        #expect(line("m", ["k": #"a\"#]).hasSuffix(#" m k="a\\""# + "\n"))
    }

    @Test func longTextsAreCutAndSaidToBe() {
        let text = line("m", ["k": .text(String(repeating: "é", count: 10_000))])
        #expect(text.utf8.count < 700)
        #expect(text.hasSuffix("…(19488 more bytes)\"\n"))
        #expect(line(String(repeating: "\n", count: 10_000)).utf8.count < 700)
    }

    @Test func timesAreRightAtTheirEdges() {
        for (milliseconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"), (951_782_400_999, "2000-02-29T00:00:00.999Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
        ] {
            var line: [UInt8] = []
            LogLine.appendTime(UInt64(milliseconds), to: &line)
            #expect(String(decoding: line, as: UTF8.self) == text)
        }
    }

    // MARK: Secrets

    @Test func secretsAreNeverWrittenWhateverIsPassed() {
        let text = line(
            "login",
            [
                "login": "amy", "passcode": "hunter2", "admin_token": 123_456, "Authorization": "Basic aHVudGVyMg==",
                "client-secret": "s3",
            ])
        #expect(
            !text.contains("hunter2") && !text.contains("123456") && !text.contains("aHVud") && !text.contains("s3"))
        #expect(text.contains("login=amy"))
    }

    @Test func aRedactedSecretShowsNothingByMistake() {
        struct Login {
            let name = "amy"
            let passcode = Redacted("hunter2")
        }
        var dumped = ""
        dump(Login(), to: &dumped)
        for text in [
            "\(Login())", String(reflecting: Login()), "\(Login().passcode)", dumped,
            "\(Mirror(reflecting: Login().passcode).children.map(\.value))",
        ] {
            #expect(!text.contains("hunter2"))
        }
        #expect(Login().passcode.revealed == "hunter2")
    }

    // MARK: The queue and its thread

    /// A pipe whose reading end the test holds.
    private final class Pipe: Sendable {
        let reading: Int32
        let writing: Int32

        init() throws {
            var ends: [Int32] = [0, 0]
            try #require(pipe(&ends) == 0)
            (reading, writing) = (ends[0], ends[1])
        }

        deinit {
            close(reading)
            close(writing)
        }

        /// Reads until `text` has come, at most ten seconds.
        func read(until text: String) -> String {
            var all: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            let deadline = DispatchTime.now() + .seconds(10)
            while DispatchTime.now() < deadline {
                var poll = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
                guard Glibc.poll(&poll, 1, 1000) > 0 else { continue }
                let count = Glibc.read(reading, &buffer, buffer.count)
                if count <= 0 { break }
                all += buffer[..<count]
                if String(decoding: all.suffix(4096 + text.utf8.count), as: UTF8.self).contains(text) { break }
            }
            return String(decoding: all, as: UTF8.self)
        }
    }

    @Test func linesComeOutInOrderAndAllOfThemBeforeClosing() throws {
        let pipe = try Pipe()
        let log = Log(level: .info, form: .text, descriptor: pipe.writing)
        for number in 0..<500 { log.info("line", ["number": .number(number)]) }
        log.close(within: 10_000)
        log.info("too late")
        let text = pipe.read(until: "number=499\n")
        let numbers = text.split(separator: "\n").compactMap { $0.split(separator: "=").last }.compactMap { Int($0) }
        #expect(numbers == Array(0..<500))
        #expect(log.dropped == 1)
    }

    @Test func theLevelDecidesAndMayChange() throws {
        let pipe = try Pipe()
        let log = Log(level: .warning, form: .text, descriptor: pipe.writing)
        defer { log.close(within: 10_000) }
        log.info("one")
        log.debug("two")
        log.warning("three")
        log.setLevel(.debug)
        log.debug("four")
        log.setLevel(.error)
        log.warning("five")
        log.error("six")
        let words = pipe.read(until: "six\n").split(separator: "\n").compactMap { $0.split(separator: " ").last }
        #expect(words == ["three", "four", "six"])
        #expect(!log.writes(.warning) && log.writes(.error))
    }

    @Test func aLineBelowTheLevelCostsNoWork() throws {
        let pipe = try Pipe()
        let log = Log(level: .info, form: .text, descriptor: pipe.writing)
        defer { log.close(within: 10_000) }
        func costly() -> String {
            Issue.record("the message was made")
            return ""
        }
        log.debug(costly(), ["k": .text(costly())])
    }

    /// Fault case 62. Goal: a collector that stands still stops nobody, memory stays bounded, and
    /// what was lost is said. Method: log much more than pipe and queue hold with nobody reading,
    /// then read.
    @Test func aBlockedCollectorNeverBlocksTheCallerAndLossesAreCounted() throws {
        let pipe = try Pipe()
        let log = Log(level: .info, form: .text, descriptor: pipe.writing)
        let filler = String(repeating: "f", count: 400)
        for _ in 0..<10_000 { log.info("filling", ["filler": .text(filler)]) }
        #expect(log.dropped > 5000)

        let lost = "log lines were dropped because standard error was blocked"
        let text = pipe.read(until: lost)
        #expect(text.contains(lost))
        let written = text.split(separator: "\n").filter { $0.contains("filling") }.count
        #expect(written + Int(log.dropped) == 10_000)
        log.info("after")
        #expect(pipe.read(until: "after\n").contains("after\n"))
        log.close(within: 10_000)
    }

    @Test func closingDoesNotWaitForACollectorThatStandsStill() throws {
        let pipe = try Pipe()
        let log = Log(level: .info, form: .text, descriptor: pipe.writing)
        for _ in 0..<1000 { log.info(String(repeating: "f", count: 400)) }
        log.info("last")
        log.close(within: 10)
        // Returning at all is the claim; let the thread end before its pipe does.
        #expect(pipe.read(until: "last\n").hasSuffix("last\n"))
    }

    @Test func aClosedCollectorOnlyCostsTheLines() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        close(ends[0])
        Signals.ignoreThoseThatErrorsTell()
        let log = Log(level: .info, form: .text, descriptor: ends[1])
        log.info("nobody hears this")
        log.close(within: 10_000)
        #expect(log.dropped == 1)
        close(ends[1])
    }

    @Test func journaldIsRecognisedByItsStream() throws {
        let pipe = try Pipe()
        var status = stat()
        try #require(fstat(pipe.writing, &status) == 0)
        #expect(JournalStream.isBehind(pipe.writing, named: "\(status.st_dev):\(status.st_ino)"))
        #expect(!JournalStream.isBehind(pipe.writing, named: "1:1"))
        #expect(!JournalStream.isBehind(pipe.writing, named: nil))
        #expect(!JournalStream.isBehind(-1, named: "1:1"))
    }
}
