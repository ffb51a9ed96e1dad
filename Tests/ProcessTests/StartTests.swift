import Foundation
import Glibc
import Testing

extension ProcessTests {
    /// What the program says before it serves, and how it ends when it cannot.
    @Suite struct StartTests {
        @Test func versionHelpAndCheckAnswerAndEndWithZero() throws {
            let home = try Home()
            let version = try Child.run(BrokerProcess.command(data: home.path + "/data", ["--version"]))
            #expect(version.code == 0)
            #expect(version.output.wholeMatch(of: /brokerd \d+\.\d+\.\d+\n/) != nil, "\(version.output)")
            let help = try Child.run(BrokerProcess.command(data: home.path + "/data", ["--help"]))
            #expect(help.code == 0)
            for word in ["usage: brokerd", "--check-config", "--print-config", "limits.body_bytes"] {
                #expect(help.output.contains(word), "help does not speak of \(word)")
            }
            let check = try Child.run(BrokerProcess.command(data: home.path + "/data", ["--check-config"]))
            #expect(check.code == 0)
            #expect(check.output == "the configuration is right\n")
            #expect(!FileManager.default.fileExists(atPath: home.path + "/data"), "asking made a data directory")
        }

        @Test func whatPrintConfigPrintsReadsBackAsTheSameConfiguration() throws {
            let home = try Home()
            let brokerd = try Programs.path("brokerd")
            let first = try Child.run([
                brokerd, "--print-config", "--set", "limits.body_bytes=3 MiB", "--listen", "127.0.0.1:7001", "--listen",
                "[::1]:7002", "--set", "stomp.hosts=a.example,b.example",
            ])
            #expect(first.code == 0)
            let file = try home.file("printed.json5", first.output)
            let second = try Child.run([brokerd, "--config", file, "--print-config"])
            #expect(second.code == 0, "\(second.errors)")
            #expect(Self.values(second.output) == Self.values(first.output))
            #expect(second.output.contains("\"[::1]:7002\""))
            #expect(second.output.contains("\"b.example\""))
        }

        /// Without comments, which say where each value comes from.
        private static func values(_ text: String) -> [String] {
            text.split(separator: "\n").map { line in
                let code = line.range(of: "//").map { line[..<$0.lowerBound] } ?? line
                return code.trimmingCharacters(in: .whitespaces)
            }
            .filter { !$0.isEmpty }
        }

        struct Mistake: CustomTestStringConvertible {
            var text: String
            /// All of these must be said.
            var words: [String]
            var testDescription: String { words.joined(separator: ", ") }
        }

        @Test(arguments: [
            Mistake(
                text: "{\n  limits: {\n    body_byte: 1,\n  },\n}",
                words: [":3: ", "limits.body_byte", "limits.body_bytes?"]),
            Mistake(text: "{\n  limits: { headers: 5 },\n}", words: [":2: ", "limits.headers is 5", "8 to 4096"]),
            Mistake(
                text: "{\n\n  stomp: { strict_host: \"x\" },\n}", words: [":3: ", "stomp.strict_host", "true or false"]),
            Mistake(
                text: "{ disk: { low_bytes: \"2 GiB\", high_bytes: \"1 GiB\" } }",
                words: ["disk.high_bytes", "disk.low_bytes"]),
            Mistake(text: "{ listen: [\"0.0.0.0:61613\"] }", words: ["0.0.0.0:61613", "127.0.0.1"]),
            Mistake(text: "{ listen: [\"[::]:61613\"] }", words: ["[::]:61613", "127.0.0.1"]),
            Mistake(text: "{ journal: { segments_max: 100 } }", words: ["journal.segments_max is 100", "3 to 60"]),
            Mistake(
                text: "{ journal: { segment_bytes: 67108865 } }", words: ["journal.segment_bytes", "multiple of 4096"]),
            Mistake(text: "{ limits: { headers: 9, headers: 10 } }", words: ["limits.headers"]),
            Mistake(text: "{ limits: ", words: [":1"]),
        ])
        func aMistakeInTheFileEndsTheStartWithTwoAndIsNamed(mistake: Mistake) throws {
            let home = try Home()
            let file = try home.file("brokerd.json5", mistake.text)
            for more in [[], ["--check-config"]] {
                let command = try [Programs.path("brokerd"), "--data", home.path + "/data", "--config", file]
                let ended = try Child.run(command + more)
                #expect(ended.code == 2)
                for word in mistake.words + [file] {
                    #expect(ended.errors.contains(word), "not \(word) in: \(ended.errors)")
                }
            }
            #expect(
                !FileManager.default.fileExists(atPath: home.path + "/data"), "a refused start made a data directory")
        }

        @Test(arguments: [
            ["--no-such-option"], ["--set", "no.such=1"], ["--set", "limits.body_bytes=-1"], ["--listen", "nonsense"],
            ["--listen", "192.0.2.1:61613"], ["--config", "/nonexistent/brokerd.json5"], ["--data"], ["stray"],
        ])
        func aMistakeOnTheCommandLineEndsTheStartWithTwo(arguments: [String]) throws {
            let ended = try Child.run([Programs.path("brokerd")] + arguments)
            #expect(ended.code == 2)
            #expect(ended.errors.hasPrefix("brokerd: "), "\(ended.errors)")
        }

        @Test func allMistakesAreSaidAtOnce() throws {
            let home = try Home()
            let file = try home.file(
                "brokerd.json5", "{\n  no: 1,\n  limits: { headers: 1 },\n  log: { level: \"loud\" },\n}")
            let ended = try Child.run([Programs.path("brokerd"), "--config", file])
            #expect(ended.errors.split(separator: "\n").count == 3, "\(ended.errors)")
        }

        @Test func aPortInUseEndsTheStartWithOneAndIsNamed() throws {
            let home = try Home()
            let first = try BrokerProcess(home)
            let ended = try BrokerProcess.refusal(data: home.path + "/other", listen: ["127.0.0.1:\(first.port)"])
            #expect(ended.code == 1)
            #expect(ended.errors.contains("127.0.0.1:\(first.port)"), "\(ended.errors)")
            #expect(ended.errors.contains("in use"), "\(ended.errors)")
        }

        @Test func aSecondBrokerOnADirectoryIsRefusedAndTheFirstGoesOn() throws {
            let home = try Home()
            let first = try BrokerProcess(home)
            let client = try first.connect()
            try client.publish("before", to: "q")
            let ended = try BrokerProcess.refusal(data: first.data)
            #expect(ended.code == 1)
            #expect(ended.errors.contains("in use: process \(first.child.id) has it"), "\(ended.errors)")
            try client.publish("after", to: "q")
            #expect(try Child.run(Control.command(first, ["status"])).code == 0, "the admin socket is gone")
            #expect(try first.drain("q") == ["before", "after"])
            #expect(try first.stop() == 0)
        }

        @Test func aDataDirectoryThatCannotBeUsedEndsTheStartWithOne() throws {
            let home = try Home()
            let file = try home.file("file", "something else")
            // Nobody may write in /sys/kernel, whoever asks.
            for (place, name) in [
                (file, file), ("/sys/kernel", "lock"), ("/sys/none", "/sys/none"), (home.path + "/a/b", "/a/b"),
            ] {
                let ended = try BrokerProcess.refusal(data: place)
                #expect(ended.code == 1, "\(place): \(ended.errors)")
                #expect(
                    ended.errors.contains("the data directory cannot be used") && ended.errors.contains(name),
                    "\(ended.errors)")
            }
            #expect(try String(contentsOfFile: file, encoding: .utf8) == "something else")
        }

        @Test func aStoreOfANewerBrokerIsRefusedAndLeftAsItIs() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            try broker.connect().publish("kept", to: "q")
            #expect(try broker.stop() == 0)
            let url = URL(fileURLWithPath: broker.data + "/store")
            let original = try Data(contentsOf: url)
            // | magic 8 | version 4 | checksum of what follows 4 | ...
            var newer = original
            newer[8] = 4
            try newer.write(to: url)
            let before = try home.contents()
            let ended = try BrokerProcess.refusal(data: broker.data)
            #expect(ended.code == 3)
            #expect(
                ended.errors.contains("format version 4") && ended.errors.contains("newer brokerd"), "\(ended.errors)")
            #expect(try home.contents() == before)
            try original.write(to: url)
            #expect(try BrokerProcess(home).drain("q") == ["kept"])
        }

        @Test func severalAddressesAndIPv6AreServedTogether() throws {
            let home = try Home()
            let broker = try BrokerProcess(home, listen: ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"])
            #expect(broker.addresses.count == 3)
            #expect(Set(broker.addresses).count == 3)
            for (index, address) in broker.addresses.enumerated() {
                let port = try #require(address.split(separator: ":").last.flatMap { UInt16($0) })
                #expect(address.hasPrefix("[::1]:") == (index == 1))
                let client = try RawClient(port: port, ipv6: index == 1)
                try client.login()
                try client.publish("from \(index)", to: "q")
            }
            #expect(try broker.drain("q") == ["from 0", "from 1", "from 2"])
        }
    }
}
