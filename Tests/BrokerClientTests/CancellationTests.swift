import STOMP
import Testing

@testable import BrokerClient

/// Every wait of the library ends when its task is cancelled, and the client is good for more afterwards.
@Suite(.timeLimit(.minutes(4)), .endsWithItsScripts) struct CancellationTests {
    /// Runs `call` in a task, cancels it when the broker has seen `isUnderWay`, and returns what it threw.
    private func cancelled(
        after isUnderWay: Reached, _ call: @escaping @Sendable () async throws -> Void
    ) async throws -> (any Error)? {
        let task = Task { try await call() }
        await isUnderWay.wait()
        task.cancel()
        switch await task.result {
        case .success: return nil
        case .failure(let error): return error
        }
    }

    @Test func connect() async throws {
        let isUnderWay = Reached()
        let broker = try FakeBroker { peer in
            try peer.next(.connect)
            isUnderWay.mark()
            try peer.expectEnd()
        }
        let error = try await cancelled(after: isUnderWay) {
            _ = try await Client.connect(to: [broker.address], options())
        }
        #expect(error as? ClientError == .cancelled)
        try await broker.finished()
    }

    enum Wait: CaseIterable {
        case send, subscribe, next, unsubscribe, confirmedAcknowledge, commit
    }

    @Test(arguments: Wait.allCases) func whileTheBrokerIsSilent(about wait: Wait) async throws {
        let isUnderWay = Reached()
        let broker = try FakeBroker { peer in
            let subscribe = try peer.loginAndSubscribe()
            switch wait {
            case .send: try peer.next(.send)
            case .subscribe: try peer.next(.subscribe)
            case .next: break
            case .unsubscribe: try peer.next(.unsubscribe)
            case .confirmedAcknowledge:
                try peer.deliver("one", to: subscribe)
                try peer.next(.ack)
            case .commit:
                try peer.next(.begin)
                try peer.next(.commit)
            }
            isUnderWay.mark()
            var frame = try peer.next()
            if wait == .subscribe {
                guard frame.command == .unsubscribe else {
                    throw ScriptError.unexpected(frame, wanted: .unsubscribe)
                }
                frame = try peer.next()
            }
            guard frame.text == "after" else { throw ScriptError.unexpected(frame, wanted: .send) }
            try peer.receipt(frame)
            try peer.receipt(try peer.next(.disconnect))
        }
        let client = try await Client.connect(to: [broker.address], options())
        let orders = try await client.subscribe(to: "/queue/a")
        let error = try await cancelled(after: isUnderWay) {
            switch wait {
            case .send: try await client.send("x", to: "/queue/a")
            case .subscribe: _ = try await client.subscribe(to: "/queue/b")
            case .next: _ = try await orders.next()
            case .unsubscribe: try await orders.cancel()
            case .confirmedAcknowledge:
                let message = try await orders.next()
                try await message?.acknowledge(confirmation: .receipt)
            case .commit: try await client.transaction { _ in }
            }
        }
        #expect(error as? ClientError == .cancelled)
        try await client.send("after", to: "/queue/a")
        try await client.close()
        try await broker.finished()
    }

    @Test func close() async throws {
        let isUnderWay = Reached()
        let broker = try FakeBroker { peer in
            try peer.login()
            try peer.next(.disconnect)
            isUnderWay.mark()
            try peer.expectEnd()
        }
        var client: Client? = try await Client.connect(to: [broker.address], options())
        let error = try await cancelled(after: isUnderWay) { [client] in
            try await client?.close(timeout: .seconds(3600))
        }
        #expect(error as? ClientError == .cancelled)
        // The last reference hangs up.
        client = nil
        try await broker.finished()
    }

    /// Goal: what waits for a connection can be cancelled, too. Method: the broker is gone for good.
    @Test func sendAndTransactionWhileDisconnected() async throws {
        let broker = try FakeBroker { try $0.login() }
        let client = try await Client.connect(to: [broker.address], options())
        for await state in client.states {
            if case .disconnected = state { break }
        }
        for isTransaction in [false, true] {
            let task = Task {
                if isTransaction {
                    try await client.transaction { _ in }
                } else {
                    try await client.send("x", to: "/queue/a")
                }
            }
            task.cancel()
            let result = await task.result
            #expect(throws: ClientError.cancelled) { try result.get() }
        }
        try await client.close()
    }

    @Test func aTaskCancelledBeforeTheCallSendsNothing() async throws {
        let broker = try FakeBroker { peer in
            try peer.login()
            try peer.goodBye()
        }
        let client = try await Client.connect(to: [broker.address], options())
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            try await client.send("x", to: "/queue/a")
        }
        task.cancel()
        let result = await task.result
        #expect(throws: ClientError.cancelled) { try result.get() }
        try await client.close()
        try await broker.finished()
    }

    /// Goal: no call is lost or answered twice when its receipt and its cancellation meet. Method: many at once;
    /// a lost one would never end, one answered twice would stop the program.
    @Test func receiptsAndCancellationsMayMeet() async throws {
        let rounds = 2_000
        let broker = try FakeBroker { peer in
            try peer.login()
            var frame = try peer.next()
            while frame.command == .send {
                try peer.receipt(frame)
                frame = try peer.next()
            }
            try peer.receipt(frame)
        }
        let client = try await Client.connect(to: [broker.address], options())
        var ended = 0
        for _ in 0..<rounds {
            let task = Task { try await client.send("x", to: "/queue/a") }
            if ended % 3 == 0 { await Task.yield() }
            task.cancel()
            switch await task.result {
            case .success: ended += 1
            case .failure(let error):
                #expect(error as? ClientError == .cancelled)
                ended += 1
            }
        }
        #expect(ended == rounds)
        try await client.close()
        try await broker.finished()
    }
}
