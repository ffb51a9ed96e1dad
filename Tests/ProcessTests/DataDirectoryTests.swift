import Foundation
import Testing

extension ProcessTests {
    /// brokerctl on data directories: copies of a running broker, damage, repair.
    @Suite struct DataDirectoryTests {
        private static func run(_ words: String..., code: Int32 = 0) throws -> (output: String, errors: String) {
            let ended = try Child.run([try Programs.path("brokerctl")] + words, within: .seconds(60))
            if ended.code != code {
                throw Problem("brokerctl \(words) ended with \(ended.code): \(ended.output) \(ended.errors)")
            }
            return (ended.output, ended.errors)
        }

        private static func json(_ words: [String], code: Int32 = 0) throws -> [String: Any] {
            let ended = try Child.run([try Programs.path("brokerctl")] + words + ["--json"], within: .seconds(60))
            if ended.code != code { throw Problem("brokerctl \(words) ended with \(ended.code): \(ended.errors)") }
            let object = try JSONSerialization.jsonObject(with: Data(ended.output.utf8))
            guard let value = object as? [String: Any] else { throw Problem("no object: \(ended.output)") }
            return value
        }

        private static func messages(_ broker: BrokerProcess, _ queue: String) throws -> Int {
            let row = try Control.json(broker, "queue", "show", queue) as? [String: Any]
            return row?["messages"] as? Int ?? -1
        }

        /// Overwrites bytes of a file, as a broken disk does.
        private static func damage(_ path: String, at offset: Int, _ bytes: [UInt8]) throws {
            let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
            try file.seek(toOffset: UInt64(offset))
            try file.write(contentsOf: Data(bytes))
            try file.close()
        }

        /// Where `text` first stands in a file.
        private static func place(of text: String, in path: String) throws -> Int {
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            guard let range = data.range(of: Data(text.utf8)) else { throw Problem("\(text) is not in \(path)") }
            return range.lowerBound
        }

        /// Goal: a copy of a broker at work has all that was confirmed before, and a broker starts on it. Method:
        /// copies while somebody publishes.
        @Test func aCopyOfABrokerAtWorkCanBeRestored() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try broker.connect()
            for number in 0..<50 { try client.publish("before \(number)", to: "orders") }
            let done = home.path + "/stop"
            let publisher = try Child([
                "/bin/sh", "-c",
                "while [ ! -e \(done) ]; do \(try Programs.path("brokerctl")) publish orders x --count 20 "
                    + "--data \(broker.data) >/dev/null || exit 1; done",
            ])
            let target = home.path + "/copy"
            let said = try Control.json(broker, "backup", target) as? [String: Any]
            #expect(said?["files"] as? Int ?? 0 >= 4)
            #expect(!FileManager.default.fileExists(atPath: broker.data + "/backup"))
            _ = try home.file("stop", "")
            #expect(try publisher.exitCode() == 0)
            let all = try Self.messages(broker, "orders")
            #expect(try broker.stop() == 0)

            let restored = home.path + "/restored"
            let text = try Self.run("restore", target, restored).output
            #expect(text.contains("goes on") && text.contains("/queue/orders"))
            #expect(try Self.json(["store", "check", restored])["whole"] as? Bool == true)
            let again = try BrokerProcess(home, data: restored)
            let count = try Self.messages(again, "orders")
            #expect(count >= 50 && count <= all)
            #expect(try Control.say(again, "consume", "orders", "--body-only") == "before 0\n")
            #expect(try again.stop() == 0)
            // Neither over what is there, nor a copy that is not whole.
            _ = try Self.run("restore", target, restored, code: 7)
            try FileManager.default.removeItem(atPath: target + "/checkpoint")
            _ = try Self.run("restore", target, home.path + "/third", code: 1)
            #expect(!FileManager.default.fileExists(atPath: home.path + "/third/store"))
        }

        @Test func onlyOneCopyAtATime() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            try broker.connect().publish("x", to: "q")
            _ = try Control.say(broker, "backup", home.path + "/one")
            _ = try Control.say(broker, "backup", home.path + "/one", code: 7)
            // What was set aside for the second went with it.
            _ = try Control.say(broker, "backup", home.path + "/two")
            #expect(try broker.stop() == 0)
            #expect(try Control.say(broker, "backup", home.path + "/three", code: 3).contains("admin.sock"))
        }

        /// Goal: from damage to a broker that serves, step by step as docs/operations.md says.
        @Test func aDamagedJournalIsRepaired() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try broker.connect()
            for number in 0..<20 { try client.publish("message number \(number) of all", to: "orders") }
            #expect(try Self.run("store", "check", broker.data, code: 7).errors.contains("in use"))
            broker.kill()
            let segment = broker.data + "/journal/00000001.seg"
            let at = try Self.place(of: "message number 7 of", in: segment)
            try Self.damage(segment, at: at, Array("#######".utf8))
            let refusal = try BrokerProcess.refusal(data: broker.data)
            #expect(refusal.code == 3 && refusal.errors.contains("brokerctl store check"))

            let before = try home.contents()
            let report = try Self.json(["store", "check", broker.data], code: 6)
            #expect(report["starts"] as? Bool == false)
            let losses = report["losses"] as? [[String: Any]] ?? []
            #expect(losses.first?["queue"] as? String == "/queue/orders" && losses.first?["kind"] as? String == "lost")
            let announced = try Self.run("store", "repair", broker.data, code: 6).output
            #expect(announced.contains("loses message 8 of /queue/orders"))
            #expect(try home.contents() == before, "looking changed something")

            let repaired = try Self.run("store", "repair", broker.data, "--cut-what-is-damaged").output
            #expect(repaired.contains("loses message 8 of /queue/orders") && repaired.contains("report.txt"))
            #expect(try Self.json(["store", "check", broker.data])["whole"] as? Bool == true)
            #expect(try Self.run("store", "repair", broker.data).output.contains("nothing to repair"))
            let again = try BrokerProcess(home)
            #expect(try Self.messages(again, "orders") == 19)
            let bodies = try Control.say(again, "consume", "orders", "--count", "19", "--body-only")
            let expected = (0..<20).filter { $0 != 7 }.map { "message number \($0) of all\n" }
            #expect(bodies == expected.joined())
            #expect(try again.stop() == 0)
        }

        @Test func aDumpIsALineForEachThingWhateverClientsWrote() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            _ = try Control.say(broker, "publish", "orders", "first\n\u{1B}[2Jjournal/00000001.seg append forged")
            _ = try Control.say(broker, "publish", "other", "second")
            #expect(try broker.stop() == 0)
            let text = try Self.run("store", "dump", broker.data, "--bodies").output
            let lines = text.split(separator: "\n")
            #expect(lines.filter { $0.contains(" append ") && $0.contains("sequence=") }.count == 2)
            #expect(
                !text.contains("\u{1B}") && lines.allSatisfy { !$0.hasPrefix("journal/00000001.seg append forged") })
            #expect(text.contains("\\n\\u{1b}[2J"))
            let one = try Self.run("store", "dump", broker.data, "--queue", "other", "--json").output
            var kinds: Set<String> = []
            for line in one.split(separator: "\n") {
                let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
                kinds.insert(object?["kind"] as? String ?? "")
                #expect(object?["name"] == nil || object?["name"] as? String == "/queue/other")
                #expect(object?["content_base64"] == nil)
            }
            #expect(kinds.isSuperset(of: ["batch", "append", "createQueue"]))
        }

        @Test func whatIsNoDataDirectoryIsExitCode7() throws {
            let home = try Home()
            for verb in ["check", "repair", "dump"] {
                _ = try Self.run("store", verb, home.path + "/nothing", code: 7)
                _ = try Self.run("store", verb, home.path, code: 7)
            }
            #expect(try home.contents().isEmpty)
            #expect(!FileManager.default.fileExists(atPath: home.path + "/nothing"))
        }
    }
}
