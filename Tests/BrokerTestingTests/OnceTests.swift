import BrokerClient
import BrokerTesting
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct OnceTests {
    let broker = TestBroker()

    /// What was done, in order.
    private final class Effects: Sendable {
        private let done = Mutex<[String]>([])
        var all: [String] { done.withLock { $0 } }
        func add(_ text: String) { done.withLock { $0.append(text) } }
    }

    private struct Refused: Error {}

    @Test func aMessageThatComesAgainHasNoSecondEffect() async throws {
        let client = try await broker.connect()
        let store = MemoryOnceStore()
        let effects = Effects()
        let orders = try await client.subscribe(to: "/queue/orders")
        try await client.send("bicycle", to: "/queue/orders")
        let order = try #require(try await orders.next())
        let first = try await order.once(as: "billing", in: store) {
            effects.add(order.text)
            // The ACK will find no connection.
            await broker.cutConnections()
            return 7
        }
        #expect(first == .done(7))
        #expect(await broker.queue("/queue/orders").ready == 1)
        await broker.advance(by: .seconds(1))
        let again = try #require(try await orders.next())
        #expect(again.redelivered)
        #expect(try await again.once(as: "billing", in: store) { effects.add("again") }.isSeenBefore)
        try await broker.until("/queue/orders") { $0.messages == 0 }
        #expect(effects.all == ["bicycle"])
        try await client.close()
    }

    /// It goes back to its queue, and comes again as one that is known.
    @Test func aSubscriptionThatIsCancelledMeanwhileIsNoFailure() async throws {
        let client = try await broker.connect()
        let store = MemoryOnceStore()
        let orders = try await client.subscribe(to: "/queue/orders")
        try await client.send("bicycle", to: "/queue/orders")
        let order = try #require(try await orders.next())
        let first = try await order.once(as: "billing", in: store) {
            try await orders.cancel()
            return 7
        }
        #expect(first == .done(7))
        let later = try await client.subscribe(to: "/queue/orders")
        let again = try #require(try await later.next())
        #expect(try await again.once(as: "billing", in: store) {}.isSeenBefore)
        try await client.close()
    }

    @Test func aMessageThatWasSentAgainHasNoSecondEffect() async throws {
        try await broker.setPolicy(["dedup_seconds": "1"], for: "/queue/orders")
        let client = try await broker.connect()
        let store = MemoryOnceStore()
        let orders = try await client.subscribe(to: "/queue/orders")
        var ids: Set<String> = []
        for expected in [true, false] {
            try await client.send("order 7", to: "/queue/orders", headers: ["dedup-id": "order-7"])
            let order = try #require(try await orders.next())
            ids.insert(order.messageID)
            let outcome = try await order.once(as: "billing", in: store) {}
            #expect(outcome.isSeenBefore != expected)
            await broker.advance(by: .seconds(10))
        }
        #expect(ids.count == 2, "the broker was to have forgotten the id")
        try await client.close()
    }

    @Test func aFailedHandlerLeavesNoMarkAndTheMessageComesAgain() async throws {
        let client = try await broker.connect()
        let store = MemoryOnceStore()
        let effects = Effects()
        let orders = try await client.subscribe(to: "/queue/orders")
        let consuming = Task {
            var tries = 0
            try await orders.once(as: "billing", in: store, failed: { _, error in effects.add("\(error)") }) {
                order, _ in
                tries += 1
                if tries == 1 { throw Refused() }
                effects.add(order.text)
            }
        }
        try await client.send("bicycle", to: "/queue/orders")
        try await broker.until("/queue/orders") { $0.waiting == 1 }
        #expect(store.count == 0)
        await broker.advance(by: .seconds(1))
        try await broker.until("/queue/orders") { $0.messages == 0 }
        #expect(effects.all == ["Refused()", "bicycle"])
        #expect(store.count == 1)
        try await client.close()
        try await consuming.value
    }

    @Test func aDeadLetterIsTheMessageThatDied() async throws {
        try await broker.setPolicy(["delivery_limit": "1"], for: "/queue/orders")
        let client = try await broker.connect()
        for headers in [Headers(), ["dedup-id": "mine"]] {
            try await client.send("x", to: "/queue/orders", headers: headers, confirmation: .none)
            let orders = try await client.subscribe(to: "/queue/orders")
            let order = try #require(try await orders.next())
            try await order.reject(requeue: false)
            let dead = try await client.subscribe(to: "/queue/orders.dlq")
            let letter = try #require(try await dead.next())
            #expect(letter.messageID != order.messageID)
            #expect(MessageKey(of: letter, for: "a") == MessageKey(of: order, for: "a"))
            #expect(MessageKey(of: letter, for: "a") != MessageKey(of: order, for: "b"))
            try await letter.acknowledge()
            try await orders.cancel()
            try await dead.cancel()
        }
        try await client.close()
    }

    @Test func onlyTheNewestAreRemembered() async throws {
        let store = MemoryOnceStore(most: 2)
        func key(_ number: Int) -> MessageKey { MessageKey(consumer: "c", destination: "d", id: "\(number)") }
        for number in 1...3 { #expect(try await store.once(key(number)) { number } == number) }
        #expect(store.count == 2)
        #expect(try await store.once(key(3)) { 3 } == nil)
        #expect(try await store.once(key(2)) { 2 } == nil)
        #expect(try await store.once(key(1)) { 1 } == 1)
    }

    /// A delivery that comes again while the first is still being worked on waits for it.
    @Test func twoAtOnceAreOneEffect() async throws {
        let store = MemoryOnceStore()
        let key = MessageKey(consumer: "c", destination: "d", id: "1")
        let (started, start) = AsyncStream.makeStream(of: Void.self)
        let (released, release) = AsyncStream.makeStream(of: Void.self)
        let first = Task {
            try await store.once(key) {
                start.finish()
                for await _ in released {}
                return 1
            }
        }
        for await _ in started {}
        let second = Task { try await store.once(key) { 2 } }
        let cancelled = Task { try await store.once(key) { 3 } }
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        release.finish()
        #expect(try await first.value == 1)
        #expect(try await second.value == nil)
    }
}
