import Base

/// What becomes durable together: records and the bytes that they name.
extension Core {
    /// Closes the batch that was filled, if it holds anything.
    mutating func seal(into effects: inout Effects) {
        recordForgotten()
        if !full.isEmpty { resumeSenders(into: &effects) }
        if records.isEmpty { return }
        closePiece()
        usualRecords = records.count
        var batch = Batch(number: batchNumber, records: records, pieces: pieces, payloadBytes: payloadBytes)
        batch.isAwaited = records.contains { $0.kind == .append && $0.flags & MessageFlags.durable != 0 }
        effects.batches.append(batch)
        records = []
        pieces = []
        records.reserveCapacity(usualRecords)
        payloadBytes = 0
        batchNumber += 1
    }

    /// What a record counts for in the size of a batch, in bytes; on disk it is not larger.
    static let recordBytes = 64

    /// Closes the batch that was filled if it is not empty and `bytes` of payload in `count` more
    /// records would make it too large for a journal segment. Nothing that belongs together may lie
    /// on both sides of a call.
    @inline(__always)
    mutating func makeRoom(for bytes: Int, records count: Int = 1, into effects: inout Effects) {
        if records.isEmpty { return }
        let size = payloadBytes &+ bytes &+ (records.count &+ count) &* Self.recordBytes
        if size > limits.batchBytes { seal(into: &effects) }
    }

    /// Copies `bytes` into the batch and says where they are, in memory and in the payload.
    @inline(__always)
    mutating func keep(_ bytes: Bytes) -> (slice: Slice, offset: UInt32) {
        let (kept, offset) = place(bytes)
        return (kept.slice, offset)
    }

    /// The same for bytes that may not be needed in memory.
    @inline(__always)
    mutating func place(_ bytes: Bytes) -> (place: Place, offset: UInt32) {
        if !durable.fits(bytes.count) {
            closePiece()
            durable.reserve(bytes.count)
            pieceStart = 0
        }
        let offset = UInt32(payloadBytes)
        payloadBytes += bytes.count
        return (durable.place(bytes), offset)
    }

    /// The same for two stretches that become one.
    mutating func keep(_ first: [UInt8], _ second: Bytes) -> (slice: Slice, offset: UInt32) {
        let count = first.count + second.count
        if !durable.fits(count) {
            closePiece()
            durable.reserve(count)
            pieceStart = 0
        }
        let offset = UInt32(payloadBytes)
        payloadBytes += count
        return (durable.append(first, second), offset)
    }

    /// What was kept since the last piece becomes a piece.
    private mutating func closePiece() {
        guard let chunk = durable.chunk, durable.end > pieceStart else { return }
        pieces.append(Slice(chunk: chunk, offset: pieceStart, count: durable.end - pieceStart))
        pieceStart = durable.end
    }

    /// Adds bytes that are in a chunk already.
    mutating func adopt(_ slice: Slice) -> UInt32 {
        closePiece()
        pieces.append(slice)
        let offset = UInt32(payloadBytes)
        payloadBytes += Int(slice.count)
        return offset
    }

    /// `bytes` of messages of `queue` are done with; joins the record before where it can.
    @inline(__always)
    mutating func settle(_ queue: QueueID, _ sequence: UInt64, bytes: UInt32) {
        if !records.isEmpty, records[records.count - 1].absorb(queue, sequence, bytes) { return }
        records.append(Record(kind: .settle, queue: queue, sequence: sequence, count: 1, bytes: UInt64(bytes)))
    }
}
