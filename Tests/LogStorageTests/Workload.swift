import Base
import BrokerCore
import Simulation
import Storage
import Synchronization
import Testing

@testable import LogStorage

/// What a store should hold, kept the plainest way there is.
struct Model: Equatable {
    struct Message: Equatable {
        var content: [UInt8]
        var flags: UInt8
        var headerBytes: UInt32
    }

    struct Queue: Equatable {
        var name: [UInt8]
        var next: UInt64 = 1
        var live: [UInt64: Message] = [:]
        var attempts: [UInt64: Attempt] = [:]
        var note: [UInt8] = []
        var dedup: [DedupEntry] = []

        var head: UInt64 { live.keys.min() ?? next }
    }

    var queues: [UInt32: Queue] = [:]
    var note: [UInt8] = []
    var nextQueueID: UInt32 = 1
}

/// Puts a batch together as the core does.
struct BatchBuilder {
    var records: [Record] = []
    private var pieces: [Slice] = []
    private var arena = Arena()
    private var bytes = 0

    mutating func add(_ content: [UInt8]) -> UInt32 {
        let slice = content.withUnsafeBufferPointer { arena.append($0) }
        let offset = UInt32(bytes)
        bytes += content.count
        if let last = pieces.last, last.chunk === slice.chunk, last.offset + last.count == slice.offset {
            pieces[pieces.count - 1] = Slice(
                chunk: last.chunk, offset: Int(last.offset), count: Int(last.count + slice.count))
        } else {
            pieces.append(slice)
        }
        return offset
    }

    mutating func create(_ queue: UInt32, _ name: String) {
        let name = Array(name.utf8)
        records.append(
            Record(kind: .createQueue, queue: QueueID(rawValue: queue), bytes: UInt64(name.count), offset: add(name)))
    }

    mutating func delete(_ queue: UInt32) {
        records.append(Record(kind: .deleteQueue, queue: QueueID(rawValue: queue)))
    }

    mutating func append(
        _ queue: UInt32, _ sequence: UInt64, _ content: [UInt8], flags: UInt8 = 0, headerBytes: UInt32 = 0
    ) {
        records.append(
            Record(
                kind: .append, flags: flags, headerBytes: headerBytes, queue: QueueID(rawValue: queue),
                sequence: sequence, bytes: UInt64(content.count), offset: add(content)))
    }

    /// The message that was added last goes to another queue as well.
    mutating func share(_ queue: UInt32, _ sequence: UInt64) {
        guard var record = records.last else { return }
        record.queue = QueueID(rawValue: queue)
        record.sequence = sequence
        records.append(record)
    }

    mutating func settle(_ queue: UInt32, _ sequence: UInt64, count: UInt32 = 1, bytes: Int) {
        records.append(
            Record(
                kind: .settle, queue: QueueID(rawValue: queue), sequence: sequence, count: count, bytes: UInt64(bytes)))
    }

    mutating func attempt(_ queue: UInt32, _ sequence: UInt64, _ attempt: Attempt) {
        records.append(
            Record(
                kind: .attempt, flags: attempt.verdict.rawValue, queue: QueueID(rawValue: queue), sequence: sequence,
                count: attempt.count, bytes: attempt.notBefore))
    }

    mutating func note(_ queue: UInt32, _ content: [UInt8]) {
        records.append(
            Record(
                kind: .note, queue: QueueID(rawValue: queue), bytes: UInt64(content.count),
                offset: content.isEmpty ? 0 : add(content)))
    }

    mutating func remember(_ queue: UInt32, _ entry: DedupEntry) {
        records.append(
            Record(
                kind: .remember, queue: QueueID(rawValue: queue), sequence: entry.high, count: entry.second,
                bytes: entry.low))
    }

    mutating func forget(_ queue: UInt32, _ count: UInt32) {
        records.append(Record(kind: .forget, queue: QueueID(rawValue: queue), count: count))
    }

    /// For records that nothing else makes.
    mutating func add(_ record: Record) { records.append(record) }

    var isEmpty: Bool { records.isEmpty }

    func batch(_ number: UInt64) -> Batch {
        Batch(number: number, records: records, pieces: pieces, payloadBytes: bytes)
    }
}

/// Random batches, and the model after each.
struct Workload {
    var dice: SplitMix64
    var model = Model()
    /// Whether more is appended than settled.
    var keepsMore = false
    /// Whether there are only records that version 1 of the format knew.
    var isVersion1 = false
    var queuesMax = 6
    private var number: UInt64 = 0

    init(seed: UInt64) { dice = SplitMix64(seed: seed) }

    /// The next batch; `model` is what the store should hold after it.
    mutating func next() -> Batch {
        var builder = BatchBuilder()
        for _ in 0..<dice.roll(1..<6) { step(&builder) }
        number += 1
        return builder.batch(number)
    }

    private mutating func step(_ builder: inout BatchBuilder) {
        let ids = model.queues.keys.sorted()
        let kind = dice.roll(0..<100)
        if ids.isEmpty || (kind < 3 && ids.count < queuesMax) { return create(&builder) }
        let id = ids[dice.roll(0..<ids.count)]
        switch kind {
        case ..<4: delete(id, &builder)
        case ..<(keepsMore ? 75 : 55): append(id, &builder)
        case ..<90: settle(id, &builder)
        case ..<94: attempt(id, &builder)
        case _ where isVersion1: attempt(id, &builder)
        case ..<96: note(dice.oneIn(4) ? 0 : id, &builder)
        case ..<99: remember(id, &builder)
        default: forget(id, &builder)
        }
    }

    private mutating func note(_ id: UInt32, _ builder: inout BatchBuilder) {
        let size = dice.oneIn(4) ? 0 : dice.roll(1..<120)
        let content = (0..<size).map { _ in UInt8(dice.roll(0..<256)) }
        builder.note(id, content)
        if id == 0 { model.note = content } else { model.queues[id]?.note = content }
    }

    private mutating func remember(_ id: UInt32, _ builder: inout BatchBuilder) {
        for _ in 0..<dice.roll(1..<4) {
            let entry = DedupEntry(
                high: UInt64(dice.roll(0..<Int.max)), low: UInt64(dice.roll(0..<1000)), second: UInt32(dice.roll(0..<9))
            )
            builder.remember(id, entry)
            model.queues[id]?.dedup.append(entry)
        }
    }

    /// Now and then more than there are.
    private mutating func forget(_ id: UInt32, _ builder: inout BatchBuilder) {
        let count = dice.roll(1..<8)
        builder.forget(id, UInt32(count))
        guard let there = model.queues[id]?.dedup.count else { return }
        model.queues[id]?.dedup.removeFirst(min(count, there))
    }

    private mutating func create(_ builder: inout BatchBuilder) {
        let id = model.nextQueueID
        builder.create(id, "queue \(id)")
        model.queues[id] = Model.Queue(name: Array("queue \(id)".utf8))
        model.nextQueueID += 1
    }

    private mutating func delete(_ id: UInt32, _ builder: inout BatchBuilder) {
        if model.queues.count < 2 { return append(id, &builder) }
        builder.delete(id)
        model.queues[id] = nil
    }

    private mutating func append(_ id: UInt32, _ builder: inout BatchBuilder) {
        guard var queue = model.queues[id] else { return }
        let size = dice.oneIn(20) ? dice.roll(1000..<3000) : dice.roll(0..<200)
        let content = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ Int(queue.next) &* 13 &+ Int(id)) }
        let message = Model.Message(
            content: content, flags: UInt8(dice.roll(0..<256)), headerBytes: UInt32(dice.roll(0..<size + 1)))
        builder.append(id, queue.next, content, flags: message.flags, headerBytes: message.headerBytes)
        queue.live[queue.next] = message
        queue.next += 1
        model.queues[id] = queue
    }

    private mutating func settle(_ id: UInt32, _ builder: inout BatchBuilder) {
        guard var queue = model.queues[id], queue.next > 1 else { return append(id, &builder) }
        var sequence = UInt64(dice.roll(0..<Int(queue.next)))
        if dice.oneIn(2) { sequence = queue.head }
        let count = UInt32(dice.oneIn(4) ? dice.roll(1..<40) : 1)
        var bytes = 0
        for at in sequence..<sequence + UInt64(count) where at < queue.next {
            bytes += queue.live.removeValue(forKey: at)?.content.count ?? 0
            queue.attempts[at] = nil
        }
        builder.settle(id, sequence, count: count, bytes: bytes)
        model.queues[id] = queue
    }

    private mutating func attempt(_ id: UInt32, _ builder: inout BatchBuilder) {
        guard var queue = model.queues[id], let sequence = queue.live.keys.min() else { return append(id, &builder) }
        var attempt = Attempt(count: (queue.attempts[sequence]?.count ?? 0) + 1)
        if !isVersion1, dice.oneIn(2) {
            attempt.notBefore = UInt64(dice.roll(0..<Int.max))
            attempt.verdict = dice.oneIn(3) ? .deadLetter : .redeliver
        }
        builder.attempt(id, sequence, attempt)
        queue.attempts[sequence] = attempt
        model.queues[id] = queue
    }
}

extension Store {
    /// All that the store holds, by reading it page by page. A failure of a page ends the test.
    func contents(pageCount: Int = 50, pageBytes: Int = 4000) throws -> Model {
        var model = Model()
        let ids = state.withLock { $0.ledger.ids }
        (model.nextQueueID, model.note) = state.withLock { ($0.ledger.nextQueueID, $0.ledger.note) }
        for id in ids {
            let queue = try #require(state.withLock { $0.ledger.queue(id) })
            var read = Model.Queue(
                name: queue.name, next: queue.next, attempts: queue.attempts, note: queue.note,
                dedup: queue.remembered.entries)
            var from: UInt64 = 1
            while true {
                let page = page(
                    PageRequest(queue: QueueID(rawValue: id), from: from, maxCount: pageCount, maxBytes: pageBytes))
                if let failure = page.failure { throw StorageFailure(failure) }
                for message in page.messages {
                    read.live[message.sequence] = Model.Message(
                        content: Array(message.content.bytes), flags: message.flags, headerBytes: message.headerBytes)
                }
                if page.resumeAt == from { break }
                from = page.resumeAt
            }
            model.queues[id] = read
        }
        return model
    }
}

extension Recovery {
    /// Says what does not agree with the model; nil if all does.
    func difference(from model: Model) -> String? {
        if nextQueueID != model.nextQueueID { return "next queue \(nextQueueID), not \(model.nextQueueID)" }
        if note != model.note { return "the note on the broker is \(note), not \(model.note)" }
        if queues.map(\.id.rawValue) != model.queues.keys.sorted() { return "other queues" }
        for queue in queues {
            guard let expected = model.queues[queue.id.rawValue] else { return "a queue too many" }
            let bytes = expected.live.values.reduce(0) { $0 + $1.content.count }
            if queue.name != expected.name || queue.next != expected.next || queue.head != expected.head
                || queue.messages != UInt64(expected.live.count) || queue.bytes != UInt64(bytes)
                || queue.attempts != expected.attempts || queue.note != expected.note || queue.dedup != expected.dedup
            {
                return "queue \(queue.id.rawValue): \(queue), expected next \(expected.next), head \(expected.head), "
                    + "\(expected.live.count) messages, \(bytes) bytes, attempts \(expected.attempts), note "
                    + "\(expected.note), ids \(expected.dedup)"
            }
        }
        return nil
    }
}
