import Base
import STOMP

/// Many SENDs that one call waits for.
extension Conversation {
    /// Answered when all of them are confirmed, or with what has become of each when one is refused or the call gives up.
    /// As to everything else they are sends like others: they wait their turn, and go out again after a reconnect.
    mutating func send(_ batch: Batch, deadline: Instant, at now: Instant) {
        self.now = now
        batches.insert(batch)
        wait(batch.id, Request(.batch, deadline: deadline))
    }

    /// Lets those out for which there is room. True: all are out.
    mutating func admitBatch(_ id: RequestID) -> Bool {
        guard let place = batches.place(of: id) else { return true }
        let batch = batches[place].batch
        let begin = batches[place].written
        var end = begin
        while end < batch.count {
            let bytes = batch.weight(end)
            guard hasRoom(for: bytes) else { break }
            isUnderWay(bytes)
            end += 1
        }
        batches[place].written = end
        if end > begin { transmit(batch, begin..<end) }
        guard end == batch.count else { return false }
        requests[id]?.isUnconfirmed = true
        return true
    }

    /// False: this receipt belongs to no batch.
    mutating func confirmInBatch(_ receipt: UInt64) -> Bool {
        if batches.isEmpty { return false }
        guard let place = batches.place(of: receipt) else { return false }
        let index = Int(receipt - batches[place].batch.first)
        if batches[place].confirm(index) {
            isConfirmed(batches[place].batch.weight(index))
            if batches[place].isComplete { succeed(batches[place].batch.id) }
        }
        return true
    }

    /// The message with this receipt caused an ERROR. None of its batch is sent again: it would be refused for the
    /// same reason as like as not, and those behind it may rest on it.
    mutating func refusedInBatch(_ receipt: UInt64, _ error: BrokerError) -> Bool {
        guard let place = batches.place(of: receipt) else { return false }
        let index = Int(receipt - batches[place].batch.first)
        // One that is confirmed, or was never written, cannot be it.
        guard index < batches[place].written, !batches[place].isConfirmed[index] else { return false }
        batches[place].refused = (index, error)
        fail(batches[place].batch.id, .refused(error))
        return true
    }

    /// The broker does not say which frame it was. See `suspicions`.
    mutating func suspectBatches(_ error: BrokerError) {
        for id in batches.records.filter(\.isUnderWay).map(\.batch.id) {
            guard let place = batches.place(of: id) else { continue }
            batches[place].suspicions += 1
            if batches[place].suspicions < Self.suspicions { continue }
            let record = batches[place]
            if let index = record.unconfirmed.first?.lowerBound {
                tell(.givenUp(destination: record.batch.messages[index].destination, error))
            }
            fail(id, .refused(error))
        }
    }

    /// The effect that answers the call; the batch is forgotten, and what of it was under way makes room.
    mutating func endBatch(_ id: RequestID, _ result: Result<Reply, ClientError>) {
        guard let place = batches.place(of: id) else { return }
        let record = batches.remove(at: place)
        for range in record.unconfirmed {
            for index in range { isConfirmed(record.batch.weight(index)) }
        }
        switch result {
        case .success: add(.complete(id, result))
        case .failure(let error): add(.complete(id, .success(.unfinished(record.outcomes, error))))
        }
    }

    /// Nothing will be heard of it any more. nil: because the program wanted it.
    mutating func endBatch(_ id: RequestID, because reason: ClientError?) {
        let isUnderWay = batches.place(of: id).map { batches[$0].isUnderWay } ?? false
        fail(id, isUnderWay ? .outcomeUnknown : reason ?? .closed)
    }
}
