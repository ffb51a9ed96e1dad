import Base
import BrokerClient
import Synchronization

/// Sends by `BrokerClient` as a program would: tasks, each of which waits until its messages are confirmed before it sends
/// the next. They send a batch by one call each, or a message, and are as many as fill the window.
final class LibraryProducer: Sendable {
    /// Messages of one kind, see `HeaderCycle`.
    private struct Kind {
        let destination: String
        let headers: Headers
    }

    private struct State {
        var outcome = Producer.Outcome()
    }

    private let run: Run
    private let index: Int
    // Of the options, which are too large to be copied for each message.
    private let kinds: [Kind]
    private let isPersistent: Bool
    private let quota: UInt64
    private let window: Int
    /// Messages of one call.
    private let batch: Int
    private let sendsOneByOne: Bool
    private let first: [UInt8]
    private let state = Mutex(State())

    private init(_ run: Run, index: Int) {
        self.run = run
        self.index = index
        kinds = (0..<run.sendHeaders.count).map { number in
            let lines = run.sendHeaders.lines(at: number)
            return Kind(
                destination: lines.first { $0.name == "destination" }?.value ?? "",
                headers: Headers(lines.filter { $0.name != "destination" }.map { ($0.name, $0.value) }))
        }
        isPersistent = run.options.isStored
        quota = run.options.quota(ofProducer: index)
        window = run.options.window
        sendsOneByOne = run.options.client == .brokerClientOneByOne
        batch = sendsOneByOne ? 1 : run.options.batchSize
        first = run.body.first(ofProducer: index)
    }

    /// Starts the thread; it arrives when it is connected, and sends once the run begins.
    static func start(_ run: Run, index: Int) throws -> Worker<Producer.Outcome> {
        run.expectOne()
        return try Worker {
            let producer = LibraryProducer(run, index: index)
            do {
                let client = try producer.connect()
                let schedule = run.awaitBegin()
                if !run.hasFailed.load(ordering: .relaxed) {
                    try LibraryClient.wait { try await producer.work(client, schedule) }
                }
            } catch {
                run.fail("producer \(index)", error)
            }
            return producer.state.withLock { $0.outcome }
        }
    }

    private func connect() throws -> Client {
        defer { run.arrive() }
        do {
            return try LibraryClient.wait { [run] in try await LibraryClient.connect(run.options) }
        } catch {
            run.fail("producer", error)  // before the arrival, so that the run sees it
            throw error
        }
    }

    private func work(_ client: Client, _ schedule: Schedule) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for begin in stride(from: 0, to: window, by: batch) {
                let places = min(batch, window - begin)
                group.addTask { try await self.send(client, places, schedule.measured) }
            }
            try await group.waitForAll()
        }
        try await client.close()
    }

    /// So many places in the window.
    private func send(_ client: Client, _ places: Int, _ measured: Range<UInt64>) async throws {
        var sent: (sequences: Range<UInt64>, nanoseconds: UInt64) = (0..<0, 0)
        while true {
            let now = Instant.now.nanoseconds
            let sequences = next(places, behind: sent, at: now, measured)
            if sequences.isEmpty { return }
            let messages = sequences.map { sequence in
                let kind = kinds[Int(sequence % UInt64(kinds.count))]
                var message = Outgoing(body(sequence, now), to: kind.destination, headers: kind.headers)
                message.persistent = isPersistent
                return message
            }
            if sendsOneByOne {
                for message in messages {
                    try await client.send(
                        message.body, to: message.destination, headers: message.headers,
                        persistent: message.persistent)
                }
            } else {
                try await client.send(messages)
            }
            sent = (sequences, now)
        }
    }

    /// Notes that these are confirmed, and says which are sent now, at most so many; none when it is over.
    private func next(
        _ most: Int, behind sent: (sequences: Range<UInt64>, nanoseconds: UInt64), at now: UInt64,
        _ measured: Range<UInt64>
    ) -> Range<UInt64> {
        state.withLock { state in
            for sequence in sent.sequences {
                _ = state.outcome.confirmed.insert(sequence)
                state.outcome.confirms += 1
                state.outcome.lastConfirm = now
                if measured.contains(now) { state.outcome.measured.record(now - min(now, sent.nanoseconds)) }
            }
            guard state.outcome.sent < quota, now < measured.upperBound, !run.hasFailed.load(ordering: .relaxed) else {
                return 0..<0
            }
            let first = state.outcome.sent
            state.outcome.sent = min(first + UInt64(most), quota)
            return first..<state.outcome.sent
        }
    }

    private func body(_ sequence: UInt64, _ now: UInt64) -> [UInt8] {
        var bytes = first
        bytes.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            Body.write(sequence: sequence, nanoseconds: now, into: base, size: bytes.count)
        }
        return bytes
    }
}
