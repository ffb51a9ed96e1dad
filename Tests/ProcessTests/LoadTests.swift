import Foundation
import Glibc
import Testing

extension ProcessTests {
    /// What one client, or whoever reads the log, must not do to the others.
    @Suite struct LoadTests {
        @Test func aLogThatNobodyReadsDoesNotHoldMessagesUp() throws {
            let home = try Home()
            let broker = try BrokerProcess(home, ["--log-level", "debug"])
            // Nobody reads its standard error now. Each connection is worth some lines; the pipe takes 64 KiB.
            for number in 0..<600 {
                let client = try broker.connect()
                if number % 100 == 0 { try client.publish("\(number)", to: "q") }
            }
            let client = try broker.connect()
            for number in 0..<100 { try client.publish("\(number)", to: "r") }
            #expect(try broker.drain("r").count == 100)
            #expect(try broker.drain("q").count == 6)
            broker.child.signal(SIGTERM)
            #expect(try broker.child.codeUnread(within: .seconds(10)) == 0)
            // It was more than the pipe could take.
            try broker.child.readErrors(within: .seconds(10)) { _ in false }
            #expect(
                broker.child.errorText.count >= 60_000,
                "\(broker.child.errorText.count) bytes of log did not fill the pipe")
        }

        /// A limit of open files far below limits.connections: clients are turned away, storage never lacks a file.
        @Test func aCrowdOfConnectionsLeavesStorageTheFilesItNeeds() throws {
            guard let prlimit = try Self.prlimit() else { return }
            let home = try Home()
            let broker = try BrokerProcess(
                home, ["--set", "journal.segment_bytes=4 MiB"], under: [prlimit, "--nofile=80:80"])
            let old = try broker.connect()
            let crowd = try (0..<150).map { _ in try RawClient(port: broker.port) }
            // The last of the crowd is turned away, with the reason; then all of it has been dealt with.
            guard case .frame(let word) = try crowd[149].hear(), word.command == "ERROR",
                case .end = try crowd[149].hear()
            else {
                throw Problem("80 files, 150 connections, and all stay open")
            }
            #expect(word.headers["message"] == "too many connections")
            // More than two segments, so that files have to be made.
            let body = String(repeating: "x", count: 100_000)
            for _ in 0..<120 { try old.publish(body, to: "q") }
            #expect(try Control.json(broker, "status") is [String: Any])
            #expect(try broker.stop() == 0)
            #expect(!broker.log.contains("Too many open files"), "\(broker.log)")
            withExtendedLifetime(crowd) {}
        }

        @Test func withoutDescriptorsAcceptingPausesAndClientsGoOn() throws {
            guard let prlimit = try Self.prlimit() else { return }
            let home = try Home()
            let broker = try BrokerProcess(home)
            let old = try broker.connect()
            try old.subscribe("q")
            for number in 0..<20 { try old.publish("\(number)", to: "q") }
            let files = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(broker.child.id)/fd").count
            let limited = try Child.run([prlimit, "--pid", "\(broker.child.id)", "--nofile=\(files + 4):"])
            #expect(limited.code == 0, "\(limited.errors)")
            var crowd = try (0..<30).map { _ in try RawClient(port: broker.port) }
            try broker.waitForLog("accepting pauses")
            let spent = try Self.processorTime(broker.child.id)
            for number in 0..<20 {
                let message = try old.message()
                #expect(message.text == "\(number)")
                try old.acknowledge(message)
            }
            // A loop that spins burns 30 ticks in this time; a pause costs next to nothing.
            poll(nil, 0, 300)
            #expect(try Self.processorTime(broker.child.id) - spent < 20, "accepting spins")
            crowd.removeAll()
            try eventually("new clients are served again") {
                let client = try RawClient(port: broker.port, patience: .seconds(2))
                try client.send("CONNECT\naccept-version:1.2\nhost:x\n\n\0")
                if case .frame(let frame) = try client.hear() { return frame.command == "CONNECTED" }
                return false
            }
            #expect(try broker.stop() == 0)
        }

        private static func prlimit() throws -> String? {
            if let found = Programs.found("prlimit") { return found }
            if isCI { Issue.record("prlimit is missing: it belongs to util-linux") }
            print("left out: prlimit is not installed")
            return nil
        }

        /// In ticks of 10 ms.
        private static func processorTime(_ id: pid_t) throws -> Int {
            let text = try String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8)
            let fields = text.split(separator: ")").last?.split(separator: " ").compactMap { Int($0) } ?? []
            // Behind the name: the state (no number), then utime and stime as 12th and 13th.
            return fields.count > 11 ? fields[10] + fields[11] : 0
        }

        @Test func aClientThatNeverReadsDoesNotSlowTheOthers() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let sleeper = try broker.connect()
            sleeper.shrinkReceiveBuffer()
            try sleeper.subscribe("slow", ack: "auto", prefetch: 1_000_000)
            let fast = try broker.connect()
            try fast.subscribe("fast", ack: "auto")
            let body = String(repeating: "x", count: 50_000)
            let sender = try broker.connect()
            for number in 0..<200 {
                try sender.say("SEND", [("destination", "/queue/slow")], body)
                try sender.publish("\(number)", to: "fast")
                #expect(try fast.message().text == "\(number)")
            }
            // It was sent no more than fits its outbox and the sockets; the rest waits in the queue.
            let shown = try Control.json(broker, "queue", "show", "slow") as? [String: Any]
            #expect(shown?["ready"] as? Int ?? 0 > 50, "\(shown ?? [:])")
            #expect(try broker.stop() == 0)
        }
    }
}
