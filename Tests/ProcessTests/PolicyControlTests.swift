import Foundation
import Testing

extension ProcessTests {
    /// Policies, settings and pauses on a live broker.
    @Suite struct PolicyControlTests {
        private func refused(_ broker: BrokerProcess, _ destination: String) throws -> String {
            try Control.say(broker, "publish", destination, "x", code: 1)
        }

        @Test func aPolicyCountsAtOnceAndAnExplanationSaysWhy() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            _ = try Control.say(
                broker, "policy", "set", "strict", "--pattern", "/queue/orders.**", "--set", "auto_create=false")
            #expect(try refused(broker, "orders.eu").contains("auto_create is false"))
            _ = try Control.say(broker, "queue", "create", "orders.eu", "--set", "delivery_limit=3")
            #expect(try Control.say(broker, "publish", "orders.eu", "x").contains("1 message confirmed"))
            #expect(try Control.say(broker, "publish", "other", "x").contains("1 message confirmed"))
            let explained = try Control.json(broker, "policy", "explain", "orders.eu") as? [String: Any]
            #expect(explained?["exists"] as? Bool == true && explained?["destination"] as? String == "/queue/orders.eu")
            let rows = explained?["settings"] as? [[String: Any]] ?? []
            let sources = Dictionary(
                uniqueKeysWithValues: rows.map { ($0["name"] as? String ?? "", $0["source"] as? String ?? "") })
            #expect(sources["auto_create"] == "policy" && sources["delivery_limit"] == "own")
            #expect(sources["overflow"] == "default")
            _ = try Control.say(broker, "policy", "delete", "strict")
            #expect(try Control.say(broker, "publish", "orders.us", "x").contains("1 message confirmed"))
            #expect(try broker.stop() == 0)
        }

        @Test func aPausedQueueRefusesAndHoldsBack() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            _ = try Control.say(broker, "publish", "q", "one")
            _ = try Control.say(broker, "queue", "pause", "q")
            #expect(try refused(broker, "q").contains("queue is paused"))
            _ = try Control.say(broker, "consume", "q", "--timeout", "1", code: 5)
            _ = try Control.say(broker, "queue", "resume", "q")
            #expect(try Control.say(broker, "consume", "q", "--body-only") == "one\n")
            #expect(try broker.stop() == 0)
        }

        /// Goal: what brokerctl said was done is there after the worst end.
        @Test func whatWasSetSurvivesAKill() throws {
            let home = try Home()
            let first = try BrokerProcess(home)
            _ = try Control.say(
                first, "policy", "set", "strict", "--pattern", "/queue/a.*", "--set", "auto_create=false")
            _ = try Control.say(first, "queue", "create", "own", "--set", "length_most=1")
            _ = try Control.say(first, "publish", "held", "one")
            _ = try Control.say(first, "queue", "pause", "held", "--sending")
            first.kill()
            let broker = try BrokerProcess(home)
            #expect(try refused(broker, "a.b").contains("auto_create is false"))
            #expect(try refused(broker, "held").contains("queue is paused"))
            #expect(try Control.say(broker, "consume", "held", "--body-only") == "one\n")
            _ = try Control.say(broker, "publish", "own", "x")
            #expect(try refused(broker, "own").contains("length_most 1"))
            #expect(try broker.stop() == 0)
        }

        @Test func policiesOfTheFileCountAndAReloadChangesThem() throws {
            let home = try Home()
            let file = home.path + "/broker.json5"
            func write(_ policies: String) throws {
                try "{ policies: { \(policies) } }".write(toFile: file, atomically: true, encoding: .utf8)
            }
            try write("p: { pattern: '**', settings: { auto_create: false } }")
            let broker = try BrokerProcess(home, ["--config", file])
            #expect(try refused(broker, "q").contains("no such queue"))
            try write("p: { pattern: 'q', settings: { auto_create: true } }")
            #expect(try Control.say(broker, "reload").contains("policies"))
            #expect(try Control.say(broker, "publish", "q", "x").contains("1 message confirmed"))
            try write("p: { pattern: 'q', settings: { auto_creat: true } }")
            #expect(try Control.say(broker, "reload", code: 1).contains("did you mean auto_create?"))
            #expect(try Control.say(broker, "policy", "list").contains("configuration"))
            #expect(try broker.stop() == 0)
        }
    }
}
