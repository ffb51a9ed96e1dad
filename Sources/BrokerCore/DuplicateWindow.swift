/// What is kept of a `dedup-id`.
struct DedupHash: Hashable, Sendable {
    var high: UInt64
    var low: UInt64
}

/// The `dedup-id`s that one queue remembers: in the order in which they came, and by hash.
///
///     ring     | . . 7 8 9 a b . |      20 bytes a place: hash, second
///     table    | 9 . . 7 b . 8 . a . . . . . . . |   places of the ring by hash; twice as many
///
/// A power of two of places, half to all of them used as it grows: 28 to 56 bytes an id.
struct DuplicateWindow: Sendable {
    /// Words of 32 bits, so that none is lost to alignment.
    private struct Place: Sendable {
        private var high: (UInt32, UInt32)
        private var low: (UInt32, UInt32)
        var second: UInt32

        init(_ hash: DedupHash, second: UInt32) {
            high = (UInt32(hash.high >> 32), UInt32(truncatingIfNeeded: hash.high))
            low = (UInt32(hash.low >> 32), UInt32(truncatingIfNeeded: hash.low))
            self.second = second
        }

        var hash: DedupHash {
            DedupHash(
                high: UInt64(high.0) << 32 | UInt64(high.1), low: UInt64(low.0) << 32 | UInt64(low.1))
        }
    }

    let queue: Int32
    private var ring: [Place] = []
    private var first = 0
    private(set) var count = 0
    /// The place in the ring and 1; 0 where there is none. Open addressing, the next place after the wanted one.
    private var table: [UInt32] = []

    /// The batch that the last one came with.
    var lastBatch: UInt64 = 0
    /// Forgotten here, and not yet in a record.
    var unrecorded: UInt32 = 0

    init(queue: Int32) { self.queue = queue }

    private static let leastPlaces = 16
    /// Where a hash is looked for must not be known to those who choose the ids, even if they know the key.
    private static let spread = UInt64.random(in: .min ... .max) | 1

    /// Bytes, about.
    var memory: Int { ring.capacity * MemoryLayout<Place>.stride + table.capacity * MemoryLayout<UInt32>.stride }

    /// The second of the oldest; nil when there is none.
    var oldestSecond: UInt32? { count == 0 ? nil : ring[first].second }

    /// When the id came last; nil when it is not remembered. Mutating, as all that is done to one among many: what only
    /// reads would hold on to both arrays meanwhile.
    mutating func second(of hash: DedupHash) -> UInt32? {
        if count == 0 { return nil }
        let at = find(hash)
        return table[at] == 0 ? nil : ring[Int(table[at]) - 1].second
    }

    mutating func append(_ hash: DedupHash, second: UInt32) {
        if count == ring.count { resize(max(Self.leastPlaces, ring.count * 2)) }
        let place = (first + count) & (ring.count - 1)
        ring[place] = Place(hash, second: second)
        count += 1
        // One that is there twice is found where it came last.
        table[find(hash)] = UInt32(place + 1)
    }

    /// Forgets the oldest while they are more than `most`, or older than `seconds`; not more than `limit`. Returns how many.
    mutating func forget(most: UInt64, seconds: UInt64, now: UInt32, atMost limit: Int) -> Int {
        var done = 0
        while done < limit, let oldest = oldestSecond, count > most || UInt64(oldest) + seconds < UInt64(now) {
            removeFirst()
            done += 1
        }
        unrecorded += UInt32(done)
        return done
    }

    /// Forgets the oldest, without a word about it: see `forget`.
    mutating func removeFirst() {
        if count == 0 { return }
        let at = find(ring[first].hash)
        if table[at] == UInt32(first + 1) { clear(at) }
        first = (first + 1) & (ring.count - 1)
        count -= 1
        if ring.count > Self.leastPlaces, count * 4 < ring.count { resize(ring.count / 2) }
    }

    /// Where `hash` is in the table, or the free place where it belongs.
    @inline(__always) private func find(_ hash: DedupHash) -> Int {
        var at = home(hash)
        while table[at] != 0, ring[Int(table[at]) - 1].hash != hash { at = (at + 1) & (table.count - 1) }
        return at
    }

    @inline(__always) private func home(_ hash: DedupHash) -> Int {
        let mixed = (hash.low ^ hash.high) &* Self.spread
        return Int(mixed >> UInt64(64 - table.count.trailingZeroBitCount))
    }

    /// Takes an entry out of the table, and moves up those behind it that would not be found any more.
    private mutating func clear(_ at: Int) {
        let mask = table.count - 1
        var hole = at
        var next = (at + 1) & mask
        while table[next] != 0 {
            let wanted = home(ring[Int(table[next]) - 1].hash)
            if (next &- wanted) & mask >= (next &- hole) & mask {
                table[hole] = table[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        table[hole] = 0
    }

    private mutating func resize(_ places: Int) {
        let old = ring
        let (from, kept) = (first, count)
        ring = [Place](repeating: Place(DedupHash(high: 0, low: 0), second: 0), count: places)
        table = [UInt32](repeating: 0, count: places * 2)
        first = 0
        count = 0
        for index in 0..<kept {
            let place = old[(from + index) & (old.count - 1)]
            append(place.hash, second: place.second)
        }
    }
}

/// The windows of all queues.
struct Duplicates: Sendable {
    /// In no order; looked through in turn.
    private var windows: [DuplicateWindow] = []
    /// Where the window of a queue is, by the queue's place in the core's table; -1 where it has none.
    private var slots: [Int32] = []
    /// Ids in all windows.
    private(set) var count = 0
    /// Queues with something to record.
    private var changed: [Int32] = []
    private var cursor = 0
    /// A queue with many ids: the one with the most, when it was last looked for.
    private var large: Int32 = -1

    var windowCount: Int { windows.count }
    var memory: Int { windows.reduce(0) { $0 + $1.memory } }
    var hasForgotten: Bool { !changed.isEmpty }

    @inline(__always) private func slot(_ queue: Int32) -> Int? {
        guard queue >= 0, Int(queue) < slots.count, slots[Int(queue)] >= 0 else { return nil }
        return Int(slots[Int(queue)])
    }

    func count(of queue: Int32) -> Int { slot(queue).map { windows[$0].count } ?? 0 }

    /// When the id came last to the queue and in which batch the queue's last one was; nil when the id is
    /// not remembered.
    mutating func find(_ hash: DedupHash, in queue: Int32) -> (second: UInt32, lastBatch: UInt64)? {
        guard let slot = slot(queue), let second = windows[slot].second(of: hash) else { return nil }
        return (second, windows[slot].lastBatch)
    }

    mutating func append(_ hash: DedupHash, second: UInt32, batch: UInt64, to queue: Int32) {
        let slot = slot(queue) ?? make(queue)
        windows[slot].append(hash, second: second)
        windows[slot].lastBatch = batch
        count += 1
        if queue != large, windows[slot].count > count(of: large) { large = queue }
    }

    private mutating func make(_ queue: Int32) -> Int {
        while slots.count <= Int(queue) { slots.append(-1) }
        slots[Int(queue)] = Int32(windows.count)
        windows.append(DuplicateWindow(queue: queue))
        return windows.count - 1
    }

    /// Forgets the oldest ids of a queue while they are more than `most`, or older than `seconds`; not more than `limit`.
    /// Returns how many.
    @discardableResult
    mutating func forget(in queue: Int32, most: UInt64, seconds: UInt64, now: UInt32, atMost limit: Int) -> Int {
        guard let slot = slot(queue) else { return 0 }
        let hadNone = windows[slot].unrecorded == 0
        let done = windows[slot].forget(most: most, seconds: seconds, now: now, atMost: limit)
        count -= done
        if done > 0, hadNone { changed.append(queue) }
        return done
    }

    /// For the good of another queue.
    mutating func forgetOldest(of queue: Int32) { forget(in: queue, most: 0, seconds: .max >> 1, now: 0, atMost: 1) }

    /// The queue is gone.
    mutating func drop(_ queue: Int32) {
        guard let slot = slot(queue) else { return }
        count -= windows[slot].count
        if large == queue { large = -1 }
        windows.swapAt(slot, windows.count - 1)
        windows.removeLast()
        slots[Int(queue)] = -1
        if slot < windows.count { slots[Int(windows[slot].queue)] = Int32(slot) }
    }

    /// A queue that has forgotten ids which nobody has asked for yet, and how many; nil when there is none.
    mutating func takeForgotten() -> (queue: Int32, count: UInt32)? {
        while let queue = changed.popLast() {
            guard let slot = slot(queue), windows[slot].unrecorded > 0 else { continue }
            defer { windows[slot].unrecorded = 0 }
            return (queue, windows[slot].unrecorded)
        }
        return nil
    }

    /// A queue from which an id can be taken for the good of another, with more than one.
    mutating func largeQueue() -> Int32? {
        if count(of: large) * windows.count * 2 < count {
            large = windows.max { $0.count < $1.count }?.queue ?? -1
        }
        return count(of: large) > 1 ? large : nil
    }

    /// The next queue to look at, nil if there is none. Empty windows are let go.
    mutating func nextInTurn() -> Int32? {
        while !windows.isEmpty {
            if cursor >= windows.count { cursor = 0 }
            let queue = windows[cursor].queue
            if windows[cursor].count > 0 || windows[cursor].unrecorded > 0 {
                cursor += 1
                return queue
            }
            drop(queue)
        }
        return nil
    }
}
