import BrokerClient
import Synchronization

/// What happened to the calls of one storm, told naively.
final class StormLedger: Sendable {
    /// A call that took longer than it may.
    struct Overrun: Sendable {
        let what: String
        let due: ContinuousClock.Instant
        let ended: ContinuousClock.Instant
    }

    private struct State {
        var broken: [String] = []
        var overruns: [Overrun] = []
        var calls = 0
        var outcomes: [String: Int] = [:]
        var open: [Int: String] = [:]
        var lastCall = 0
    }

    /// Later than that by less is not worth a note.
    static let noted = Duration.milliseconds(10)
    private let state = Mutex(State())

    var broken: [String] { state.withLock { $0.broken } }
    var overruns: [Overrun] { state.withLock { $0.overruns } }
    var calls: Int { state.withLock { $0.calls } }
    /// How often each kind of call ended in each way.
    var outcomes: [String: Int] { state.withLock { $0.outcomes } }
    /// Calls that have not ended.
    var open: [String] { state.withLock { Array($0.open.values) } }

    /// A promise was broken.
    func broke(_ words: String) { state.withLock { $0.broken.append(words) } }

    func expect(_ isSo: Bool, _ words: @autoclosure () -> String) { if !isSo { broke(words()) } }

    /// Runs a call that must end within this time, and notes how it ended.
    func call<Value: Sendable>(
        _ what: String, within timeout: Duration, retries: Bool = false, _ body: () async throws(ClientError) -> Value
    ) async -> Result<Value, ClientError> {
        let number = state.withLock { state in
            state.lastCall += 1
            state.open[state.lastCall] = "\(what) within \(timeout)"
            return state.lastCall
        }
        let begun = ContinuousClock.now
        let outcome: Result<Value, ClientError>
        do throws(ClientError) { outcome = .success(try await body()) } catch { outcome = .failure(error) }
        let time = retries ? timeout : Self.time(of: outcome, timeout)
        ended(what, number, due: begun + time, Self.word(for: outcome))
        return outcome
    }

    /// The same, cancelled after a while: then it must end at once.
    func call<Value: Sendable>(
        _ what: String, within timeout: Duration, retries: Bool = false, cancelledAfter patience: Duration?,
        _ body: @escaping @Sendable () async throws(ClientError) -> Value
    ) async -> Result<Value, ClientError> {
        guard let patience else { return await call(what, within: timeout, retries: retries, body) }
        let calling = Task { await self.call(what, within: timeout, retries: retries, body) }
        let ending = Task {
            let outcome = await calling.value
            return (outcome, ContinuousClock.now)
        }
        // Sleeping cannot fail: nobody cancels this task.
        _ = try? await Task.sleep(for: patience)
        let due = ContinuousClock.now
        calling.cancel()
        let (outcome, ended) = await ending.value
        if ended > due + Self.noted {
            state.withLock { $0.overruns.append(Overrun(what: "cancelled \(what)", due: due, ended: ended)) }
        }
        return outcome
    }

    private func ended(_ what: String, _ number: Int, due: ContinuousClock.Instant, _ word: String) {
        let now = ContinuousClock.now
        state.withLock { state in
            state.open[number] = nil
            state.calls += 1
            state.outcomes["\(what): \(word)", default: 0] += 1
            if now > due + Self.noted { state.overruns.append(Overrun(what: what, due: due, ended: now)) }
        }
    }

    /// What is refused without being tried takes no time at all, if it is not tried again.
    private static func time<Value>(of outcome: Result<Value, ClientError>, _ timeout: Duration) -> Duration {
        switch outcome {
        case .failure(.tooManyRequests), .failure(.circuitOpen): .zero
        default: timeout
        }
    }

    private static func word<Value>(for outcome: Result<Value, ClientError>) -> String {
        guard case .failure(let error) = outcome else { return "done" }
        switch error {
        case .refused(let reason): return "refused, \(reason.message)"
        case .connectionLost: return "connection lost"
        case .circuitOpen: return "circuit open"
        case .requestFailed(let failure): return "failed, \(failure.code)"
        case .tooManyRequests: return "too many requests"
        case .connectFailed: return "connect failed"
        case .connectTimedOut: return "connect timed out"
        default: return "\(error)"
        }
    }
}

/// What was sent to one place, and what is known of it.
final class StormBook: Sendable {
    private enum Fate { case confirmed, perhaps, no }

    private struct State {
        var fates: [String: Fate] = [:]
        var seen: [String: Int] = [:]
    }

    private let what: String
    private let ledger: StormLedger
    private let state = Mutex(State())

    init(_ what: String, _ ledger: StormLedger) {
        self.what = what
        self.ledger = ledger
    }

    var confirmed: Set<String> { state.withLock { Set($0.fates.filter { $0.value == .confirmed }.keys) } }
    var seen: Set<String> { state.withLock { Set($0.seen.keys) } }

    /// Before it is sent, for it may be seen before its sender knows.
    func sends(_ text: String) { state.withLock { $0.fates[text] = .perhaps } }

    /// Its sender knows now. `isConfirmed`: success says that it is stored.
    func knows<Value>(_ text: String, _ outcome: Result<Value, ClientError>, isConfirmed: Bool = true) {
        switch outcome {
        case .success: if isConfirmed { state.withLock { $0.fates[text] = .confirmed } }
        case .failure(let error):
            if Self.saysNo(error) { state.withLock { $0.fates[text] = .no } }
            ledger.expect(Self.isOfTheStorm(error), "\(what): \(text) ended with \(error)")
        }
    }

    /// The same of one among many.
    func knows<Value>(_ text: String, _ fate: BatchError.Outcome, _ outcome: Result<Value, ClientError>) {
        switch fate {
        case .confirmed: state.withLock { $0.fates[text] = .confirmed }
        case .refused, .notSent: state.withLock { $0.fates[text] = .no }
        case .unknown: break
        }
        if case .failure(let error) = outcome {
            ledger.expect(Self.isOfTheStorm(error), "\(what): \(text) ended with \(error)")
        }
    }

    func saw(_ text: String) { state.withLock { $0.seen[text, default: 0] += 1 } }

    /// All that was confirmed is there; nothing that was not sent, or refused; nothing twice, where that is promised.
    func judge(isOnce: Bool) {
        state.withLock { state in
            for (text, fate) in state.fates where fate == .confirmed && state.seen[text] == nil {
                ledger.broke("\(what): \(text) was confirmed and is lost")
            }
            for (text, count) in state.seen {
                switch state.fates[text] {
                case nil: ledger.broke("\(what): \(text) is invented")
                case .no: ledger.broke("\(what): \(text) was not sent, and is there")
                case .confirmed, .perhaps: break
                }
                ledger.expect(count == 1 || !isOnce, "\(what): \(text) is there \(count) times")
            }
        }
    }

    /// It certainly did not happen.
    private static func saysNo(_ error: ClientError) -> Bool {
        switch error {
        case .circuitOpen, .tooManyRequests, .refused: true
        default: false
        }
    }

    /// What callers may see in a storm.
    static func isOfTheStorm(_ error: ClientError) -> Bool {
        switch error {
        case .timedOut, .outcomeUnknown, .connectionLost, .cancelled, .circuitOpen, .tooManyRequests: true
        case .refused(let reason): reason.message == "server shutting down"
        default: false
        }
    }
}
