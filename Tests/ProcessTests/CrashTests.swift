import Foundation
import Glibc
import Synchronization
import Testing

extension ProcessTests {
    /// `kill -9` under load: nothing that was promised is lost.
    @Suite struct CrashTests {
        /// How often: BROKERD_CRASH_CYCLES, else 5.
        static let cycles = ProcessInfo.processInfo.environment["BROKERD_CRASH_CYCLES"].flatMap { Int($0) } ?? 5

        @Test func aKilledBrokerKeepsWhatItPromised() throws {
            let home = try Home()
            let load = CrashLoad()
            for cycle in 0..<Self.cycles {
                let broker = try BrokerProcess(home)
                let clients = load.start(on: broker.port, cycle: cycle)
                // From early in the first batch to the middle of the flow; not the same moment twice.
                let enough = 20 + cycle * 211 % 900
                try eventually("\(enough) receipts", within: .seconds(30)) {
                    load.receiptsOfThisCycle >= enough || clients.haveEnded
                }
                broker.child.signal(SIGKILL)
                #expect(try broker.child.exitCode() == 128 + SIGKILL)
                try clients.wait()
                let problems = try load.look(at: BrokerProcess(home))
                #expect(problems.isEmpty, "cycle \(cycle): \(problems.prefix(10))")
                if !problems.isEmpty { return }
            }
            #expect(load.total.confirmed >= 20 * Self.cycles)
            #expect(load.total.acknowledged > 0 && load.total.moved > 0, "nothing was consumed, so nothing was tried")
        }

        @Test func theLedgerSeesEachPromiseBroken() {
            var ledger = CrashLedger()
            let messages = (0..<4).map { CrashLedger.Message("p", $0) }
            for message in messages {
                ledger.sends(message)
                ledger.confirms(message)
            }
            ledger.takes(messages[0])
            ledger.acknowledges(messages[0])
            ledger.moves(messages[1])
            func problems(_ source: [String], _ target: [String]) -> [String] {
                ledger.problems(source: ["p": source], target: target)
            }
            #expect(problems(["p:2", "p:3"], ["p:1"]) == [])
            #expect(problems(["p:3"], ["p:1"]) == ["lost: p:2"])
            #expect(problems(["p:0", "p:2", "p:3"], ["p:1"]) == ["came back: p:0"])
            #expect(problems(["p:1", "p:2", "p:3"], ["p:1"]) == ["half a transaction: p:1 is in both queues"])
            #expect(problems(["p:2", "p:3"], []) == ["half a transaction: p:1 is in no queue"])
            #expect(problems(["p:3", "p:2"], ["p:1"]) == ["out of order: p:2 behind 3"])
            #expect(problems(["p:2", "p:3", "p:9"], ["p:1"]) == ["invented: p:9"])
            #expect(problems(["p:2", "p:3"], ["p:1", "p:1"]) == ["moved twice: p:1"])
            // What a look did not find must not be there later.
            ledger.sends(CrashLedger.Message("p", 4))
            ledger.takes(messages[2])
            ledger.settle(source: ["p": ["p:3"]], target: ["p:1"])
            #expect(problems(["p:3"], ["p:1"]) == [])
            #expect(problems(["p:2", "p:3"], ["p:1"]) == ["came back: p:2"])
            #expect(problems(["p:3", "p:4"], ["p:1"]) == ["invented: p:4"])
        }
    }
}

/// Clients that go on until their broker is gone, and remember what they were promised.
private final class CrashLoad: Sendable {
    struct Total {
        var confirmed = 0
        var acknowledged = 0
        var moved = 0
    }

    private struct State {
        var ledger = CrashLedger()
        var next: [String: Int] = [:]
        var receipts = 0
        var total = Total()
    }

    private let state = Mutex(State())
    private static let producers = ["a", "b", "c"]

    var receiptsOfThisCycle: Int { state.withLock { $0.receipts } }
    var total: Total { state.withLock { $0.total } }

    /// Threads at work.
    final class Clients: Sendable {
        private let group = DispatchGroup()
        private let running = Atomic<Int>(0)
        private let failures = Mutex<[String]>([])

        var haveEnded: Bool { running.load(ordering: .relaxed) == 0 }

        /// `body` ends when the broker is gone: what it throws then says that. Anything else is a failure.
        func run(_ body: @escaping @Sendable () throws -> Void) {
            running.add(1, ordering: .relaxed)
            group.enter()
            Thread.detachNewThread { [self] in
                do { try body() } catch {
                    let text = "\(error)"
                    let isTheEnd = ["closed the connection", "sending: ", "connecting to "].contains {
                        text.contains($0)
                    }
                    if !isTheEnd { failures.withLock { $0.append(text) } }
                }
                running.subtract(1, ordering: .relaxed)
                group.leave()
            }
        }

        func wait() throws {
            if group.wait(timeout: .now() + 20) == .timedOut { throw Problem("clients of a dead broker still wait") }
            if let failure = failures.withLock({ $0.first }) { throw Problem(failure) }
        }
    }

    func start(on port: UInt16, cycle: Int) -> Clients {
        state.withLock { $0.receipts = 0 }
        let clients = Clients()
        for producer in Self.producers { clients.run { [self] in try produce(producer, port) } }
        clients.run { [self] in try consume("a", port) }
        clients.run { [self] in try move("b", port) }
        return clients
    }

    private static func client(_ port: UInt16) throws -> RawClient {
        let client = try RawClient(port: port)
        try client.login()
        return client
    }

    /// Up to 50 messages under way, each with a receipt.
    private func produce(_ producer: String, _ port: UInt16) throws {
        let client = try Self.client(port)
        var open = 0
        while true {
            while open < 50 {
                let message = state.withLock { state in
                    let number = state.next[producer, default: 0]
                    state.next[producer] = number + 1
                    let message = CrashLedger.Message(producer, number)
                    state.ledger.sends(message)
                    return message
                }
                try client.say(
                    "SEND", [("destination", "/queue/\(producer)"), ("receipt", "\(message)")], "\(message)")
                open += 1
            }
            let receipt = try client.expect("RECEIPT")
            guard let message = CrashLedger.Message(receipt["receipt-id"] ?? "") else { throw Problem("\(receipt)") }
            state.withLock { state in
                state.ledger.confirms(message)
                state.receipts += 1
                state.total.confirmed += 1
            }
            open -= 1
        }
    }

    /// Acknowledges with a receipt.
    private func consume(_ queue: String, _ port: UInt16) throws {
        let client = try Self.client(port)
        try client.subscribe(queue, prefetch: 1)
        while true {
            let delivered = try client.message()
            guard let message = CrashLedger.Message(delivered.text) else { throw Problem("\(delivered)") }
            state.withLock { $0.ledger.takes(message) }
            try client.acknowledge(delivered)
            state.withLock { state in
                state.ledger.acknowledges(message)
                state.total.acknowledged += 1
            }
        }
    }

    private func move(_ queue: String, _ port: UInt16) throws {
        let client = try Self.client(port)
        try client.subscribe(queue, prefetch: 1)
        while true {
            let delivered = try client.message()
            guard let message = CrashLedger.Message(delivered.text) else { throw Problem("\(delivered)") }
            // Until the receipt of COMMIT it may be here or there, but must be in one of them.
            try client.say("BEGIN", [("transaction", "t")])
            try client.say("ACK", [("id", delivered["ack"] ?? ""), ("transaction", "t")])
            try client.say("SEND", [("destination", "/queue/moved"), ("transaction", "t")], delivered.text)
            try client.ask("COMMIT", [("transaction", "t")])
            state.withLock { state in
                state.ledger.moves(message)
                state.total.moved += 1
            }
        }
    }

    /// Looks into all queues without taking anything, and compares.
    func look(at broker: BrokerProcess) throws -> [String] {
        var source: [String: [String]] = [:]
        for producer in Self.producers { source[producer] = try broker.look(into: producer) }
        let target = try broker.look(into: "moved")
        let problems = state.withLock { state in
            defer { state.ledger.settle(source: source, target: target) }
            return state.ledger.problems(source: source, target: target)
        }
        if try broker.stop() != 0 { throw Problem("the end after a look: \(broker.log)") }
        return problems
    }
}

extension BrokerProcess {
    /// The bodies in a queue, oldest first; they stay.
    func look(into queue: String) throws -> [String] {
        let client = try connect()
        try client.subscribe(queue, prefetch: 1_000_000)
        let mark = "end of \(queue)"
        try client.say("SEND", [("destination", "/queue/\(queue)")], mark)
        var bodies: [String] = []
        while true {
            let message = try client.message()
            if message.text == mark {
                try client.acknowledge(message)
                break
            }
            bodies.append(message.text)
        }
        try client.ask("UNSUBSCRIBE", [("id", "1")])
        return bodies
    }
}
