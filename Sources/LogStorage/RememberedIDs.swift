import BrokerCore

/// The `dedup-id`s that a queue remembers, oldest first: 20 bytes each, as they stand in a checkpoint, so
/// that a million of them go into one by copying.
///
///     0      8     16       20
///     | high | low | second |
struct RememberedIDs: Equatable {
    static let size = 20

    /// Of these the first `start` are forgotten.
    private var bytes: [UInt8] = []
    private var start = 0

    init() {}

    /// As a checkpoint has them. nil when a part of one is left over.
    init?(_ bytes: [UInt8]) {
        if bytes.count % Self.size != 0 { return nil }
        self.bytes = bytes
    }

    var count: Int { (bytes.count - start) / Self.size }
    var isEmpty: Bool { start == bytes.count }
    /// Bytes of memory, about.
    var memory: Int { bytes.capacity }
    /// As a checkpoint wants them.
    var encoded: ArraySlice<UInt8> { bytes[start...] }

    var entries: [DedupEntry] {
        var reader = ByteReader(bytes, from: start)
        var entries: [DedupEntry] = []
        entries.reserveCapacity(count)
        while let high = reader.take64(), let low = reader.take64(), let second = reader.take32() {
            entries.append(DedupEntry(high: high, low: low, second: second))
        }
        return entries
    }

    mutating func append(high: UInt64, low: UInt64, second: UInt32) {
        withUnsafeTemporaryAllocation(byteCount: Self.size, alignment: 8) { room in
            guard let base = room.baseAddress else { return }
            base.put64(high, 0)
            base.put64(low, 8)
            base.put32(second, 16)
            bytes.append(contentsOf: UnsafeRawBufferPointer(room))
        }
    }

    /// Forgets the `count` oldest, or all if there are not so many.
    mutating func removeFirst(_ count: UInt32) {
        start += min(self.count, Int(count)) * Self.size
        if start == bytes.count {
            // Memory is given back where there was much of it; little will be needed at once again.
            if bytes.capacity > 1 << 16 { bytes = [] } else { bytes.removeAll(keepingCapacity: true) }
            start = 0
        } else if start > 4096, start * 2 > bytes.count {
            bytes.removeFirst(start)
            start = 0
        }
    }

    static func == (a: RememberedIDs, b: RememberedIDs) -> Bool { a.encoded == b.encoded }
}
