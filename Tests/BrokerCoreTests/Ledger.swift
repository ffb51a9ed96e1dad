import Base
import BrokerCore

/// What is alive in storage after some batches, by plain dictionaries. The contract of the records,
/// said once more in the simplest way.
struct Ledger: Equatable {
    struct Message: Equatable {
        var bytes: [UInt8]
        var flags: UInt8
        var headerBytes: UInt32
        var attempts: UInt32
        var notBefore: UInt64 = 0
        var verdict = Attempt.Verdict.redeliver
    }

    struct Queue: Equatable {
        var name: [UInt8]
        var next: UInt64 = 1
        var live: [UInt64: Message] = [:]
        var note: [UInt8] = []
        var dedup: [DedupEntry] = []

        var bytes: UInt64 { live.values.reduce(0) { $0 + UInt64($1.bytes.count) } }
        var head: UInt64 { live.keys.min() ?? next }
        var attempts: [UInt64: Attempt] {
            live.filter { $0.value.attempts > 0 }.mapValues {
                Attempt(count: $0.attempts, notBefore: $0.notBefore, verdict: $0.verdict)
            }
        }
    }

    var queues: [QueueID: Queue] = [:]
    var nextQueueID: UInt32 = 1
    var note: [UInt8] = []
    /// Bytes that the batch has settled and not said, by queue.
    private var unequal: [QueueID: Int] = [:]

    /// Carries out the records of `batch`; returns a sentence for each that makes no sense.
    mutating func apply(_ batch: Batch) -> [String] {
        var wrong: [String] = []
        let payload = Payload(batch)
        if let problem = payload.problem { wrong.append(problem) }
        for record in batch.records {
            if let problem = apply(record, payload) { wrong.append("batch \(batch.number): \(problem)") }
        }
        for (queue, bytes) in unequal where bytes != 0 {
            wrong.append("batch \(batch.number) settles \(bytes) bytes of \(queue) more than it says")
        }
        unequal = [:]
        return wrong
    }

    private mutating func apply(_ record: Record, _ payload: Payload) -> String? {
        if record.kind == .createQueue {
            guard queues[record.queue] == nil, record.queue.rawValue == nextQueueID else {
                return "\(record.queue) made twice"
            }
            guard let name = payload.bytes(of: record) else { return "the name of \(record.queue) lies across pieces" }
            nextQueueID += 1
            queues[record.queue] = Queue(name: name)
            return nil
        }
        if record.kind == .note, record.queue.rawValue == 0 {
            guard let bytes = payload.bytes(of: record) else { return "the note on the broker lies across pieces" }
            note = bytes
            return nil
        }
        // Taken out while it is changed, or each change would copy it.
        guard var queue = queues.removeValue(forKey: record.queue) else {
            return "\(record.kind) for \(record.queue), which is not there"
        }
        if record.kind == .deleteQueue { return nil }
        defer { queues[record.queue] = queue }
        switch record.kind {
        case .createQueue, .deleteQueue: return nil
        case .append:
            guard record.sequence == queue.next else { return "append of \(record.sequence), not \(queue.next)" }
            guard let bytes = payload.bytes(of: record) else { return "message \(record.sequence) lies across pieces" }
            queue.next += 1
            queue.live[record.sequence] = Message(
                bytes: bytes, flags: record.flags, headerBytes: record.headerBytes, attempts: 0)
        case .settle:
            var settled: UInt64 = 0
            for sequence in record.sequence..<record.sequence + UInt64(record.count) {
                settled += UInt64(queue.live.removeValue(forKey: sequence)?.bytes.count ?? 0)
            }
            // Of several ranges in one batch one may have the bytes of all.
            unequal[record.queue, default: 0] += Int(settled) - Int(record.bytes)
        case .attempt:
            guard let before = queue.live[record.sequence]?.attempts else {
                return "attempt of \(record.sequence), which is gone"
            }
            guard record.count > before else { return "attempts of \(record.sequence) fell to \(record.count)" }
            queue.live[record.sequence]?.attempts = record.count
            queue.live[record.sequence]?.notBefore = record.bytes
            queue.live[record.sequence]?.verdict = Attempt.Verdict(rawValue: record.flags) ?? .redeliver
        case .note:
            guard let bytes = record.bytes == 0 ? [] : payload.bytes(of: record) else {
                return "the note on \(record.queue) lies across pieces"
            }
            queue.note = bytes
        case .remember:
            queue.dedup.append(DedupEntry(high: record.sequence, low: record.bytes, second: record.count))
        case .forget:
            guard Int(record.count) <= queue.dedup.count else { return "more ids forgotten than there are" }
            queue.dedup.removeFirst(Int(record.count))
        }
        return nil
    }
}

/// The payload of one batch, where no message may lie across two pieces.
private struct Payload {
    private var starts: [Int] = []
    private let pieces: [Slice]
    private(set) var problem: String?

    init(_ batch: Batch) {
        pieces = batch.pieces
        var end = 0
        for piece in batch.pieces {
            starts.append(end)
            end += Int(piece.count)
        }
        if end != batch.payloadBytes {
            problem = "batch \(batch.number) has \(end) bytes and says \(batch.payloadBytes)"
        }
    }

    func bytes(of record: Record) -> [UInt8]? {
        if record.bytes == 0 { return [] }
        let from = Int(record.offset)
        guard let at = starts.lastIndex(where: { $0 <= from }) else { return nil }
        let inside = from - starts[at]
        guard inside + Int(record.bytes) <= Int(pieces[at].count) else { return nil }
        return Array(pieces[at].bytes[inside..<inside + Int(record.bytes)])
    }
}
