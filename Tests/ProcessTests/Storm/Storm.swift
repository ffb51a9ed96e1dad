import Base
import BrokerClient
import Foundation
import Synchronization

/// What all styles of one storm share: clients behind the bad network, the ledger, dice, and the time.
final class Storm: Sendable {
    let plan: StormPlan
    let ledger = StormLedger()
    /// For files of the styles.
    let directory: String
    /// Who calls.
    let caller: Client
    /// Who serves and consumes.
    let workers: [Client]
    private let dice: Mutex<SplitMix64>
    private let raging = Mutex<(begins: ContinuousClock.Instant, ends: ContinuousClock.Instant)?>(nil)

    init(_ plan: StormPlan, _ directory: String, through network: BadNetwork) async throws {
        self.plan = plan
        self.directory = directory
        dice = Mutex(SplitMix64(seed: plan.seed &+ 1))
        let address = ["127.0.0.1:\(network.port)"]
        caller = try await Self.connect(address, plan.callerOptions)
        workers = [
            try await Self.connect(address, plan.workerOptions), try await Self.connect(address, plan.workerOptions),
        ]
    }

    /// The first time, in calm weather. A machine that starts many storms at once may still take longer than a client waits.
    private static func connect(_ address: [String], _ options: ClientOptions) async throws -> Client {
        for _ in 0..<20 {
            do throws(ClientError) {
                return try await Client.connect(to: address, options)
            } catch {
                guard case .connectTimedOut = error else { throw error }
            }
        }
        throw Problem("no connection in calm weather")
    }

    // MARK: The course of it

    func begin() { raging.withLock { $0 = (.now, .now + plan.length) } }

    private var isRaging: Bool { raging.withLock { $0.map { .now < $0.ends } ?? false } }

    /// Calls again and again until the storm is over, `most` times in all.
    func again(_ most: Int = 40, _ body: (Int) async throws -> Void) async throws {
        for number in 0..<most where isRaging {
            try await body(number)
            try await Task.sleep(for: .milliseconds(below(25)))
        }
    }

    /// Waits for what must come. Counted in breaths and not by the clock, which goes on when we are stopped.
    func settle(_ what: String, _ isSo: () async throws -> Bool) async throws {
        for _ in 0..<2_400 {
            if try await isSo() { return }
            try await Task.sleep(for: .milliseconds(25))
        }
        ledger.broke("in calm weather it does not come to this: \(what)")
    }

    // MARK: Dice

    func below(_ bound: Int) -> Int { dice.withLock { $0.below(bound) } }

    func milliseconds(_ least: Int, _ most: Int) -> Duration { .milliseconds(least + below(most - least + 1)) }

    /// Now and then a call is cancelled after a while.
    var patience: Duration? { below(8) == 0 ? .milliseconds(below(300)) : nil }

    // MARK: Usual parts

    /// A confirmed send, noted in the book. True if it is confirmed.
    @discardableResult
    func send(
        _ text: String, to destination: String, headers: Headers = [:], in book: StormBook,
        within timeout: Duration, retry: RetryPolicy = .never, patience: Duration? = nil
    ) async -> Bool {
        book.sends(text)
        let outcome = await ledger.call(
            "send", within: timeout, retries: retry != .never, cancelledAfter: patience
        ) {
            [caller] () throws(ClientError) in
            try await caller.send(text, to: destination, headers: headers, timeout: timeout, retry: retry)
        }
        book.knows(text, outcome)
        if case .success = outcome { return true }
        return false
    }

    /// Consumers and services have to end when they are told to.
    func stop(_ consumers: [Consumer]) async {
        for consumer in consumers {
            let outcome = await ledger.call("stop", within: .seconds(20)) { () throws(ClientError) in
                try await consumer.stop(within: .seconds(20))
            }
            if case .failure(let error) = outcome { ledger.broke("a consumer does not stop: \(error)") }
        }
    }

    /// What the network swallowed is cut a little later, which may be just now; the client is closed all the same.
    func close() async {
        for client in [caller] + workers {
            let outcome = await ledger.call("close", within: .seconds(60)) { () throws(ClientError) in
                try await client.close(timeout: .seconds(60))
            }
            guard case .failure(let error) = outcome else { continue }
            if case .connectionLost = error { continue }
            ledger.broke("a client does not close: \(error)")
        }
    }
}

/// One seed from its plan to what came of it.
struct StormRun {
    let plan: StormPlan
    private let home: Home
    private static let settings =
        "{ policies: { all: { pattern: '**', settings: { redelivery_delay_ms: 0, delivery_limit: 100000 } } } }"

    init(_ plan: StormPlan) throws {
        self.plan = plan
        home = try Home()
    }

    /// When a promise was broken, the directory stays, with the logs of the brokers, and the ledger says where.
    func ledger() async throws -> StormLedger {
        let ledger = try await storm()
        if !ledger.broken.isEmpty {
            home.keep()
            ledger.broke("what is left of it: \(home.path)")
        }
        return ledger
    }

    private func storm() async throws -> StormLedger {
        let arguments = ["--config", try home.file("broker.json5", Self.settings)]
        var broker = try BrokerProcess(home, arguments)
        let network = try BadNetwork(to: broker.port, plan.weather)
        let storm = try await Storm(plan, home.path, through: network)
        let words = plan.description
        let watchman = Task { try await Self.watch(storm.ledger, words) }
        defer { watchman.cancel() }
        var styles: [any StormStyle] = []
        for style in plan.styles { styles.append(try await style.init(storm)) }
        storm.begin()
        network.setStormy(true)
        do {
            async let raging: Void = Self.forEach(styles) { try await $0.rage() }
            try await kill(&broker, arguments, network)
            try await raging
        }
        network.setStormy(false)
        try await Self.forEach(styles) { try await $0.settle() }
        await storm.close()
        // Nobody has anything in hand afterwards.
        if plan.endsPolitely { _ = try broker.stop() } else { broker.kill() }
        try noteLog(of: broker)
        broker = try BrokerProcess(home, arguments)
        for style in styles { try await style.judge(broker) }
        return storm.ledger
    }

    private func kill(_ broker: inout BrokerProcess, _ arguments: [String], _ network: BadNetwork) async throws {
        let begun = ContinuousClock.now
        for kill in plan.kills {
            try await Task.sleep(until: begun + kill.at, clock: .continuous)
            network.setTarget(nil)
            broker.kill()
            try noteLog(of: broker)
            try await Task.sleep(for: kill.for)
            broker = try BrokerProcess(home, arguments)
            network.setTarget(broker.port)
        }
    }

    /// Of a broker that has ended.
    private func noteLog(of broker: BrokerProcess) throws {
        try broker.child.readErrors(within: .seconds(10)) { _ in false }
        _ = try home.file("broker \(broker.child.id).log", broker.log)
    }

    private static func forEach(
        _ styles: [any StormStyle], _ body: @escaping @Sendable (any StormStyle) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for style in styles { group.addTask { try await body(style) } }
            try await group.waitForAll()
        }
    }

    /// Says what a storm waits for that does not come to its end.
    private static func watch(_ ledger: StormLedger, _ plan: String) async throws {
        try await Task.sleep(for: .seconds(240))
        print("not over after 4 minutes: \(plan)\n  open: \(ledger.open)\n  broken: \(ledger.broken)")
    }
}
