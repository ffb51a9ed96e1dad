import BrokerClient
import Synchronization

/// Sends many by one call to two queues, with retry, some cancelled: what is confirmed is there once, what is said not to be
/// sent is not there, and what there is of a call is in its order.
struct BatchStyle: StormStyle {
    private static let queues = ["even", "odd"]
    private let storm: Storm
    private let book: StormBook

    init(_ storm: Storm) {
        self.storm = storm
        book = StormBook("of many", storm.ledger)
    }

    func rage() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for sender in 0..<3 {
                group.addTask {
                    try await storm.again { number in
                        let count = [1, 5, 40, 300][storm.below(4)]
                        await send(
                            "\(sender).\(number)", count, within: storm.milliseconds(20, 1_500),
                            patience: storm.patience)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// True if all are confirmed.
    @discardableResult
    private func send(
        _ call: String, _ count: Int, within timeout: Duration, patience: Duration? = nil
    ) async -> Bool {
        let texts = (0..<count).map { "\(call).\($0)" }
        for text in texts { book.sends(text) }
        let retry = storm.below(3) == 0 ? RetryPolicy(attempts: 3, first: .milliseconds(10)) : .never
        let failure = Mutex<BatchError?>(nil)
        let outcome = await storm.ledger.call(
            "send of many", within: timeout, retries: retry != .never, cancelledAfter: patience
        ) {
            [caller = storm.caller] () throws(ClientError) in
            let messages = texts.enumerated().map {
                Outgoing($1, to: "/queue/" + Self.queues[$0 % Self.queues.count])
            }
            do throws(BatchError) {
                try await caller.send(messages, timeout: timeout, retry: retry)
            } catch {
                failure.withLock { $0 = error }
                throw error.cause
            }
        }
        let error = failure.withLock { $0 }
        let outcomes = error?.outcomes ?? texts.map { _ in .confirmed }
        storm.ledger.expect(outcomes.count == count, "\(call): \(outcomes.count) outcomes of \(count) messages")
        for (text, fate) in zip(texts, outcomes) { book.knows(text, fate, outcome) }
        if case .success = outcome { return true }
        return false
    }

    func settle() async throws {
        var tries = 0
        try await storm.settle("a send of many is confirmed") {
            tries += 1
            return await send("last.\(tries)", 100, within: .seconds(20))
        }
    }

    func judge(_ broker: BrokerProcess) throws {
        for queue in Self.queues {
            var last: [Substring: Int] = [:]
            for text in try broker.drain(queue) {
                book.saw(text)
                guard let dot = text.lastIndex(of: "."), let number = Int(text[text.index(after: dot)...]) else {
                    continue
                }
                if let before = last.updateValue(number, forKey: text[..<dot]) {
                    storm.ledger.expect(before < number, "\(queue): \(text) is behind number \(before)")
                }
            }
        }
        book.judge(isOnce: true)
    }
}
