import Synchronization

/// Reads a subscription and has each message worked on, with a limit and in the order of the lanes.
///
///     reading ----stop, end of the subscription----> finishing ----last one in hand is done----> ended
final class Workshop: Sendable {
    /// Returns what went wrong, for the span.
    typealias Work = @Sendable (Message, Workshop) async -> (any Error)?

    private struct State {
        var lanes: Lanes<Message>
        /// Nothing new begins.
        var isStopping = false
        var isReading = true
        var failure: ClientError?
        var reader: Task<Void, Never>?
        /// The reader, while there is no room.
        var waiting: CheckedContinuation<Void, Never>?
        var hands: [UInt64: Task<Void, Never>] = [:]
        var lastHand: UInt64 = 0
    }

    let subscription: Subscription
    private let room: Int
    private let ordering: Ordering
    private let tally: Tally
    private let work: Work
    private let state: Mutex<State>
    private let stopping = Milestone()
    private let ended = Milestone()

    /// `room`: so many messages are held at most, those in hand included.
    init(
        _ subscription: Subscription, concurrency: Int, room: Int, ordering: Ordering, _ tally: Tally,
        work: @escaping Work
    ) {
        self.subscription = subscription
        self.room = max(room, concurrency)
        self.ordering = ordering
        self.tally = tally
        self.work = work
        state = Mutex(State(lanes: Lanes(concurrency: concurrency)))
    }

    func open() {
        state.withLock { state in state.reader = Task { await self.read() } }
    }

    private var clock: ClientClock { subscription.clock }
    var isStopping: Bool { state.withLock { $0.isStopping } }
    var inHand: Int { state.withLock { $0.lanes.running } }
    /// Why it ended by itself.
    var failure: ClientError? { state.withLock { $0.failure } }

    /// Nothing new is begun; what is in hand goes on.
    func stop() {
        let (reader, waiting) = state.withLock { state in
            state.isStopping = true
            state.lanes.dropWaiting()
            defer { state.waiting = nil }
            return (state.reader, state.waiting)
        }
        stopping.reach()
        reader?.cancel()
        waiting?.resume()
    }

    /// Lets the time pass. False if there is no more to be done: it is stopping, or the task was cancelled.
    func pause(milliseconds: UInt64) async -> Bool {
        let isStopping = await stopping.wait(for: .milliseconds(Int64(clamping: milliseconds)), by: clock)
        return !isStopping && !Task.isCancelled
    }

    func cancelHands() {
        let hands = state.withLock { Array($0.hands.values) }
        for hand in hands { hand.cancel() }
    }

    /// False if the task was cancelled or the time passed before.
    nonisolated(nonsending) func waitForEnd(_ duration: Duration? = nil) async -> Bool {
        await ended.wait(for: duration, by: clock)
    }

    // MARK: Reading

    private func read() async {
        do throws(ClientError) {
            while await hasRoom(), let message = try await subscription.next() { take(message) }
            readingEnded(nil)
        } catch {
            readingEnded(error)
        }
    }

    /// Waits for room. False: nothing more is to be read.
    private func hasRoom() async -> Bool {
        await withCheckedContinuation { continuation in
            let mustWait = state.withLock { state in
                guard !state.isStopping, state.lanes.count >= room else { return false }
                state.waiting = continuation
                return true
            }
            if !mustWait { continuation.resume() }
        }
        return !isStopping
    }

    private func take(_ message: Message) {
        let group = ordering.group(message)
        state.withLock { state in
            // One that came while stopping goes back to its queue with the subscription.
            if state.isStopping { return }
            state.lanes.arrived(message, group: group)
            begin(&state)
        }
    }

    private func readingEnded(_ error: ClientError?) {
        stopping.reach()
        let isOver = state.withLock { state in
            if !state.isStopping { state.failure = error }
            state.isStopping = true
            state.isReading = false
            // What the subscription brought cannot be settled without it.
            state.lanes.dropWaiting()
            return state.lanes.running == 0
        }
        if isOver { ended.reach() }
    }

    // MARK: Working

    private func begin(_ state: inout State) {
        while !state.isStopping, let job = state.lanes.start() {
            state.lastHand += 1
            let number = state.lastHand
            state.hands[number] = Task {
                await self.workOn(job.item)
                self.finished(job, number)
            }
        }
    }

    /// What is sent meanwhile belongs to the trace of the message, and to no trace if it has none: the task that began to
    /// consume has nothing to do with it.
    private func workOn(_ message: Message) async {
        tally.began()
        await TraceContext.$current.withValue(TraceContext(of: message)) {
            let observer = message.engine.options.observer
            _ = await observer.inSpan(ClientSpan(handling: message)) { () async throws(any Error) in
                if let error = await work(message, self) { throw error }
            }
        }
        tally.ended()
    }

    private func finished(_ job: Lanes<Message>.Job, _ number: UInt64) {
        let (waiting, isOver) = state.withLock { state in
            state.hands[number] = nil
            state.lanes.finished(job)
            begin(&state)
            var waiting: CheckedContinuation<Void, Never>?
            if state.lanes.count < room { swap(&waiting, &state.waiting) }
            return (waiting, !state.isReading && state.lanes.running == 0)
        }
        waiting?.resume()
        if isOver { ended.reach() }
    }
}
