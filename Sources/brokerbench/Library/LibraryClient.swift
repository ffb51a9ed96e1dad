import BrokerClient
import Dispatch
import Synchronization

/// What producers and consumers by `BrokerClient` have in common.
enum LibraryClient {
    static func connect(_ options: Options) async throws -> Client {
        var wishes = ClientOptions()
        wishes.login = options.login
        if let passcode = options.passcode { wishes.passcode = { passcode } }
        wishes.host = options.virtualHost
        wishes.heartBeat = .none
        // A connection that is lost ends the run, as with clients of our own.
        wishes.reconnect = .never
        wishes.timeout = .seconds(60)
        wishes.unconfirmedMessages = options.window
        wishes.unconfirmedBytes = .max
        wishes.maxMessageBytes = max(wishes.maxMessageBytes, options.size)
        return try await Client.connect(to: [options.address], wishes)
    }

    /// Runs `body` as a task and waits for it on this thread, which must not be one that carries tasks.
    static func wait<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) throws -> Value {
        let outcome = Outcome<Value>()
        Task {
            do {
                let value = try await body()
                outcome.end(.success(value))
            } catch {
                outcome.end(.failure(error))
            }
        }
        return try outcome.wait()
    }

    private final class Outcome<Value: Sendable>: Sendable {
        private let result = Mutex<Result<Value, any Error>?>(nil)
        private let ended = DispatchSemaphore(value: 0)

        func end(_ result: Result<Value, any Error>) {
            self.result.withLock { $0 = result }
            ended.signal()
        }

        func wait() throws -> Value {
            ended.wait()
            guard let result = result.withLock({ $0 }) else { throw Failure("a task ended without a result") }
            return try result.get()
        }
    }
}
