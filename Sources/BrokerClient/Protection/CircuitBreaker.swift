import Base
import Synchronization

/// Keeps calls away from something that fails, so that it can recover and callers learn it at once.
///
///     let breaker = CircuitBreaker("rates")
///     let rate = try await breaker.run {
///         try await rates.today()
///     } fallback: { _ in
///         yesterday
///     }
///
/// With `ClientOptions.circuitBreaker` the library has one for each destination by itself: see `Client.circuitBreaker`.
public final class CircuitBreaker: Sendable {
    private struct State {
        var circuit: Circuit
        var watching: [UInt64: AsyncStream<CircuitState>.Continuation] = [:]
        var lastKey: UInt64 = 0
    }

    /// In `ClientError.circuitOpen`; of those of a client, the destination.
    public let name: String
    private let shared: Mutex<State>
    private let now: @Sendable () -> Instant

    /// A breaker of its own, closed at first, that goes by the steady clock of the machine. The name is for errors and logs.
    public convenience init(_ name: String, _ options: CircuitBreakerOptions = CircuitBreakerOptions()) {
        self.init(name, options) { Instant.now }
    }

    init(_ name: String, _ options: CircuitBreakerOptions, now: @escaping @Sendable () -> Instant) {
        self.name = name
        self.now = now
        shared = Mutex(State(circuit: Circuit(options)))
    }

    deinit {
        for continuation in shared.withLock({ Array($0.watching.values) }) { continuation.finish() }
    }

    /// What it does with calls now. `open` turns into `halfOpen` with the first call after `openFor`, not by itself.
    public var state: CircuitState { shared.withLock { $0.circuit.state } }

    /// The states from now on, beginning with the present one; ends with the breaker. One that is not read keeps the
    /// newest 16.
    public var states: AsyncStream<CircuitState> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: CircuitState.self, bufferingPolicy: .bufferingNewest(16))
        let key = shared.withLock { shared in
            shared.lastKey += 1
            shared.watching[shared.lastKey] = continuation
            continuation.yield(shared.circuit.state)
            return shared.lastKey
        }
        continuation.onTermination = { [weak self] _ in self?.forget(key) }
        return stream
    }

    /// Runs `body` if the circuit lets it, and counts how it went. Errors that say nothing about the other side do not
    /// count: cancellation, mistakes of the caller, and whatever a service refuses with a `RequestFailure` of its own.
    ///
    /// Throws `ClientError.circuitOpen` without running it when it does not; `fallback` is asked instead of that, and of
    /// every error that counts, what is to be returned.
    @discardableResult
    nonisolated(nonsending) public func run<Value>(
        _ body: () async throws -> Value, fallback: ((any Error) async throws -> Value)? = nil
    ) async throws -> Value {
        do {
            return try await counted(body)
        } catch {
            guard let fallback, Self.result(of: error) == .failed || Self.isOpen(error) else { throw error }
            return try await fallback(error)
        }
    }

    nonisolated(nonsending) private func counted<Value>(_ body: () async throws -> Value) async throws -> Value {
        let ticket = try begin()
        do {
            let value = try await body()
            finished(ticket, .succeeded)
            return value
        } catch {
            finished(ticket, Self.result(of: error))
            throw error
        }
    }

    // MARK: For the client

    func begin() throws(ClientError) -> Circuit.Ticket {
        let now = now()
        let (ticket, milliseconds) = shared.withLock { shared in
            let ticket = change(&shared) { $0.begin(at: now) }
            return (ticket, shared.circuit.milliseconds(at: now))
        }
        guard let ticket else {
            throw .circuitOpen(name, retryIn: .milliseconds(Int64(clamping: milliseconds)))
        }
        return ticket
    }

    func finished(_ ticket: Circuit.Ticket, _ result: Circuit.Result) {
        shared.withLock { shared in change(&shared) { $0.finished(ticket, result, at: now()) } }
    }

    /// Under the lock, so that all see the same order; a stream only keeps what it is given.
    private func change<Value>(_ shared: inout State, _ event: (inout Circuit) -> Value) -> Value {
        let before = shared.circuit.state
        let value = event(&shared.circuit)
        let after = shared.circuit.state
        if after != before { for continuation in shared.watching.values { continuation.yield(after) } }
        return value
    }

    private func forget(_ key: UInt64) {
        _ = shared.withLock { $0.watching.removeValue(forKey: key) }
    }

    private static func isOpen(_ error: any Error) -> Bool {
        if case .circuitOpen = error as? ClientError { return true }
        return false
    }

    /// What an error says about the other side.
    static func result(of error: any Error) -> Circuit.Result {
        guard let error = error as? ClientError else { return error is CancellationError ? .neither : .failed }
        switch error {
        case .requestFailed(let failure):
            return failure.code == RequestFailure.internalError ? .failed : .succeeded
        case .invalidAddress, .invalidHeader, .cancelled, .closed, .tooManyRequests, .circuitOpen, .alreadySettled,
            .subscriptionEnded, .transactionEnded, .notSupported:
            return .neither
        case .connectFailed, .connectTimedOut, .credentialsFailed, .loginRefused, .versionRefused, .refused,
            .connectionLost, .outcomeUnknown, .timedOut:
            return .failed
        }
    }
}

/// The circuit breakers of one client, by destination.
final class CircuitBoard: Sendable {
    /// Destinations can come from outside.
    private static let most = 1_000

    private let options: CircuitBreakerOptions?
    private let breakers = Mutex<[String: CircuitBreaker]>([:])

    private let now: @Sendable () -> Instant

    init(_ options: CircuitBreakerOptions?, now: @escaping @Sendable () -> Instant) {
        self.options = options
        self.now = now
    }

    /// Nil if there are to be none.
    func breaker(for destination: String) -> CircuitBreaker? {
        guard let options else { return nil }
        return breakers.withLock { breakers in
            if let breaker = breakers[destination] { return breaker }
            if breakers.count >= Self.most { breakers = breakers.filter { $0.value.state != .closed } }
            let breaker = CircuitBreaker(destination, options, now: now)
            // With so many open ones this call goes unwatched.
            if breakers.count < Self.most { breakers[destination] = breaker }
            return breaker
        }
    }

    nonisolated(nonsending) func run<Value>(
        _ destination: String, _ body: () async throws(ClientError) -> Value
    ) async throws(ClientError) -> Value {
        guard let breaker = breaker(for: destination) else { return try await body() }
        let ticket = try breaker.begin()
        do throws(ClientError) {
            let value = try await body()
            breaker.finished(ticket, .succeeded)
            return value
        } catch {
            breaker.finished(ticket, CircuitBreaker.result(of: error))
            throw error
        }
    }
}
