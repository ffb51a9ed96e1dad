import BrokerCore

/// Where a message lies in the journal: 16 bytes, so that millions are cheap.
///
///     first word     offset 30 | length 26 | flags 8
///     second word    checksum 32 | header bytes 26 | slot 6
///
/// The slot is the segment's number modulo 64; never more than 60 segments live at once.
struct JournalPlace: Equatable {
    private var first: UInt64
    private var second: UInt64

    static let slots = 64
    static let lengthLimit = 1 << 26
    static let offsetLimit = 1 << 30

    @inline(__always)
    init(segment: UInt32, offset: Int, length: Int, headerBytes: UInt32, flags: UInt8, checksum: UInt32) {
        first = UInt64(truncatingIfNeeded: offset) << 34 | UInt64(truncatingIfNeeded: length) << 8 | UInt64(flags)
        second = UInt64(checksum) << 32 | UInt64(headerBytes) << 6 | UInt64(segment & 63)
    }

    var offset: Int { Int(first >> 34) }
    var length: Int { Int(first >> 8 & 0x3FF_FFFF) }
    var flags: UInt8 { UInt8(truncatingIfNeeded: first) }
    var checksum: UInt32 { UInt32(second >> 32) }
    var headerBytes: UInt32 { UInt32(second >> 6 & 0x3FF_FFFF) }
    var slot: UInt32 { UInt32(second & 63) }
}

/// A file of one queue: the messages `first...last` that were alive when they were written to it.
/// The file is named by `first`; only its first `bytes` bytes count.
struct QueueFile: Equatable, Sendable {
    var first: UInt64
    var last: UInt64
    /// With the footer, where there is one.
    var bytes: Int
    /// How many messages were written to it, and the checksum of all its bytes before the footer. Both are
    /// 0 where they are not known.
    var messages: UInt32 = 0
    var checksum: UInt32 = 0
    var kind = Kind.open

    enum Kind: UInt32, Sendable {
        /// Begun before version 3 of the format: number and checksum are not known, and there is no footer.
        case unsummed = 0
        /// Without a footer: the last one of its queue, or one of which a sync failed.
        case open = 1
        /// With a footer: nothing is ever appended.
        case closed = 2
    }

    /// The bytes before the footer: the header and the messages.
    var contentBytes: Int { kind == .closed ? bytes - QueueFileFooter.size : bytes }
}

/// A queue file, and the queue that it is of.
struct NamedFile: Equatable, Sendable {
    var queue: UInt32
    var file: QueueFile
}

/// What synced batches say about one queue, and where its messages lie.
///
///     1 ........ head ............. located ........... next
///     | done with | live ones: files | live ones: journal | not yet
struct QueueLedger {
    let id: UInt32
    /// The ledger knows that this has memory for places: see `Ledger.rest(most:)`.
    fileprivate(set) var isNoted = false
    let name: [UInt8]
    var settled = SettledSet()
    /// The sequence that the next message gets.
    var next: UInt64 = 1
    var liveBytes: UInt64 = 0
    /// Of live messages that were delivered and came back.
    var attempts: [UInt64: Attempt] = [:]
    /// What the core wants remembered; not looked into.
    var note: [UInt8] = []
    var remembered = RememberedIDs()
    /// In order.
    var files: [QueueFile] = []

    /// `places[placesStart + i]` is where message `located + i` lies.
    private(set) var located: UInt64 = 1
    private var places: [JournalPlace] = []
    private var placesStart = 0

    init(id: UInt32, name: [UInt8]) {
        self.id = id
        self.name = name
    }

    /// As a checkpoint says: nothing is located in the journal yet.
    init(id: UInt32, name: [UInt8], located: UInt64) {
        self.init(id: id, name: name)
        self.located = located
    }

    var head: UInt64 { settled.head }
    var live: UInt64 { next - settled.head - settled.countAbove }
    var placeCount: Int { places.count - placesStart }
    /// The first sequence whose place is not known; `next`, once everything is replayed.
    var placesEnd: UInt64 { located + UInt64(placeCount) }
    var memory: Int {
        places.capacity * MemoryLayout<JournalPlace>.stride + settled.memory
            + attempts.capacity * (MemoryLayout<Attempt>.stride + 9) + note.capacity + remembered.memory
    }

    func place(_ sequence: UInt64) -> JournalPlace { places[placesStart + Int(sequence - located)] }
    var firstPlace: JournalPlace? { placesStart < places.count ? places[placesStart] : nil }

    /// The same without where messages lie in the journal, which no checkpoint says.
    @inline(__always) init(withoutPlaces queue: borrowing QueueLedger) {
        id = queue.id
        name = queue.name
        settled = queue.settled
        next = queue.next
        liveBytes = queue.liveBytes
        attempts = queue.attempts
        note = queue.note
        remembered = queue.remembered
        files = queue.files
        located = queue.located
    }

    // MARK: Changes

    /// Message `next` came.
    @inline(__always) mutating func append(_ place: JournalPlace, bytes: UInt64) {
        next &+= 1
        liveBytes &+= bytes
        places.append(place)
    }

    /// The place of a message that the ledger knows already. False if one before it is missing.
    mutating func locate(_ sequence: UInt64, _ place: JournalPlace) -> Bool {
        let end = placesEnd
        if sequence < end { return true }
        if sequence > end { return false }
        places.append(place)
        forgetSettledPlaces()
        return true
    }

    @inline(__always) mutating func settle(_ sequence: UInt64, count: UInt32, bytes: UInt64) {
        let high = min(next, sequence.addingReportingOverflow(UInt64(count)).partialValue)
        guard sequence < high, settled.insert(sequence, high) > 0 else { return }
        let left = live
        if left == 0 { settled.release() }
        liveBytes = left == 0 ? 0 : liveBytes - min(liveBytes, bytes)
        if !attempts.isEmpty { forgetAttempts(sequence, high) }
        forgetSettledPlaces()
    }

    mutating func attempt(_ sequence: UInt64, _ attempt: Attempt) {
        if sequence < next, !settled.contains(sequence) { attempts[sequence] = attempt }
    }

    private mutating func forgetAttempts(_ low: UInt64, _ high: UInt64) {
        if high - low <= UInt64(attempts.count) {
            for sequence in low..<high { attempts[sequence] = nil }
        } else {
            attempts = attempts.filter { $0.key < low || $0.key >= high }
        }
    }

    /// Places at the front, of messages that are done with, are of no use.
    @inline(__always) private mutating func forgetSettledPlaces() {
        if settled.head > located { forgetPlaces(below: settled.head) }
    }

    /// Messages below `sequence` are not looked for in the journal any more.
    mutating func forgetPlaces(below sequence: UInt64) {
        let end = min(sequence, placesEnd)
        if end <= located { return }
        placesStart += Int(end - located)
        located = end
        if placesStart == places.count {
            // Memory is given back when the queue was long; a short one will need it at once again.
            if places.capacity > 4096 { places = [] } else { places.removeAll(keepingCapacity: true) }
            placesStart = 0
        } else if placesStart > 4096, placesStart * 2 > places.count {
            places.removeFirst(placesStart)
            placesStart = 0
        }
    }

    /// No memory is kept for places that may come; false if there are some.
    fileprivate mutating func rest() -> Bool {
        guard placeCount == 0 else { return false }
        if places.capacity > 0 { places = [] }
        placesStart = 0
        return true
    }

    /// The file that holds `sequence`, if it was written to one.
    func file(holding sequence: UInt64) -> QueueFile? {
        var low = 0
        var high = files.count
        while low < high {
            let middle = (low + high) / 2
            if files[middle].last < sequence { low = middle + 1 } else { high = middle }
        }
        return low < files.count && files[low].first <= sequence ? files[low] : nil
    }
}

/// The durable state: exactly what synced batches say, nothing more. Also the index that finds
/// messages. Owned by the store, changed under its lock.
struct Ledger {
    private(set) var queues: [QueueLedger] = []
    private var slots: [UInt32: Int] = [:]
    private var freeSlots: [Int] = []
    /// Slots of queues that have memory for places, each once, and how far a look at them has come.
    private var noted: [Int32] = []
    private var restAt = 0
    /// The last queue looked up: records come in runs.
    private var recentID: UInt32 = .max
    private var recentSlot = -1

    /// The id that the next queue gets. Never goes back.
    var nextQueueID: UInt32 = 1
    /// The note on the whole broker.
    var note: [UInt8] = []
    /// All batches up to this sequence on disk are contained.
    var applied: UInt64 = 0
    /// Queue files of deleted queues, and settled ones: to be removed when no checkpoint names them.
    var condemned: [NamedFile] = []

    var count: Int { slots.count }

    @inline(__always) mutating func slot(of id: UInt32) -> Int? {
        if id == recentID, recentSlot >= 0 { return recentSlot }
        guard let slot = slots[id] else { return nil }
        recentID = id
        recentSlot = slot
        return slot
    }

    func queue(_ id: UInt32) -> QueueLedger? { slots[id].map { queues[$0] } }

    /// What a checkpoint says of it, at this moment. Commits wait for this, so only what is wanted is touched, queue by
    /// queue: it takes far less time than writing that down.
    var withoutPlaces: Ledger {
        var copy = Ledger()
        copy.queues.reserveCapacity(queues.count)
        for slot in queues.indices { copy.queues.append(QueueLedger(withoutPlaces: queues[slot])) }
        copy.slots = slots
        copy.freeSlots = freeSlots
        copy.nextQueueID = nextQueueID
        copy.note = note
        copy.applied = applied
        copy.condemned = condemned
        return copy
    }

    /// Ids of all queues, rising.
    var ids: [UInt32] { slots.keys.sorted() }

    /// Changes a queue in place. nil if there is none of that id.
    mutating func with<Result>(_ id: UInt32, _ change: (inout QueueLedger) -> Result) -> Result? {
        guard let slot = slot(of: id) else { return nil }
        return change(&queues[slot])
    }

    mutating func add(_ queue: QueueLedger) {
        if let free = freeSlots.popLast() {
            let isNoted = queues[free].isNoted
            queues[free] = queue
            queues[free].isNoted = isNoted
            slots[queue.id] = free
        } else {
            slots[queue.id] = queues.count
            queues.append(queue)
        }
        if queue.id >= nextQueueID { nextQueueID = queue.id &+ 1 }
    }

    private mutating func remove(_ id: UInt32) {
        guard let slot = slots.removeValue(forKey: id) else { return }
        for file in queues[slot].files { condemned.append(NamedFile(queue: id, file: file)) }
        let isNoted = queues[slot].isNoted
        queues[slot] = QueueLedger(id: 0, name: [])
        queues[slot].isNoted = isNoted
        freeSlots.append(slot)
        recentSlot = -1
    }

    /// Applies a record of a batch that is not contained yet. `payload` is where the batch's payload
    /// starts in the segment, `bytes` what of it a record names. False when the record does not fit what
    /// came before it: that is never written by us, so it is damage.
    @inline(__always)
    mutating func apply(
        _ record: Record, checksum: UInt32, segment: UInt32, payload: Int, bytes: (Record) -> [UInt8]
    ) -> Bool {
        let id = record.queue.rawValue
        switch record.kind {
        case .append:
            guard let slot = slot(of: id), record.sequence == queues[slot].next else { return false }
            let place = JournalPlace(
                segment: segment, offset: payload &+ Int(record.offset), length: Int(record.bytes),
                headerBytes: record.headerBytes, flags: record.flags, checksum: checksum)
            queues[slot].append(place, bytes: record.bytes)
            if !queues[slot].isNoted { note(slot) }
        case .settle:
            if let slot = slot(of: id) {
                queues[slot].settle(record.sequence, count: record.count, bytes: record.bytes)
            }
        case .attempt:
            guard let attempt = record.attempt else { return false }
            if let slot = slot(of: id) { queues[slot].attempt(record.sequence, attempt) }
        case .createQueue:
            guard id >= nextQueueID, id < .max else { return false }
            add(QueueLedger(id: id, name: bytes(record)))
        case .deleteQueue:
            remove(id)
        case .note:
            let note = record.hasPayload ? bytes(record) : []
            if id == 0 { self.note = note } else if let slot = slot(of: id) { queues[slot].note = note }
        case .remember:
            if let slot = slot(of: id) {
                queues[slot].remembered.append(high: record.sequence, low: record.bytes, second: record.count)
            }
        case .forget:
            if let slot = slot(of: id) { queues[slot].remembered.removeFirst(record.count) }
        }
        return true
    }

    /// A record of a batch that is contained already: only where messages lie has to be learnt.
    mutating func locate(_ record: Record, checksum: UInt32, segment: UInt32, payload: Int) -> Bool {
        guard record.kind == .append, let slot = slot(of: record.queue.rawValue) else { return true }
        let place = JournalPlace(
            segment: segment, offset: payload &+ Int(record.offset), length: Int(record.bytes),
            headerBytes: record.headerBytes, flags: record.flags, checksum: checksum)
        if !queues[slot].isNoted { note(slot) }
        return queues[slot].locate(record.sequence, place)
    }

    // MARK: Memory

    private mutating func note(_ slot: Int) {
        queues[slot].isNoted = true
        noted.append(Int32(slot))
    }

    /// Looks at `most` of the queues that have memory for places; those in which nothing is to be found give it back.
    /// True if some are left to look at. A queue that is used all the time may be empty just now, and has to ask for
    /// that memory once more: so this is to be done once a second, not more often.
    mutating func rest(most: Int) -> Bool {
        for _ in 0..<min(most, noted.count - restAt) {
            let slot = Int(noted[restAt])
            if queues[slot].rest() {
                queues[slot].isNoted = false
                noted.swapAt(restAt, noted.count - 1)
                noted.removeLast()
            } else {
                restAt += 1
            }
        }
        if restAt < noted.count { return true }
        restAt = 0
        if noted.isEmpty { noted = [] }
        return false
    }

    /// Messages whose place is in `slot`, the oldest segment's, are not looked for there any more.
    mutating func forgetPlaces(inSlot slot: UInt32) {
        for index in queues.indices where queues[index].firstPlace?.slot == slot {
            queues[index].forgetPlaces(inSlot: slot)
        }
    }

    /// A queue that should have a message in the journal which was not found there.
    func queueWithMissingMessages() -> QueueLedger? {
        slots.values.lazy.map { queues[$0] }.first { $0.placesEnd != $0.next }
    }
}
