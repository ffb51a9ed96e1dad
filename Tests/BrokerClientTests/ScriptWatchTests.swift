import STOMP
import Testing

@testable import BrokerClient

@Suite(.timeLimit(.minutes(4))) struct ScriptWatchTests {
    /// Goal: a test whose script goes wrong says so, and at once. Method: a call that waits for longer than the test may
    /// take, of a client that would connect again for ever.
    @Test func aScriptThatFailsEndsItsTest() async throws {
        let watch = ScriptWatch()
        let error = await #expect(throws: ScriptError.self) {
            try await ScriptWatch.$current.withValue(watch) {
                try await watch.run {
                    let broker = try FakeBroker { peer in
                        try peer.login()
                        try peer.next(.send)
                    }
                    let client = try await Client.connect(to: [broker.address], options())
                    _ = try await client.subscribe(to: "/queue/a", timeout: .seconds(3600))
                }
            }
        }
        guard case .script(0, let words) = error else { throw ScriptError.nothingCame }
        #expect(words.contains("unexpected"))
    }

    @Test func aTestThatFailsByItselfSaysWhatItSaid() async {
        struct Trouble: Error {}
        await #expect(throws: Trouble.self) { try await ScriptWatch().run { throw Trouble() } }
    }
}
