import Synchronization
import Testing

/// Ends a test with the error of its script, as soon as one of its fake brokers fails.
///
/// Without it the client under test would connect again for ever to a broker that is gone, and the test would say nothing
/// but that its time is over.
struct EndsWithItsScripts: TestTrait, SuiteTrait, TestScoping {
    var isRecursive: Bool { true }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        // A suite as a whole runs no script.
        if testCase == nil { return try await function() }
        let watch = ScriptWatch()
        try await ScriptWatch.$current.withValue(watch) { try await watch.run(function) }
    }
}

extension Trait where Self == EndsWithItsScripts {
    static var endsWithItsScripts: Self { Self() }
}

/// Where the scripts of one test say that they have failed.
final class ScriptWatch: Sendable {
    /// Of the test that runs in this task.
    @TaskLocal static var current: ScriptWatch?

    private let error = Mutex<(any Error)?>(nil)
    private let over = Reached()

    /// The first one counts: what comes behind it comes of it.
    func failed(_ error: any Error) {
        self.error.withLock { $0 = $0 ?? error }
        over.mark()
    }

    /// When a script fails, the test is cancelled on the way out, so that every call of a client in it throws.
    func run(_ function: @Sendable () async throws -> Void) async throws {
        async let test: Void = perform(function)
        await over.wait()
        if let error = error.withLock({ $0 }) { throw error }
        try await test
    }

    private func perform(_ function: @Sendable () async throws -> Void) async throws {
        defer { over.mark() }
        try await function()
    }
}
