import Base
import BrokerCore

/// A storage that is right and late: batches become durable when the test says so, pages are
/// answered when the test says so, out of what was durable when they were asked for or when they are
/// answered.
struct FakeStorage {
    struct Question {
        var wanted: PageWanted
        /// What was durable when it was asked.
        var asked: Ledger
        /// The queue was purged, moved from or deleted since; the answer means nothing any more.
        var isStale = false
    }

    /// After all batches, and after those that are durable.
    private(set) var appended = Ledger()
    private(set) var durable = Ledger()
    private(set) var durableThrough: UInt64 = 0
    private(set) var lastBatch: UInt64 = 0
    private var waiting: [Batch] = []
    var questions: [Question] = []
    /// Sentences about batches that broke the contract.
    private(set) var wrong: [String] = []
    /// The batch that brought each message, by queue and sequence.
    private(set) var batchOfMessage: [QueueID: [UInt64: UInt64]] = [:]

    init() {}

    /// What a start finds: `durable` of the life before.
    init(recovered: Ledger) {
        appended = recovered
        durable = recovered
    }

    mutating func append(_ batch: Batch) {
        if batch.number != lastBatch + 1 { wrong.append("batch \(batch.number) after \(lastBatch)") }
        lastBatch = batch.number
        for record in batch.records where record.kind == .append {
            batchOfMessage[record.queue, default: [:]][record.sequence] = batch.number
        }
        wrong += appended.apply(batch)
        waiting.append(batch)
    }

    mutating func ask(_ wanted: PageWanted) {
        questions.append(Question(wanted: wanted, asked: durable))
    }

    /// Makes `count` more batches durable; returns through which.
    mutating func sync(_ count: Int) -> UInt64 {
        for batch in waiting.prefix(count) {
            _ = durable.apply(batch)
            durableThrough = batch.number
        }
        waiting.removeFirst(min(count, waiting.count))
        return durableThrough
    }

    var isSynced: Bool { waiting.isEmpty }

    func batch(of sequence: UInt64, in queue: QueueID) -> UInt64 { batchOfMessage[queue]?[sequence] ?? 0 }

    mutating func makeStale(_ queue: QueueID) {
        for index in questions.indices where questions[index].wanted.queue == queue { questions[index].isStale = true }
    }

    /// Messages read from `ledger`, as the contract of `StorageEngine.read` has it.
    static func read(
        _ ledger: Ledger, queue: QueueID, from: UInt64, maxCount: Int, maxBytes: Int
    ) -> (messages: [PageMessage], flags: [UInt8], resumeAt: UInt64) {
        guard let source = ledger.queues[queue] else { return ([], [], from) }
        var messages: [PageMessage] = []
        var flags: [UInt8] = []
        var bytes = 0
        var resumeAt = from
        for sequence in source.live.keys.sorted() where sequence >= from {
            guard let message = source.live[sequence] else { continue }
            if !messages.isEmpty, messages.count >= maxCount || bytes + message.bytes.count > maxBytes {
                return (messages, flags, resumeAt)
            }
            messages.append(
                PageMessage(
                    sequence: sequence, headerBytes: message.headerBytes, content: slice(message.bytes),
                    flags: message.flags))
            flags.append(message.flags)
            bytes += message.bytes.count
            resumeAt = sequence + 1
        }
        return (messages, flags, max(resumeAt, source.next))
    }
}

/// `bytes` in a chunk.
func slice(_ bytes: [UInt8]) -> Slice {
    var arena = Arena()
    return bytes.withUnsafeBufferPointer { arena.append($0) }
}
