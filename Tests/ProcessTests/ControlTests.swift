import Foundation
import Glibc
import Testing

extension ProcessTests {
    /// brokerctl and the admin socket, on a live broker.
    @Suite struct ControlTests {
        @Test func theAdminSocketAndAllDataAreForTheirOwnerOnly() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            try broker.connect().publish("x", to: "q")
            var seen = 0
            guard let walk = FileManager.default.enumerator(atPath: broker.data) else {
                throw Problem("no data directory")
            }
            for case let name as String in walk {
                var status = stat()
                #expect(lstat(broker.data + "/" + name, &status) == 0)
                #expect(status.st_mode & 0o077 == 0, "\(name) has mode \(String(status.st_mode & 0o777, radix: 8))")
                if status.st_mode & S_IFMT == S_IFSOCK { #expect(status.st_mode & 0o777 == 0o600) }
                seen += 1
            }
            #expect(seen >= 6)
            #expect(FileManager.default.fileExists(atPath: broker.data + "/admin.sock"))
            #expect(try broker.stop() == 0)
            #expect(!FileManager.default.fileExists(atPath: broker.data + "/admin.sock"), "the socket stays behind")
        }

        @Test func aQueueLivesThroughAllItsVerbs() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let created = try Control.json(broker, "queue", "create", "orders") as? [String: Any]
            #expect(created?["created"] as? Bool == true)
            let again = try Control.json(broker, "queue", "create", "orders") as? [String: Any]
            #expect(again?["created"] as? Bool == false)
            #expect(try Control.say(broker, "publish", "orders", "one").contains("1 message confirmed"))
            let sent =
                try Control.json(broker, "publish", "/queue/orders", "two", "--header", "lang:en", "--count", "4")
                as? [String: Any]
            #expect(sent?["confirmed"] as? Bool == true && sent?["messages"] as? Int == 4)
            #expect(try Self.queues(broker) == ["orders": 5])
            let shown = try Control.json(broker, "queue", "show", "orders") as? [String: Any]
            #expect(
                shown?["ready"] as? Int == 5 && shown?["unacked"] as? Int == 0 && shown?["durable"] as? Bool == true)

            let browsed = try Control.json(broker, "queue", "browse", "orders", "--count", "2") as? [String: Any]
            let messages = browsed?["messages"] as? [[String: Any]] ?? []
            #expect(messages.map { $0["body"] as? String } == ["one", "two"])
            let headers = messages.last?["headers"] as? [[String: String]] ?? []
            #expect(headers.contains { $0["name"] == "lang" && $0["value"] == "en" }, "\(headers)")
            #expect(try Self.queues(broker) == ["orders": 5], "browsing took something")

            let moved = try Control.json(broker, "queue", "move", "orders", "other", "--count", "2") as? [String: Any]
            #expect(moved?["moved"] as? Int == 2)
            #expect(try Self.queues(broker) == ["orders": 3, "other": 2])
            #expect(try Control.say(broker, "consume", "other", "--count", "2", "--body-only") == "one\ntwo\n")
            #expect(try Self.queues(broker) == ["orders": 3, "other": 0])
            _ = try Control.say(broker, "queue", "delete", "orders", code: 1)
            let purged = try Control.json(broker, "queue", "purge", "orders") as? [String: Any]
            #expect(purged?["messages"] as? Int == 3)
            _ = try Control.say(broker, "queue", "delete", "orders")
            _ = try Control.say(broker, "queue", "delete", "other", "--force")
            #expect(try Self.queues(broker) == [:])
            #expect(try broker.stop() == 0)
            #expect(try Self.queues(BrokerProcess(home)) == [:], "a deleted queue came back")
        }

        /// What an operator did is on disk when brokerctl says so.
        @Test func whatAnOperatorDidSurvivesAKill() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            _ = try Control.say(broker, "queue", "create", "empty")
            _ = try Control.say(broker, "publish", "a", "x", "--count", "5")
            _ = try Control.say(broker, "queue", "move", "a", "b", "--count", "2")
            _ = try Control.say(broker, "publish", "c", "x", "--count", "5")
            _ = try Control.say(broker, "queue", "purge", "c")
            broker.kill()
            #expect(try Self.queues(BrokerProcess(home)) == ["a": 3, "b": 2, "c": 0, "empty": 0])
        }

        private static func queues(_ broker: BrokerProcess) throws -> [String: Int] {
            let answer = try Control.json(broker, "queue", "list") as? [String: Any]
            var found: [String: Int] = [:]
            for row in answer?["queues"] as? [[String: Any]] ?? [] {
                if let name = row["name"] as? String { found[name] = row["messages"] as? Int }
            }
            return found
        }

        @Test func statusTellsWhatIsTrue() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try broker.connect()
            for body in ["a", "b", "c"] { try client.publish(body, to: "q") }
            try client.subscribe("q")
            let message = try client.message()
            try client.acknowledge(message)
            let status = try Control.json(broker, "status") as? [String: Any]
            #expect(status?["process_id"] as? Int == Int(broker.child.id))
            #expect(status?["queues"] as? Int == 1)
            #expect((status?["connections"] as? [String: Any])?["current"] as? Int == 1)
            let messages = status?["messages"] as? [String: Any]
            #expect(messages?["in_total"] as? Int == 3)
            #expect(messages?["acknowledged_total"] as? Int == 1)
            #expect((status?["health"] as? [String: Any])?["ready"] as? Bool == true)
            #expect((status?["memory"] as? [String: Any])?["resident_bytes"] as? Int ?? 0 > 1 << 20)
            #expect(try Control.say(broker, "status").contains("127.0.0.1:\(broker.port)"))
        }

        @Test func aClosedConnectionIsToldWhyAndItsMessagesGoBack() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let holder = try broker.connect()
            try holder.publish("held", to: "q")
            try holder.subscribe("q")
            _ = try holder.message()
            let list = try Control.json(broker, "connection", "list") as? [String: Any]
            let rows = list?["connections"] as? [[String: Any]] ?? []
            #expect(rows.count == 1)
            let id = try #require(rows.first?["id"])
            _ = try Control.say(broker, "connection", "close", "\(id)")
            #expect(try holder.expect("ERROR")["message"] == "closed by operator")
            guard case .end = try holder.hear() else { throw Problem("the connection stays open") }
            let next = try broker.connect()
            try next.subscribe("q")
            let message = try next.message()
            #expect(message.text == "held" && message["redelivered"] == "true")
        }

        @Test func exitCodesTellWhatIsMissing() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            #expect(try Control.say(broker, "queue", "show", "none", code: 4).contains("none"))
            _ = try Control.say(broker, "queue", "purge", "none", code: 4)
            _ = try Control.say(broker, "connection", "close", "99", code: 4)
            _ = try Control.say(broker, "nonsense", code: 2)
            _ = try Control.say(broker, "consume", "q", "--timeout", "1", code: 5)
            #expect(try broker.stop() == 0)
            #expect(try Control.say(broker, "status", code: 3).contains("admin.sock"))
        }
    }
}
