/// A message that is sent again is not stored again. See docs/protocol.md, "Duplicates".
///
/// For each message: `dedupHash`, then for each queue `isDuplicate`, and `remember` behind the record
/// that stores it, with no `makeRoom` in between, so that both are in one batch.
extension Core {
    /// Records that `remember` may add to a batch, beside the one of the message.
    static let dedupRecords = 3
    /// What one send, and one tick, forget at most of what has got too old or too much.
    private static let forgottenPerSend = 64
    private static let forgottenPerTick = 10_000
    private static let windowsPerTick = 1000

    /// In which headers a `dedup-id` stands.
    static let dedupHeaders: [StaticString] = ["dedup-id", "_AMQ_DUPL_ID", "Nats-Msg-Id"]

    /// The key for a store: always the same one, so that ids are known again after a restart.
    public static func dedupKey(storeID: UInt64) -> (UInt64, UInt64) {
        let hash = withUnsafeBytes(of: storeID.littleEndian) { SipHash.hash($0, key: (0, 0)) }
        return (hash.high, hash.low)
    }

    /// What a message is known again by; nil when the sender did not give it an id.
    @inline(__always)
    func dedupHash(_ extras: SendExtras?) -> DedupHash? {
        guard let extras, !extras.dedupID.isEmpty else { return nil }
        return SipHash.hash(extras.dedupID, key: dedupKey)
    }

    /// The same of one that asks for nothing else.
    @inline(__always)
    func dedupHash(_ send: Send) -> DedupHash? {
        send.dedupCount == 0 ? nil : SipHash.hash(send.dedupID, key: dedupKey)
    }

    private var second: UInt32 { UInt32(clamping: now.wall / 1000) }

    /// Whether the queue has taken a message of that id already. If so it is counted, and the answer to
    /// the client waits for the batch of the first.
    @inline(__always)
    mutating func isDuplicate(_ hash: DedupHash?, in index: Int) -> Bool {
        guard let hash, duplicates.windowCount > 0 else { return false }
        return isDuplicate(hash, in: index)
    }

    private mutating func isDuplicate(_ hash: DedupHash, in index: Int) -> Bool {
        guard let found = duplicates.find(hash, in: Int32(index)) else { return false }
        let (seconds, most) = dedupWindow(of: index)
        if most == 0 || UInt64(found.second) + seconds < UInt64(second) { return false }
        // The last batch of the queue: the one of the first message or one behind it.
        requiredBatch = max(requiredBatch, found.lastBatch)
        queues[index].rare.counts.duplicates &+= 1
        totals.duplicates &+= 1
        return true
    }

    /// From now on a message of that id is a duplicate. Its first is in the batch that is being filled.
    @inline(__always)
    mutating func remember(_ hash: DedupHash?, in index: Int) {
        if let hash { remember(hash, in: index) }
    }

    private mutating func remember(_ hash: DedupHash, in index: Int) {
        let queue = Int32(index)
        let (seconds, most) = dedupWindow(of: index)
        if most == 0 { return }
        let second = second
        records.append(
            Record(kind: .remember, queue: queues[index].id, sequence: hash.high, count: second, bytes: hash.low))
        duplicates.append(hash, second: second, batch: batchNumber, to: queue)
        duplicates.forget(in: queue, most: most, seconds: seconds, now: second, atMost: Self.forgottenPerSend)
        var left = Self.forgottenPerSend
        while duplicates.count > limits.dedupIDs, left > 0 {
            // A queue that has just begun gets its place from one that has many.
            let isOwn = duplicates.count(of: queue) > 1
            guard let from = isOwn ? queue : duplicates.largeQueue() else { break }
            duplicates.forgetOldest(of: from)
            left -= 1
        }
    }

    /// How long and how many ids a queue remembers; none of either: none.
    private func dedupWindow(of index: Int) -> (seconds: UInt64, count: UInt64) {
        let (seconds, count) = (queues[index].settings.value.dedupSeconds, queues[index].settings.value.dedupCount)
        // So large that a sum with a second cannot overflow.
        return seconds == 0 || count == 0 ? (0, 0) : (min(seconds, .max >> 1), count)
    }

    /// Queues that get no messages forget too.
    mutating func forgetOldIDs(into effects: inout Effects) {
        if duplicates.windowCount == 0 { return }
        var left = Self.forgottenPerTick
        for _ in 0..<min(duplicates.windowCount, Self.windowsPerTick) {
            guard left > 0, let queue = duplicates.nextInTurn() else { break }
            let (seconds, most) = dedupWindow(of: Int(queue))
            left -= duplicates.forget(in: queue, most: most, seconds: seconds, now: second, atMost: left)
        }
        seal(into: &effects)
    }

    /// Puts what was forgotten into the batch that is about to be closed: one record a queue. For each id that
    /// is remembered in the batch they are no more than two, its own queue's and a large one's.
    @inline(__always)
    mutating func recordForgotten() {
        if duplicates.hasForgotten { appendForgotten() }
    }

    private mutating func appendForgotten() {
        while let (queue, count) = duplicates.takeForgotten() {
            records.append(Record(kind: .forget, queue: queues[Int(queue)].id, count: count))
        }
    }

    /// What the queue remembered before the start, oldest first.
    mutating func restore(_ ids: [DedupEntry], in index: Int) {
        for id in ids {
            duplicates.append(
                DedupHash(high: id.high, low: id.low), second: id.second, batch: 0, to: Int32(index))
        }
    }
}
