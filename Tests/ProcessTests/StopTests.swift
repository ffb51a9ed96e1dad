import Foundation
import Glibc
import Testing

extension ProcessTests {
    /// Signals, and what becomes of clients and messages.
    @Suite struct StopTests {
        @Test(arguments: [SIGTERM, SIGINT])
        func aStopUnderLoadKeepsWhatWasConfirmedAndTellsTheClients(signal: Int32) throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let clients = try (0..<4).map { _ in try broker.connect() }
            for (index, client) in clients.enumerated() {
                let frames = (0..<500).map { number in
                    RawClient.frame(
                        "SEND", [("destination", "/queue/q\(index)"), ("receipt", "\(number)")], "\(number)")
                }
                try client.send(frames.joined())
            }
            let idle = try broker.connect()
            // Load is on its way when the first receipt is there.
            _ = try clients[0].expect("RECEIPT")
            broker.child.signal(signal)
            var confirmed = try clients.map { try Self.receipts(of: $0) }
            confirmed[0] += 1
            guard case .frame(let goodbye) = try idle.hear() else { throw Problem("no word for an idle client") }
            #expect(goodbye.command == "ERROR" && goodbye["message"]?.contains("shutting down") == true, "\(goodbye)")
            #expect(try broker.child.exitCode(within: .seconds(5)) == 0)
            #expect(broker.log.contains("stopped"))
            let next = try BrokerProcess(home)
            for index in clients.indices {
                let bodies = try next.drain("q\(index)")
                #expect(bodies.count >= confirmed[index], "receipts were given for messages that are not there")
                #expect(bodies == (0..<bodies.count).map(String.init))
            }
        }

        /// Reads to the end, which must be an ERROR that says why, or a clean close.
        private static func receipts(of client: RawClient) throws -> Int {
            var count = 0
            while true {
                switch try client.hear() {
                case .frame(let frame) where frame.command == "RECEIPT": count += 1
                case .frame(let frame):
                    #expect(frame.command == "ERROR" && frame["message"]?.contains("shutting down") == true, "\(frame)")
                case .end: return count
                case .nothing: throw Problem("a client was left hanging")
                }
            }
        }

        @Test func stoppingTwiceIsStoppingOnce() throws {
            let home = try Home()
            let broker = try BrokerProcess(home)
            let client = try broker.connect()
            try client.publish("kept", to: "q")
            broker.child.signal(SIGTERM)
            broker.child.signal(SIGTERM)
            #expect(try broker.stop(within: .seconds(5)) == 0)
            #expect(try BrokerProcess(home).drain("q") == ["kept"])
        }

        @Test func aClientThatReadsNothingDoesNotHoldTheEndUp() throws {
            let home = try Home()
            let broker = try BrokerProcess(home, ["--set", "shutdown.grace_seconds=1"])
            let sleeper = try broker.connect()
            sleeper.shrinkReceiveBuffer()
            try sleeper.subscribe("q", ack: "client-individual", prefetch: 100_000)
            let sender = try broker.connect()
            let body = String(repeating: "x", count: 100_000)
            for _ in 0..<100 { try sender.say("SEND", [("destination", "/queue/q")], body) }
            try sender.publish("last", to: "q")
            #expect(try broker.stop(within: .seconds(5)) == 0)
            #expect(try BrokerProcess(home).drain("q").count == 101)
        }

        @Test func reloadTakesWhatChangedRefusesWhatIsBrokenAndGoesOn() throws {
            let home = try Home()
            let file = try home.file("brokerd.json5", "{ limits: { body_bytes: 2048 } }")
            let broker = try BrokerProcess(
                home, data: home.path + "/data", ["--config", file, "--set", "journal.segments=3"])
            let old = try broker.connect()

            _ = try home.file(
                "brokerd.json5", "{ limits: { headers: 70 }, log: { level: \"debug\" }, journal: { segments_max: 9 } }")
            broker.child.signal(SIGHUP)
            try broker.waitForLog("setting changed name=limits.headers")
            try broker.waitForLog("setting changed name=log.level")
            try broker.waitForLog("setting needs a restart name=journal.segments_max")
            let changed = try broker.connect()
            try changed.say("SEND", [("destination", "/queue/q")] + (0..<80).map { ("x\($0)", "y") }, "x")
            #expect(try changed.expect("ERROR")["message"] != nil)

            _ = try home.file("brokerd.json5", "{ limits: { header: 200 } }")
            broker.child.signal(SIGHUP)
            try broker.waitForLog("did you mean limits.headers?")
            unlink(file)
            broker.child.signal(SIGHUP)
            try broker.waitForLog("the file cannot be read")
            // Still what the last good file said, for old clients and new ones.
            let refused = try broker.connect()
            try refused.say("SEND", [("destination", "/queue/q")] + (0..<80).map { ("x\($0)", "y") }, "x")
            _ = try refused.expect("ERROR")
            try old.publish("old", to: "q")
            #expect(try broker.drain("q") == ["old"])
            #expect(try broker.stop() == 0)
        }
    }
}
