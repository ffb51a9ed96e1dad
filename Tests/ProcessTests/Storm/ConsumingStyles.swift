import BrokerClient
import BrokerClientSQLite
import Synchronization

/// A durable subscription misses nothing; a plain one invents nothing.
struct DurableStyle: StormStyle {
    private let storm: Storm
    private let durable: StormBook
    private let plain: StormBook
    private let consumers: [Consumer]

    init(_ storm: Storm) async throws {
        self.storm = storm
        let (durable, plain) = (StormBook("news", storm.ledger), StormBook("plain news", storm.ledger))
        (self.durable, self.plain) = (durable, plain)
        consumers = [
            try await storm.workers[0].consume(
                "/topic/news", concurrency: 2, headers: ["durable": "true", "x-queue-name": "reader"]
            ) { durable.saw($0.text) },
            try await storm.workers[1].consume("/topic/news") { plain.saw($0.text) },
        ]
    }

    func rage() async throws {
        try await storm.again { number in
            await storm.send(
                "\(number)", to: "/topic/news", in: durable, within: storm.milliseconds(50, 1_200),
                patience: storm.patience)
        }
    }

    func settle() async throws {
        try await storm.settle("all news is read") { durable.confirmed.isSubset(of: durable.seen) }
        await storm.stop(consumers)
    }

    func judge(_ broker: BrokerProcess) {
        durable.judge(isOnce: false)
        let strange = plain.seen.filter { Int($0) == nil }
        storm.ledger.expect(strange.isEmpty, "a plain subscriber got \(strange)")
    }
}

/// Groups keep their order over two consumers, some of whose handlers fail.
struct GroupStyle: StormStyle {
    private struct Trouble: Error {}

    private struct Course {
        /// For each group the numbers in the order in which they were begun first.
        var begun: [String: [Int]] = [:]
        /// Who works on a group.
        var hands: Set<String> = []
        var failed: Set<String> = []
    }

    private final class Watch: Sendable {
        let course = Mutex(Course())
    }

    private static let groups = ["red", "green", "blue"]
    private let storm: Storm
    private let book: StormBook
    private let watch = Watch()
    private let consumers: [Consumer]

    init(_ storm: Storm) async throws {
        self.storm = storm
        let (book, watch) = (StormBook("groups", storm.ledger), watch)
        self.book = book
        var consumers: [Consumer] = []
        for (number, worker) in storm.workers.enumerated() {
            consumers.append(
                try await worker.consume(
                    "/queue/groups", concurrency: 3, orderedBy: .messageGroup,
                    retry: RetryPolicy(first: .milliseconds(1), longest: .milliseconds(1))
                ) { try await Self.work($0, number, storm, book, watch) })
        }
        self.consumers = consumers
    }

    private static func work(
        _ message: Message, _ consumer: Int, _ storm: Storm, _ book: StormBook, _ watch: Watch
    ) async throws {
        let group = message.headers["message-group"] ?? "none"
        let hand = "\(consumer) \(group)"
        let number = Int(message.text.split(separator: ".").last ?? "") ?? -1
        let (isAlone, fails) = watch.course.withLock { course in
            if course.begun[group]?.contains(number) != true { course.begun[group, default: []].append(number) }
            let fails = number % 7 == 3 && course.failed.insert(message.text).inserted
            return (course.hands.insert(hand).inserted, fails)
        }
        storm.ledger.expect(isAlone, "two messages of the group \(group) are in hand at once")
        if storm.below(4) == 0 { try await Task.sleep(for: storm.milliseconds(0, 20)) }
        _ = watch.course.withLock { $0.hands.remove(hand) }
        if fails { throw Trouble() }
        book.saw(message.text)
    }

    func rage() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for name in Self.groups {
                group.addTask {
                    try await storm.again { number in
                        await storm.send(
                            "\(name).\(number)", to: "/queue/groups", headers: ["message-group": name], in: book,
                            within: storm.milliseconds(100, 1_500))
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    func settle() async throws {
        try await storm.settle("all groups are worked on") { book.confirmed.isSubset(of: book.seen) }
        await storm.stop(consumers)
    }

    /// What nobody confirmed may have come late, and at any place.
    func judge(_ broker: BrokerProcess) {
        book.judge(isOnce: false)
        let confirmed = book.confirmed
        for (group, numbers) in watch.course.withLock({ $0.begun }) {
            let sure = numbers.filter { confirmed.contains("\(group).\($0)") }
            storm.ledger.expect(sure == sure.sorted(), "the group \(group) was begun in this order: \(sure)")
        }
    }
}

/// Either the message is there or its result.
struct PipeStyle: StormStyle {
    private let storm: Storm
    private let book: StormBook
    private let stages: [Consumer]
    private let passed: StormBook

    init(_ storm: Storm) async throws {
        self.storm = storm
        book = StormBook("pipe", storm.ledger)
        let passed = StormBook("passed", storm.ledger)
        self.passed = passed
        var stages: [Consumer] = []
        for worker in storm.workers {
            stages.append(
                try await worker.pipe("/queue/in", concurrency: 3) { message in
                    passed.saw(message.text)
                    return [Outgoing(message.text, to: "/queue/out")]
                })
        }
        self.stages = stages
    }

    func rage() async throws {
        try await storm.again { number in
            await storm.send("\(number)", to: "/queue/in", in: book, within: storm.milliseconds(50, 1_500))
        }
    }

    func settle() async throws {
        try await storm.settle("all has gone through the pipe") {
            book.confirmed.isSubset(of: passed.seen) && stages.allSatisfy { $0.counters.inHand == 0 }
        }
        await storm.stop(stages)
    }

    /// Some may have come back at the last moment.
    func judge(_ broker: BrokerProcess) throws {
        for text in try broker.drain("in") + broker.drain("out") { book.saw(text) }
        book.judge(isOnce: true)
    }
}

/// The effect of each message is had once, however often it is delivered. With a store in memory.
struct OnceInMemoryStyle: StormStyle {
    private let work: OnceWork<MemoryOnceStore>
    private let effects: StormBook

    init(_ storm: Storm) async throws {
        let effects = StormBook("effects in memory", storm.ledger)
        self.effects = effects
        work = try await OnceWork(storm, "/queue/once", MemoryOnceStore(), effects) { message, _ in
            effects.saw(message.text)
        }
    }

    func rage() async throws { try await work.rage() }
    func settle() async throws { try await work.settle { effects.seen } }
    func judge(_ broker: BrokerProcess) { effects.judge(isOnce: true) }
}

/// The same in a database: the effect is a row.
struct OnceInSQLiteStyle: StormStyle {
    private let work: OnceWork<SQLiteOnceStore>
    private let effects: StormBook
    private let store: SQLiteOnceStore

    init(_ storm: Storm) async throws {
        let effects = StormBook("effects in SQLite", storm.ledger)
        let store = try await SQLiteOnceStore(path: "\(storm.directory)/effects.sqlite")
        (self.effects, self.store) = (effects, store)
        _ = try await store.once(Self.key("table")) { database in
            try await database.execute("CREATE TABLE effects (what TEXT)")
        }
        work = try await OnceWork(storm, "/queue/rows", store, effects) { message, database in
            try await database.execute("INSERT INTO effects VALUES (?)", [.text(message.text)])
        }
    }

    private static func key(_ id: String) -> MessageKey { MessageKey(consumer: "test", destination: "", id: id) }

    private static func rows(_ store: SQLiteOnceStore, _ look: String) async throws -> [String] {
        let rows = try await store.once(key(look)) { try await $0.query("SELECT what FROM effects") } ?? []
        return rows.compactMap { row in
            if case .text(let text)? = row.first { text } else { nil }
        }
    }

    func rage() async throws { try await work.rage() }

    func settle() async throws {
        var looks = 0
        try await work.settle {
            looks += 1
            return Set(try await Self.rows(store, "look \(looks)"))
        }
    }

    func judge(_ broker: BrokerProcess) async throws {
        for text in try await Self.rows(store, "end") { effects.saw(text) }
        effects.judge(isOnce: true)
    }
}

/// Two subscriptions of one queue with one store.
private struct OnceWork<Store: OnceStore>: Sendable {
    private let storm: Storm
    private let destination: String
    private let book: StormBook
    private let subscriptions: [Subscription]
    private let loops: [Task<Void, Never>]

    init(
        _ storm: Storm, _ destination: String, _ store: Store, _ book: StormBook,
        _ change: @escaping @Sendable (Message, Store.Transaction) async throws -> Void
    ) async throws {
        (self.storm, self.destination, self.book) = (storm, destination, book)
        var subscriptions: [Subscription] = []
        for worker in storm.workers { subscriptions.append(try await worker.subscribe(to: destination, prefetch: 5)) }
        self.subscriptions = subscriptions
        loops = subscriptions.map { subscription in
            Task {
                do throws(ClientError) {
                    try await subscription.once(
                        as: "test", in: store, failed: { storm.ledger.broke("\(destination): \($1)") }, change)
                } catch {
                    storm.ledger.broke("\(destination): the subscription ended with \(error)")
                }
            }
        }
    }

    func rage() async throws {
        try await storm.again { number in
            await storm.send(
                "\(number)", to: destination, in: book, within: storm.milliseconds(50, 1_500),
                patience: storm.patience)
        }
    }

    func settle(_ effects: () async throws -> Set<String>) async throws {
        try await storm.settle("all effects are had") { book.confirmed.isSubset(of: try await effects()) }
        for subscription in subscriptions {
            let outcome = await storm.ledger.call("cancel", within: .seconds(20)) { () throws(ClientError) in
                try await subscription.cancel(timeout: .seconds(20))
            }
            if case .failure(let error) = outcome { storm.ledger.broke("\(destination) is not cancelled: \(error)") }
        }
        for loop in loops { await loop.value }
    }
}

/// Subscriptions that come and go, and readers that lose patience.
struct ComingAndGoingStyle: StormStyle {
    private let storm: Storm

    init(_ storm: Storm) { self.storm = storm }

    func rage() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in storm.workers {
                group.addTask {
                    try await storm.again { _ in await comeAndGo(worker, within: storm.milliseconds(30, 800)) }
                }
            }
            try await group.waitForAll()
        }
    }

    private func comeAndGo(_ client: Client, within timeout: Duration) async {
        let coming = await storm.ledger.call("subscribe", within: timeout, cancelledAfter: storm.patience) {
            () throws(ClientError) in
            try await client.subscribe(to: "/queue/nothing", timeout: timeout)
        }
        guard case .success(let subscription) = coming else { return judge(coming) }
        // Nothing comes there: cancelling is the only end.
        judge(
            await storm.ledger.call("next", within: .seconds(60), cancelledAfter: storm.milliseconds(0, 50)) {
                () throws(ClientError) in _ = try await subscription.next()
            })
        judge(
            await storm.ledger.call("cancel", within: timeout, cancelledAfter: storm.patience) {
                () throws(ClientError) in
                try await subscription.cancel(timeout: timeout)
            })
    }

    private func judge<Value>(_ outcome: Result<Value, ClientError>) {
        guard case .failure(let error) = outcome else { return }
        storm.ledger.expect(StormBook.isOfTheStorm(error), "a subscription ended with \(error)")
    }

    func settle() async throws {}
    func judge(_ broker: BrokerProcess) {}
}
