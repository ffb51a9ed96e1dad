import Base

@testable import BrokerCore

/// A core with what a loop and a journal do around it: carries effects out, keeps what was delivered.
struct Rig {
    var core: Core
    var storage = FakeStorage()
    var effects = Effects(loops: 1)
    /// What was delivered since the last `take`.
    var delivered: [Delivery] = []
    var kicks: [Kick] = []
    /// Who was held and let go since the last `takeHolds`.
    var holds: [Hold] = []
    var reports: [Report] = []
    /// Numbers of the batches of the last call.
    var batches: [Batch] = []
    /// Batches go to the storage, for the sake of speed only where somebody looks.
    var isStoring = true
    /// The broker's time of day, in milliseconds.
    var wall: UInt64 = 1_000_000
    /// What commands name by index.
    var extras = CommandExtras()
    private var connections: UInt64 = 0
    private let defaults: QueueSettings

    init(limits: CoreLimits = CoreLimits(), defaults: QueueSettings = .calm) {
        core = Core(limits: limits, defaults: defaults)
        self.defaults = defaults
    }

    /// A core started on what `ledger` holds.
    init(
        limits: CoreLimits = CoreLimits(), defaults: QueueSettings = .calm, policies: [Policy] = [],
        recovered ledger: Ledger, wall: UInt64 = 1_000_000
    ) {
        core = Core(limits: limits, nextQueueID: ledger.nextQueueID, defaults: defaults)
        self.defaults = defaults
        self.wall = wall
        core.now = Moment(Instant(nanoseconds: wall * 1_000_000), wall: wall)
        storage = FakeStorage(recovered: ledger)
        core.restore(policies: policies, note: ledger.note)
        for (id, queue) in ledger.queues.sorted(by: { $0.key < $1.key }) {
            core.restore(
                queue: id, name: queue.name, head: queue.head, next: queue.next, messages: UInt64(queue.live.count),
                bytes: queue.bytes, attempts: queue.attempts, note: queue.note, dedup: queue.dedup)
        }
    }

    mutating func carryOut() {
        delivered += effects.deliveries[0].flatMap(\.single)
        kicks += effects.kicks
        holds += effects.holds
        reports += effects.reports
        batches = effects.batches
        if isStoring { for batch in effects.batches { storage.append(batch) } }
        for wanted in effects.pages { storage.ask(wanted) }
        effects.clear()
    }

    mutating func open() -> SessionID {
        connections += 1
        return core.open(SessionAddress(loop: 0, connection: connections))
    }

    mutating func tick(seconds: UInt64) {
        let now = Instant(nanoseconds: seconds * 1_000_000_000)
        core.tick(now: Moment(now, wall: wall), into: &effects)
        carryOut()
    }

    mutating func close(_ session: SessionID) {
        core.close(session, into: &effects)
        carryOut()
    }

    /// What came out since the last call.
    mutating func take() -> [Delivery] {
        defer { delivered = [] }
        return delivered
    }

    mutating func takeHolds() -> [Hold] {
        defer { holds = [] }
        return holds
    }

    // MARK: Commands

    @discardableResult
    mutating func apply(
        _ requests: [Request], of session: SessionID, now: Instant = Instant(nanoseconds: 0)
    ) -> (done: Int, refusal: Refusal?, batch: UInt64) {
        var arena: [UnsafeMutableBufferPointer<UInt8>] = []
        defer { for bytes in arena { bytes.deallocate() } }
        func keep(_ bytes: [UInt8]) -> Bytes {
            let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
            _ = copy.initialize(from: bytes)
            arena.append(copy)
            return Bytes(copy)
        }
        let commands = requests.map { $0.command(keep) }
        let result = commands.withUnsafeBufferPointer {
            core.apply($0, extras: extras, of: session, now: Moment(now, wall: wall), into: &effects)
        }
        carryOut()
        return result
    }

    /// Applies one command and says why it was refused, if it was.
    @discardableResult
    mutating func apply(_ request: Request, of session: SessionID) -> Refusal.Kind? {
        apply([request], of: session).refusal?.kind
    }

    /// A message with headers, with the wishes that stand in `extras` if there are any.
    mutating func send(head: String, _ destination: String, _ body: String, of session: SessionID) {
        let content = Array((head + "\n" + body).utf8) + [0]
        let name = Array(destination.utf8)
        name.withUnsafeBufferPointer { name in
            content.withUnsafeBufferPointer { content in
                let send = Send(
                    destination: name, content: content, headerBytes: UInt32(head.utf8.count + 1),
                    flags: MessageFlags.durable, extras: extras.sends.isEmpty ? -1 : 0)
                [Command.send(send)].withUnsafeBufferPointer {
                    _ = core.apply(
                        $0, extras: extras, of: session, now: Moment(core.now.monotonic, wall: wall), into: &effects)
                }
            }
        }
        carryOut()
    }

    /// A message with wishes.
    @discardableResult
    mutating func send(
        _ destination: String, _ body: String, of session: SessionID, durable: Bool = true, transaction: UInt32 = 0,
        _ wishes: (inout SendExtras) -> Void
    ) -> Refusal.Kind? {
        var more = SendExtras()
        wishes(&more)
        extras.sends = [more]
        return apply(
            .send(destination, body, durable: durable, transaction: transaction, extras: 0), of: session)
    }

    @discardableResult
    mutating func subscribe(
        _ slot: UInt32, _ destination: String, _ mode: AcknowledgeMode, of session: SessionID, count: UInt32 = 1000,
        _ wishes: (inout SubscribeExtras) -> Void
    ) -> Refusal.Kind? {
        var more = SubscribeExtras()
        wishes(&more)
        extras.subscribes = [more]
        return apply(.subscribe(slot, destination, mode, count: count, extras: 0), of: session)
    }

    /// Lets time pass and carries out what is due.
    mutating func pass(_ milliseconds: UInt64) {
        wall += milliseconds
        core.now = Moment(Instant(nanoseconds: wall * 1_000_000), wall: wall)
        core.wake(into: &effects)
        carryOut()
        settleDown()
    }

    /// One second passes.
    mutating func tick() {
        wall += 1000
        core.tick(now: Moment(Instant(nanoseconds: wall * 1_000_000), wall: wall), into: &effects)
        carryOut()
        settleDown()
    }

    /// The process is gone; another starts on what was durable.
    mutating func restart() {
        self = Rig(defaults: defaults, recovered: storage.durable, wall: wall)
    }

    /// What is in a queue on disk, lanes included: bodies by the suffix of the lane, "" for the queue itself.
    func stored(_ name: String) -> [String: [String]] {
        var found: [String: [String]] = [:]
        for queue in storage.durable.queues.values {
            guard let (base, lane) = Lane.split(queue.name), base == Array(name.utf8) else { continue }
            let live = queue.live.sorted { $0.key < $1.key }.map(\.value)
            if !live.isEmpty {
                found[lane.suffix] = live.map {
                    String(decoding: $0.bytes.dropFirst(Int($0.headerBytes)).dropLast(), as: UTF8.self)
                }
            }
        }
        return found
    }

    // MARK: Completions

    mutating func sync(_ count: Int = .max) {
        core.durable(through: storage.sync(count), into: &effects)
        carryOut()
    }

    /// Answers the oldest question.
    mutating func answer(failure: String? = nil) {
        let question = storage.questions.removeFirst()
        answer(question.wanted, from: storage.durable, failure: failure)
    }

    mutating func answer(_ wanted: PageWanted, from ledger: Ledger, failure: String? = nil) {
        let page = FakeStorage.read(
            ledger, queue: wanted.queue, from: wanted.from, maxCount: wanted.maxCount, maxBytes: wanted.maxBytes)
        core.page(
            wanted, messages: failure == nil ? page.messages : [],
            resumeAt: failure == nil ? page.resumeAt : wanted.from,
            failure: failure, into: &effects)
        carryOut()
    }

    /// Syncs and answers until nothing is outstanding.
    mutating func settleDown() {
        for _ in 0..<100_000 {
            if storage.questions.isEmpty, storage.isSynced { return }
            sync()
            if !storage.questions.isEmpty { answer() }
        }
    }
}

/// A command with bytes of its own.
enum Request: Equatable {
    case send(String, String, durable: Bool = true, memo: Int32 = -1, transaction: UInt32 = 0, extras: Int32 = -1)
    case accept(UInt32, UInt64, transaction: UInt32 = 0)
    case reject(UInt32, UInt64, transaction: UInt32 = 0, Verdict = .requeue)
    case settle(slot: UInt32, queue: UInt32, sequence: UInt64, accept: Bool, transaction: UInt32 = 0)
    case subscribe(
        UInt32, String, AcknowledgeMode, count: UInt32 = 1000, bytes: UInt64 = 1 << 20, extras: Int32 = -1)
    case unsubscribe(UInt32)
    case temporary(String)
    case begin(UInt32)
    case commit(UInt32)
    case abort(UInt32)
    case disconnect
    case flushed(Int)

    func command(_ keep: ([UInt8]) -> Bytes) -> Command {
        switch self {
        case .send(let destination, let body, let durable, let memo, let transaction, let extras):
            .send(
                Send(
                    memo: memo, destination: keep(Array(destination.utf8)), content: keep(Self.content(body)),
                    headerBytes: 1,
                    flags: durable ? MessageFlags.durable : 0, transaction: transaction, extras: extras))
        case .accept(let slot, let tag, let transaction): .acknowledge(slot: slot, tag: tag, transaction: transaction)
        case .reject(let slot, let tag, let transaction, let verdict):
            .reject(slot: slot, tag: tag, transaction: transaction, verdict: verdict)
        case .settle(let slot, let queue, let sequence, let accept, let transaction):
            .settleMessage(
                slot: slot, queue: queue, sequence: sequence, verdict: accept ? .accept : .requeue,
                transaction: transaction)
        case .subscribe(let slot, let destination, let mode, let count, let bytes, let extras):
            .subscribe(
                Subscribe(
                    slot: slot, destination: keep(Array(destination.utf8)), mode: mode, prefetchCount: count,
                    prefetchBytes: bytes, extras: extras))
        case .unsubscribe(let slot): .unsubscribe(slot: slot)
        case .temporary(let name): .createTemporary(name: keep(Array(name.utf8)))
        case .begin(let number): .begin(transaction: number)
        case .commit(let number): .commit(transaction: number)
        case .abort(let number): .abort(transaction: number)
        case .disconnect: .disconnect
        case .flushed(let bytes): .flushed(bytes: bytes)
        }
    }

    /// No headers, the body, NUL.
    static func content(_ body: String) -> [UInt8] { [10] + Array(body.utf8) + [0] }
}

extension Delivery {
    var body: String { String(decoding: content.bytes.dropFirst(Int(headerBytes)).dropLast(), as: UTF8.self) }
}

extension [Delivery] {
    var bodies: [String] { map(\.body) }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
