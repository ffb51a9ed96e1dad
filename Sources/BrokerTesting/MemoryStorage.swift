import Base
import BrokerCore

/// What the core lets go of and may ask for again. Everything is durable as soon as it is here, for as long as the
/// process lives; nothing is ever recovered, so notes, attempts and remembered ids need not be kept.
struct MemoryStorage {
    /// Messages of one lane, from `first` on without a gap; nil: done with.
    private struct Lane {
        var first: UInt64 = 1
        var messages = Deque<PageMessage?>()

        var next: UInt64 { first + UInt64(messages.count) }
    }

    private var lanes: [QueueID: Lane] = [:]
    /// Of all messages that are alive.
    private(set) var bytes = 0
    /// Every batch up to this one is here.
    private(set) var durable: UInt64 = 0

    mutating func apply(_ batch: Batch) {
        var starts: [Int] = []
        var end = 0
        for piece in batch.pieces {
            starts.append(end)
            end += Int(piece.count)
        }
        for record in batch.records {
            switch record.kind {
            case .append: append(record, batch.pieces, starts)
            case .settle: settle(record)
            case .deleteQueue: delete(record.queue)
            case .createQueue, .attempt, .note, .remember, .forget: break
            }
        }
        durable = batch.number
    }

    private mutating func append(_ record: Record, _ pieces: [Slice], _ starts: [Int]) {
        let offset = Int(record.offset)
        guard let at = starts.lastIndex(where: { $0 <= offset }) else { return }
        let content = Slice(
            chunk: pieces[at].chunk, offset: Int(pieces[at].offset) + offset - starts[at], count: Int(record.bytes))
        var lane = lanes.removeValue(forKey: record.queue) ?? Lane()
        if lane.messages.isEmpty { lane.first = record.sequence }
        lane.messages.append(
            PageMessage(
                sequence: record.sequence, headerBytes: record.headerBytes, content: content, flags: record.flags))
        lanes[record.queue] = lane
        bytes += Int(record.bytes)
    }

    private mutating func settle(_ record: Record) {
        // Taken out while it is changed, or each change would copy it.
        guard var lane = lanes.removeValue(forKey: record.queue) else { return }
        let from = max(record.sequence, lane.first)
        let end = min(record.sequence + UInt64(record.count), lane.next)
        for sequence in from..<max(from, end) {
            let at = Int(sequence - lane.first)
            bytes -= Int(lane.messages[at]?.content.count ?? 0)
            lane.messages[at] = nil
        }
        while let first = lane.messages.first, first == nil {
            lane.messages.popFirst()
            lane.first += 1
        }
        lanes[record.queue] = lane
    }

    private mutating func delete(_ queue: QueueID) {
        guard let lane = lanes.removeValue(forKey: queue) else { return }
        for at in 0..<lane.messages.count { bytes -= Int(lane.messages[at]?.content.count ?? 0) }
    }

    /// As `StorageEngine.read` has it: at least one message, if there is one, and then as many as fit.
    func page(_ wanted: PageWanted) -> (messages: [PageMessage], resumeAt: UInt64) {
        guard let lane = lanes[wanted.queue] else { return ([], wanted.from) }
        var messages: [PageMessage] = []
        var size = 0
        var sequence = max(wanted.from, lane.first)
        while sequence < lane.next {
            if let message = lane.messages[Int(sequence - lane.first)] {
                size += Int(message.content.count)
                if !messages.isEmpty, messages.count >= wanted.maxCount || size > wanted.maxBytes { break }
                messages.append(message)
            }
            sequence += 1
        }
        return (messages, max(wanted.from, sequence))
    }
}
