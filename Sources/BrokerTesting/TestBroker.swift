import Base
import BrokerClient
import BrokerCore

/// A broker inside of a test: the real core and the real sessions, with no sockets, no disk and no daemon, and with a
/// time that only the test moves.
///
///     let broker = TestBroker()
///     let client = try await broker.connect()
///     try await client.send("two bicycles", to: "/queue/orders", headers: ["ttl": "60000"])
///     await broker.advance(by: .seconds(61))
///     try await broker.until("/queue/orders.dlq") { $0.messages == 1 }
///
/// Tests that run side by side use a broker each. What happens in one is in one order, but the tasks of the program that
/// is tested run when Swift lets them: a test waits for what they do with `until`, or with a reply, and never sleeps.
public final class TestBroker: Sendable {
    private let loop: VirtualLoop
    private let lastID = Counter()

    /// `memoryBytes`: with more in stored messages, sends are refused as by a broker whose disk is short.
    /// `startingAt`: milliseconds since 1970 at which the broker's time begins; nil: the time that it is. From there
    /// it moves by `advance` only.
    public init(memoryBytes: Int = 256 << 20, startingAt: UInt64? = nil) {
        loop = VirtualLoop(
            memoryBytes: max(1, memoryBytes), start: Moment(.now, wall: startingAt ?? wallClockMilliseconds()))
    }

    /// A client of this broker. It is one like any other, but for what carries its bytes: its deadlines, and its pauses
    /// between attempts to connect, are in the broker's time.
    ///
    /// Throws as `Client.connect(to:)` does.
    nonisolated(nonsending) public func connect(
        _ options: ClientOptions = ClientOptions()
    ) async throws(ClientError) -> Client {
        try await Client.connect(through: loop, options)
    }

    // MARK: Time

    /// The broker's time, in milliseconds since 1970: what `expires` and `deliver-at` are compared with.
    public var milliseconds: UInt64 { loop.wallMilliseconds }

    /// The broker's time as a clock, the same as that of its clients (`Client.clock`): for programs that take one to wait
    /// by, in place of `ContinuousClock`.
    public var clock: ClientClock { ClientClock(loop) }

    /// Lets time pass: what falls due meanwhile (expiry, delays, redeliveries, time-outs, attempts to connect) happens,
    /// each at its time, before this returns. Parts of a millisecond count as a whole one.
    ///
    /// What the program does about it takes its own course: wait for that before time moves on.
    nonisolated(nonsending) public func advance(by duration: Duration) async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            loop.submit { [loop] in
                loop.travel(milliseconds: duration.wholeMilliseconds) { continuation.resume() }
            }
        }
    }

    // MARK: Looking

    /// What is in a queue (or a durable subscription, `/dsub/NAME`) now; all zero if there is none of that name.
    nonisolated(nonsending) public func queue(_ name: String) async -> QueueCounts {
        await turn { QueueCounts($0.broker.view(of: name)) }
    }

    /// Returns when the condition holds for a queue, and what it saw; looks whenever anything has happened in the
    /// broker. Waits as long as it takes: give the test a time limit.
    ///
    /// Throws `CancellationError` when the task is cancelled.
    @discardableResult
    nonisolated(nonsending) public func until(
        _ queue: String, _ condition: @escaping @Sendable (QueueCounts) -> Bool
    ) async throws(CancellationError) -> QueueCounts {
        try await watch { loop in
            let counts = QueueCounts(loop.broker.view(of: queue))
            return condition(counts) ? counts : nil
        }
    }

    /// Returns when a client has written something that does not arrive, because of `freeze`: only then is its deadline
    /// set, and time may move on.
    ///
    /// Throws `CancellationError` when the task is cancelled.
    nonisolated(nonsending) public func untilUnheard() async throws(CancellationError) {
        _ = try await watch { loop in
            loop.broker.connections.values.contains { $0.isFrozen && !$0.toBroker.isEmpty } ? QueueCounts() : nil
        }
    }

    /// Returns when so many tasks sleep by `clock`: when time moves on before, they have not begun to.
    ///
    /// Throws `CancellationError` when the task is cancelled.
    nonisolated(nonsending) public func untilSleeping(_ tasks: Int = 1) async throws(CancellationError) {
        _ = try await watch { $0.sleeperCount >= tasks ? QueueCounts() : nil }
    }

    private nonisolated(nonsending) func watch(
        _ look: @escaping @Sendable (VirtualLoop) -> QueueCounts?
    ) async throws(CancellationError) -> QueueCounts {
        let id = lastID.next()
        let seen: QueueCounts? = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { return continuation.resume(returning: nil) }
                loop.submit { [loop] in
                    loop.watches.add(Watches.Watch(look: look, continuation: continuation), as: id)
                }
                // Cancelled before it was there: the handler found nothing.
                if Task.isCancelled { loop.submit { [loop] in loop.watches.cancel(id) } }
            }
        } onCancel: {
            loop.submit { [loop] in loop.watches.cancel(id) }
        }
        guard let seen else { throw CancellationError() }
        return seen
    }

    /// Clients that are connected.
    nonisolated(nonsending) public func connectionCount() async -> Int { await turn { $0.broker.connections.count } }

    // MARK: Operating

    /// Sets what holds for the queues, topics or durable subscriptions that the pattern names, as a policy of the daemon
    /// does: `try await broker.setPolicy(["delivery_limit": "3"], for: "/queue/orders")`. Setting a pattern again replaces
    /// what it had. docs/policies.md has all settings.
    nonisolated(nonsending) public func setPolicy(
        _ settings: [String: String], for pattern: String
    ) async throws(TestBrokerError) {
        let problem: TestBrokerError? = await turn { loop in
            loop.broker.operate { core, effects in
                let name = core.policies.operators.values.first { $0.pattern == pattern }?.name
                let policy = Policy(
                    name: name ?? "test-\(core.policies.operators.count + 1)", pattern: pattern, settings: settings)
                do throws(PolicyError) {
                    _ = try core.setPolicy(policy, into: &effects)
                    return nil
                } catch {
                    return TestBrokerError(description: error.description)
                }
            }
        }
        if let problem { throw problem }
    }

    // MARK: Trouble

    /// Breaks all connections at once, as a network does. What was on its way is lost; clients connect again, when time
    /// has passed (`ClientOptions.reconnect`).
    ///
    ///     await broker.cutConnections()
    ///     await broker.advance(by: .seconds(1))
    nonisolated(nonsending) public func cutConnections() async {
        await turn { loop in
            for connection in loop.broker.connections.values { connection.cut(code: "peer-reset") }
        }
    }

    /// Breaks all connections, and accepts none until `start`. What is in queues stays.
    nonisolated(nonsending) public func stop() async {
        await turn { $0.refusal = "the test broker is stopped" }
        await cutConnections()
    }

    /// Ends `stop`.
    nonisolated(nonsending) public func start() async { await turn { $0.refusal = nil } }

    /// What a client writes next is done, but its connection breaks before it hears of it: the RECEIPT of a send, say,
    /// which the client then has to send again.
    nonisolated(nonsending) public func loseNextAnswer() async { await turn { $0.broker.losesNextAnswer = true } }

    /// Nothing that anybody writes arrives any more, and nobody is told, until `thaw`: time-outs can be tried with it.
    ///
    ///     await broker.freeze()
    ///     let sending = Task { try await client.send("x", to: "/queue/q", timeout: .seconds(5)) }
    ///     try await broker.untilUnheard()
    ///     await broker.advance(by: .seconds(5))           // `sending` throws ClientError.timedOut
    nonisolated(nonsending) public func freeze() async { await setFrozen(true) }

    /// Ends `freeze`. What was written meanwhile arrives.
    nonisolated(nonsending) public func thaw() async { await setFrozen(false) }

    private nonisolated(nonsending) func setFrozen(_ isFrozen: Bool) async {
        await turn { loop in
            loop.isFrozen = isFrozen
            for connection in loop.broker.connections.values { connection.isFrozen = isFrozen }
        }
    }

    private nonisolated(nonsending) func turn<R: Sendable>(
        _ body: @escaping @Sendable (VirtualLoop) -> R
    ) async -> R {
        await withCheckedContinuation { continuation in
            loop.submit { [loop] in continuation.resume(returning: body(loop)) }
        }
    }
}

/// What a `TestBroker` cannot do, in a sentence: a setting that does not exist, for example.
public struct TestBrokerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong, in a sentence for who wrote the test.
    public let description: String
}

/// How many messages a queue has, and where they are.
public struct QueueCounts: Sendable, Equatable {
    /// All that are in it.
    public var messages = 0
    /// Those that a consumer could have now.
    public var ready = 0
    /// Delivered, and neither acknowledged nor rejected.
    public var unacknowledged = 0
    /// Not due yet (`delay`, `deliver-at`).
    public var delayed = 0
    /// Rejected, and waiting for their next delivery.
    public var waiting = 0
    /// Subscriptions of it, of all clients together.
    public var consumers = 0
    /// Messages that ever came in, and deliveries that ever went out.
    public var received = 0
    /// Deliveries that ever went out, those of a message that came again counted each.
    public var delivered = 0

    /// All zero, as of a queue that does not exist.
    public init() {}

    init(_ view: Core.QueueView?) {
        guard let view else { return }
        messages = Int(clamping: view.messages)
        ready = Int(clamping: view.ready)
        unacknowledged = Int(clamping: view.unacknowledged)
        delayed = Int(clamping: view.delayed)
        waiting = Int(clamping: view.waiting)
        consumers = view.consumers
        received = Int(clamping: view.inTotal)
        delivered = Int(clamping: view.outTotal)
    }
}
