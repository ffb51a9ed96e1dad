import BrokerClient
import Synchronization

/// Sends with and without confirmation, with retry, some cancelled: what is confirmed is there, once.
struct SendingStyle: StormStyle {
    private let storm: Storm
    private let book: StormBook

    init(_ storm: Storm) {
        self.storm = storm
        book = StormBook("kept", storm.ledger)
    }

    func rage() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for sender in 0..<3 { group.addTask { try await rage(sender) } }
            try await group.waitForAll()
        }
    }

    private func rage(_ sender: Int) async throws {
        try await storm.again { number in
            let text = "\(sender).\(number)"
            let timeout = storm.milliseconds(20, 1_500)
            if storm.below(10) == 0 { return await post(text, within: timeout) }
            let retry = storm.below(3) == 0 ? RetryPolicy(attempts: 3, first: .milliseconds(10)) : .never
            await storm.send(
                text, to: "/queue/kept", in: book, within: timeout, retry: retry, patience: storm.patience)
        }
    }

    private func post(_ text: String, within timeout: Duration) async {
        book.sends(text)
        let outcome = await storm.ledger.call("send without confirmation", within: timeout) {
            () throws(ClientError) in
            try await storm.caller.send(text, to: "/queue/kept", confirmation: .none, timeout: timeout)
        }
        book.knows(text, outcome, isConfirmed: false)
    }

    func settle() async throws {
        try await storm.settle("a send is confirmed") {
            await storm.send("last", to: "/queue/kept", in: book, within: .seconds(20))
        }
    }

    func judge(_ broker: BrokerProcess) throws {
        for text in try broker.drain("kept") { book.saw(text) }
        book.judge(isOnce: true)
    }
}

/// Requests and their replies.
struct AskingStyle: StormStyle {
    private let storm: Storm
    private let services: [Consumer]

    init(_ storm: Storm) async throws {
        self.storm = storm
        var services: [Consumer] = []
        for worker in storm.workers {
            services.append(
                try await worker.serve("/queue/echo", concurrency: 4) { request in
                    if storm.below(4) == 0 { try await Task.sleep(for: storm.milliseconds(0, 40)) }
                    if request.text.hasSuffix("!") { throw RequestFailure(code: "no", detail: request.text) }
                    return Answer("re: \(request.text)")
                })
        }
        self.services = services
    }

    func rage() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for asker in 0..<4 {
                group.addTask {
                    try await storm.again { number in
                        let isRefused = storm.below(10) == 0
                        await ask("\(asker).\(number)" + (isRefused ? "!" : ""), within: storm.milliseconds(20, 900))
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// True if it was answered.
    @discardableResult
    private func ask(_ text: String, within timeout: Duration) async -> Bool {
        let retry = storm.below(3) == 0 ? RetryPolicy(attempts: 3, first: .milliseconds(10)) : .never
        let outcome = await storm.ledger.call(
            "request", within: timeout, retries: retry != .never, cancelledAfter: storm.patience
        ) {
            [caller = storm.caller] () throws(ClientError) in
            try await caller.request(text, to: "/queue/echo", timeout: timeout, retry: retry)
        }
        switch outcome {
        case .success(let reply):
            storm.ledger.expect(reply.text == "re: \(text)", "\(text) was answered with \(reply.text)")
            return true
        case .failure(.requestFailed(let failure)):
            storm.ledger.expect(
                text.hasSuffix("!") && failure.code == "no" && failure.detail == text,
                "\(text) was answered with \(failure)")
        case .failure(let error):
            storm.ledger.expect(StormBook.isOfTheStorm(error), "\(text) ended with \(error)")
        }
        return false
    }

    func settle() async throws {
        try await storm.settle("a request is answered") { await ask("last", within: .seconds(20)) }
        // Those of the other styles that ask count, too.
        try await storm.settle("no request is in flight") { storm.caller.requestCounters.inFlight == 0 }
        if let breaker = storm.caller.circuitBreaker(for: "/queue/echo") {
            try await storm.settle("the circuit is closed") {
                if breaker.state == .closed { return true }
                await ask("more", within: .seconds(20))
                return false
            }
        }
        await storm.stop(services)
    }

    func judge(_ broker: BrokerProcess) {
        let strays = storm.caller.requestCounters.unknownReplies
        storm.ledger.expect(strays == 0, "\(strays) replies were to nobody's question")
    }
}

/// Requests whose replies come to a durable queue.
struct LaterStyle: StormStyle {
    private let storm: Storm
    private let book: StormBook
    private let consumers: [Consumer]

    init(_ storm: Storm) async throws {
        self.storm = storm
        let book = StormBook("quoted", storm.ledger)
        self.book = book
        consumers = [
            try await storm.workers[0].serve("/queue/quotes", concurrency: 3) { Answer("re: \($0.text)") },
            try await storm.workers[1].consume("/queue/quoted", concurrency: 3) { reply in
                let asked = reply.headers["correlation-id"] ?? "nothing"
                storm.ledger.expect(reply.text == "re: \(asked)", "\(asked) was answered later with \(reply.text)")
                book.saw(asked)
            },
        ]
    }

    func rage() async throws {
        try await storm.again { number in
            await storm.send(
                "\(number)", to: "/queue/quotes",
                headers: ["reply-to": "/queue/quoted", "correlation-id": "\(number)"], in: book,
                within: storm.milliseconds(50, 1_500), patience: storm.patience)
        }
    }

    func settle() async throws {
        try await storm.settle("all requests are answered later") { book.confirmed.isSubset(of: book.seen) }
        await storm.stop(consumers)
    }

    func judge(_ broker: BrokerProcess) { book.judge(isOnce: false) }
}

/// Questions to all who listen.
struct GatheringStyle: StormStyle {
    private static let names: Set<String> = ["eu", "us"]
    private let storm: Storm
    private let services: [Consumer]

    init(_ storm: Storm) async throws {
        self.storm = storm
        var services: [Consumer] = []
        for (name, worker) in zip(Self.names.sorted(), storm.workers) {
            services.append(
                try await worker.serve("/topic/offers", concurrency: 2, name: name) { Answer("\(name): \($0.text)") })
        }
        self.services = services
    }

    func rage() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for asker in 0..<2 {
                group.addTask {
                    try await storm.again { number in
                        _ = await gather("\(asker).\(number)", within: storm.milliseconds(20, 600))
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// True if all answered.
    private func gather(_ text: String, within timeout: Duration) async -> Bool {
        let most = 1 + storm.below(4)
        let outcome = await storm.ledger.call("gather", within: timeout, cancelledAfter: storm.patience) {
            [caller = storm.caller] () throws(ClientError) in
            try await caller.gather(text, to: "/topic/offers", from: Self.names, timeout: timeout, atMost: most)
        }
        switch outcome {
        case .success(let offers):
            judge(offers, text, most)
            return offers.end == .complete
        case .failure(let error):
            storm.ledger.expect(StormBook.isOfTheStorm(error), "gathering \(text) ended with \(error)")
            return false
        }
    }

    private func judge(_ offers: Gathered, _ text: String, _ most: Int) {
        let names = offers.replies.compactMap { $0.headers["replied-by"] }
        for (name, reply) in zip(names, offers.replies) {
            storm.ledger.expect(reply.text == "\(name): \(text)", "\(text) was answered by all with \(reply.text)")
        }
        storm.ledger.expect(names.count == Set(names).count, "\(text) was answered twice by one of \(names)")
        storm.ledger.expect(
            offers.missing == Self.names.subtracting(names), "\(text): missing \(offers.missing), heard \(names)")
        let isWhole = names.count >= most || offers.missing.isEmpty
        storm.ledger.expect(isWhole == (offers.end == .complete), "\(text): \(offers.end) with \(names) of \(most)")
    }

    func settle() async throws {
        try await storm.settle("all answer") { await gather("last", within: .seconds(5)) }
        await storm.stop(services)
    }

    func judge(_ broker: BrokerProcess) {}
}

/// Two queues in one transaction.
struct TransactionStyle: StormStyle {
    private let storm: Storm
    private let left: StormBook
    private let right: StormBook

    init(_ storm: Storm) {
        self.storm = storm
        left = StormBook("left", storm.ledger)
        right = StormBook("right", storm.ledger)
    }

    func rage() async throws {
        try await storm.again { number in await transact("\(number)", within: storm.milliseconds(30, 900)) }
    }

    private func transact(_ text: String, within timeout: Duration) async {
        for book in [left, right] { book.sends(text) }
        // BEGIN, COMMIT and each of the two sends have this time.
        let outcome = await storm.ledger.call("transaction", within: timeout * 4) {
            () async throws(ClientError) -> Void in
            do {
                try await storm.caller.transaction(timeout: timeout) { transaction in
                    for side in ["left", "right"] {
                        let sent = await storm.ledger.call("send in a transaction", within: timeout) {
                            () throws(ClientError) in
                            try await transaction.send(text, to: "/queue/\(side)", timeout: timeout)
                        }
                        try sent.get()
                    }
                }
            } catch let error as ClientError {
                throw error
            } catch {
                storm.ledger.broke("a transaction threw \(error)")
                throw .outcomeUnknown
            }
        }
        for book in [left, right] { book.knows(text, outcome) }
    }

    func settle() async throws {}

    func judge(_ broker: BrokerProcess) throws {
        for text in try broker.drain("left") { left.saw(text) }
        for text in try broker.drain("right") { right.saw(text) }
        for book in [left, right] { book.judge(isOnce: true) }
        let halves = left.seen.symmetricDifference(right.seen)
        storm.ledger.expect(halves.isEmpty, "half a transaction: \(halves.sorted())")
    }
}
