import Base
import BrokerClient
import Synchronization

/// Takes messages by `BrokerClient` as a program would, in one loop for each subscription: as many as are there, up to a batch, and
/// acknowledges these by one call; or one after the other.
final class LibraryConsumer: Sendable {
    private static let usualPrefetch = 1_000

    private let run: Run
    private let index: Int
    private let outcome: Mutex<Consumer.Outcome>

    private init(_ run: Run, index: Int) {
        self.run = run
        self.index = index
        outcome = Mutex(Consumer.Outcome(run))
    }

    /// Starts the thread; it arrives when subscribed and takes messages until the run is over.
    static func start(_ run: Run, index: Int) throws -> Worker<Consumer.Outcome> {
        run.expectOne()
        return try Worker {
            let consumer = LibraryConsumer(run, index: index)
            do {
                let (client, subscriptions) = try consumer.subscribe()
                let schedule = run.awaitBegin()
                try LibraryClient.wait { try await consumer.work(client, subscriptions, schedule.measured) }
            } catch {
                run.fail("consumer \(index)", error)
            }
            return consumer.outcome.withLock { $0 }
        }
    }

    private func subscribe() throws -> (Client, [Subscription]) {
        defer { run.arrive() }
        do {
            return try LibraryClient.wait { try await self.openSubscriptions() }
        } catch {
            run.fail("consumer", error)  // before the arrival, so that the run sees it
            throw error
        }
    }

    private func openSubscriptions() async throws -> (Client, [Subscription]) {
        let client = try await LibraryClient.connect(run.options)
        let lines = run.subscribeHeaders.lines(at: index)
        let prefetch = lines.first { $0.name == "prefetch-count" }.flatMap { Int($0.value) } ?? Self.usualPrefetch
        let headers = Headers(lines.filter { $0.name != "prefetch-count" }.map { ($0.name, $0.value) })
        var subscriptions: [Subscription] = []
        for destination in run.destinations(ofConsumer: index) {
            subscriptions.append(try await client.subscribe(to: destination, prefetch: prefetch, headers: headers))
        }
        return (client, subscriptions)
    }

    private func work(_ client: Client, _ subscriptions: [Subscription], _ measured: Range<UInt64>) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for subscription in subscriptions { group.addTask { try await self.take(subscription, measured) } }
            // Subscriptions end with the client.
            group.addTask { try await self.closeWhenOver(client) }
            try await group.waitForAll()
        }
    }

    private func closeWhenOver(_ client: Client) async throws {
        while !run.isOver.load(ordering: .relaxed) { try await Task.sleep(for: .milliseconds(20)) }
        try await client.close()
    }

    private func take(_ subscription: Subscription, _ measured: Range<UInt64>) async throws {
        if run.options.client == .brokerClientOneByOne {
            while let message = try await subscription.next() {
                note(message, at: Instant.now.nanoseconds, measured)
                try await message.acknowledge()
            }
        } else {
            while case let messages = try await subscription.next(atMost: run.options.batchSize), !messages.isEmpty {
                let now = Instant.now.nanoseconds
                for message in messages { note(message, at: now, measured) }
                try await messages.acknowledge()
            }
        }
    }

    private func note(_ message: Message, at now: UInt64, _ measured: Range<UInt64>) {
        let isMeasured = measured.contains(now)
        let fresh = message.body.withUnsafeBytes { body in
            outcome.withLock { outcome in
                outcome.note(body, run, at: now, isMeasured: isMeasured)
                return outcome.total - outcome.seen.duplicates
            }
        }
        run.noteReceived(fresh, byConsumer: index)
    }
}
