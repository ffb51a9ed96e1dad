import Base
import BrokerCore
import Glibc
import Storage
import Synchronization

/// Reads pages of messages: from queue files first, then from the journal.
///
/// Where a message lies is looked up under the store's lock, the bytes are read without it. What is
/// read is checked against the checksum made when the message was appended.
struct PageReader: ~Copyable {
    private var window = Window()
    private var arena = Arena()
    private var files: [FileKey: QueueFileReader] = [:]
    private var clock: UInt64 = 0
    private var seenRemovals: UInt64 = 0

    private struct FileKey: Hashable {
        var queue: UInt32
        var first: UInt64
    }

    private static let openFilesMax = 64
    /// Messages looked up under one lock.
    private static let stride = 2048

    /// Where the next messages lie.
    enum Step: Sendable {
        case end(resumeAt: UInt64)
        case journal(Segment, [(sequence: UInt64, place: JournalPlace)])
        case file(QueueFile, [UInt64])
        case lost(UInt64)
    }

    mutating func page(_ request: PageRequest, from store: Store) -> Page {
        letGo(store)
        var filling = fill(request, from: store)
        filling.thin(&arena)
        window.release()
        return filling.page
    }

    private mutating func fill(_ request: PageRequest, from store: Store) -> Filling {
        var filling = Filling(request)
        var retries = 0
        while !filling.isFull {
            let want = min(Self.stride, request.maxCount - filling.page.messages.count)
            let step = store.locate(
                request.queue.rawValue, from: filling.page.resumeAt, want: max(1, want), bytes: filling.room)
            switch step {
            case .end(let resumeAt):
                filling.page.resumeAt = resumeAt
                return filling
            case .lost(let sequence):
                filling.fail(at: sequence, "message \(sequence) of queue \(request.queue.rawValue) is in no file")
            case .journal(let segment, let places):
                read(places, of: segment, into: &filling)
                store.unpin(segment)
            case .file(let file, let sequences):
                if read(sequences, of: file, into: &filling, store) { break }
                // Removed since it was looked up: then nothing in it is alive, and looking again says so.
                retries += 1
                if retries > 3 {
                    let path = StorePath.queueFile(request.queue.rawValue, first: file.first)
                    filling.fail(at: sequences.first ?? filling.page.resumeAt, "\(path) is missing")
                }
            }
        }
        return filling
    }

    /// Closes files that are no more.
    mutating func letGo(_ store: Store) {
        let removals = store.state.withLock { $0.removedFiles }
        if removals == seenRemovals { return }
        seenRemovals = removals
        for key in files.keys {
            let isThere = store.state.withLock { state in
                state.ledger.queue(key.queue)?.files.contains { $0.first == key.first } ?? false
            }
            if !isThere { files[key] = nil }
        }
    }

    // MARK: Journal

    private mutating func read(
        _ places: [(sequence: UInt64, place: JournalPlace)], of segment: Segment, into filling: inout Filling
    ) {
        // Wherever this ends: what lies at the same offset of another segment is something else.
        defer { window.forget() }
        for (index, (sequence, place)) in places.enumerated() {
            if !filling.hasRoom(for: place.length) { return }
            if filling.endsHere(unless: window.holds(place.offset, place.length)) { return }
            do throws(DiskError) {
                let bytes = try window.bytes(of: places, index, in: segment, most: filling.readAhead)
                filling.add(
                    StoredHead(
                        sequence: sequence, length: place.length, headerBytes: place.headerBytes,
                        checksum: place.checksum, flags: place.flags),
                    bytes, window, segment.file.path, at: place.offset)
            } catch {
                filling.fail(at: sequence, "\(error) (offset \(place.offset))")
            }
            if filling.isFull { break }
        }
    }

    // MARK: Queue files

    /// False when the file is not there.
    private mutating func read(
        _ sequences: [UInt64], of file: QueueFile, into filling: inout Filling, _ store: Store
    ) -> Bool {
        let key = FileKey(queue: filling.page.request.queue.rawValue, first: file.first)
        clock += 1
        var wanted = sequences.first ?? filling.page.resumeAt
        do throws(DiskError) {
            if files[key] == nil {
                if files.count >= Self.openFilesMax, let oldest = files.min(by: { $0.value.usedAt < $1.value.usedAt }) {
                    files[oldest.key] = nil
                }
                files[key] = try QueueFileReader(queue: key.queue, first: key.first, storeID: store.storeID, store.disk)
            }
            guard var reader = files.removeValue(forKey: key) else { return true }
            reader.usedAt = clock
            defer {
                files[key] = reader
                window.forget()
            }
            for sequence in sequences {
                if filling.isFull { return true }
                wanted = sequence
                try reader.read(sequence, limit: file.contentBytes, &window, into: &filling)
            }
        } catch {
            if error.isMissing { return false }
            filling.fail(at: wanted, "\(error)")
        }
        return true
    }
}

/// A page while it is put together.
struct Filling {
    var page: Page
    private var bytes = 0
    private(set) var isFull = false

    init(_ request: PageRequest) { page = Page(request: request, messages: [], resumeAt: request.from) }

    /// Bytes to read at once: not many for a small page.
    var readAhead: Int { min(Window.size, max(16 << 10, page.request.maxBytes)) }

    /// Bytes that it still takes; it takes one message whatever its length.
    var room: Int { max(1, page.request.maxBytes - bytes) }

    /// False, and the page is full, if a message of `length` bytes is too much.
    mutating func hasRoom(for length: Int) -> Bool {
        if !page.messages.isEmpty, bytes + length > page.request.maxBytes { isFull = true }
        return !isFull
    }

    /// True, and the page is full, if there is enough in it to end it where more would have to be read first: so that
    /// most pages take one read.
    mutating func endsHere(unless isInMemory: Bool) -> Bool {
        if !isInMemory, bytes >= page.request.maxBytes / 2 || page.messages.count >= page.request.maxCount / 2 {
            isFull = isFull || !page.messages.isEmpty
        }
        return isFull
    }

    /// Adds a message if its bytes are undamaged; they stay where they are, in `window`.
    mutating func add(
        _ head: StoredHead, _ content: UnsafeRawBufferPointer, _ window: borrowing Window, _ path: String,
        at offset: Int
    ) {
        guard Checksum.of(content) == head.checksum else {
            fail(
                at: head.sequence,
                "\(path) is damaged at offset \(offset): message \(head.sequence) cannot be given out")
            return
        }
        page.messages.append(
            StoredMessage(
                sequence: head.sequence, headerBytes: head.headerBytes, content: window.slice(content),
                flags: head.flags))
        page.resumeAt = head.sequence + 1
        bytes += head.length
        if page.messages.count >= page.request.maxCount || bytes >= page.request.maxBytes { isFull = true }
    }

    /// Messages keep all of the memory that they were read into: where they are less than half of it, they are copied
    /// to a place where it is dense.
    mutating func thin(_ arena: inout Arena) {
        var start = 0
        while start < page.messages.count {
            let chunk = ObjectIdentifier(page.messages[start].content.chunk)
            let capacity = page.messages[start].content.chunk.capacity
            var end = start
            var bytes = 0
            while end < page.messages.count, ObjectIdentifier(page.messages[end].content.chunk) == chunk {
                bytes += Int(page.messages[end].content.count)
                end += 1
            }
            if bytes < capacity / 2 {
                for index in start..<end {
                    page.messages[index].content = arena.append(page.messages[index].content.bytes)
                }
            }
            start = end
        }
    }

    /// Ends the page before `sequence`.
    mutating func fail(at sequence: UInt64, _ sentence: String) {
        page.resumeAt = sequence
        page.failure = sentence
        isFull = true
    }
}

/// A stretch of a file in memory, used again and again unless somebody keeps a slice of it.
struct Window: ~Copyable {
    private var chunk: Chunk?
    private var start = 0
    private var count = 0

    static let size = 256 << 10
    /// Bytes between two messages that are cheaper to read than a second call.
    static let gap = 4096

    /// `count` bytes from `offset` on; up to `ahead` bytes are read at once. Valid until the next call.
    mutating func bytes(
        _ offset: Int, _ count: Int, of file: any DiskFile, ahead: Int
    ) throws(DiskError) -> UnsafeRawBufferPointer {
        if !holds(offset, count) {
            try fill(offset, max(count, min(Self.size, ahead)), of: file)
            if self.count < count {
                throw DiskError("reading", file.path, code: EIO, detail: "it ends before offset \(offset + count)")
            }
        }
        guard let chunk else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: chunk.base + (offset - start), count: count)
    }

    func holds(_ offset: Int, _ count: Int) -> Bool { offset >= start && offset + count <= start + self.count }

    /// What `bytes` has just given, for as long as anybody wants it.
    func slice(_ bytes: UnsafeRawBufferPointer) -> Slice {
        guard let chunk, let base = bytes.baseAddress else { return Slice(chunk: Chunk(), offset: 0, count: 0) }
        return Slice(chunk: chunk, offset: base - UnsafeRawPointer(chunk.base), count: bytes.count)
    }

    /// The bytes of message `index` of `places`, which rise. Those that lie right behind are read with it.
    mutating func bytes(
        of places: [(sequence: UInt64, place: JournalPlace)], _ index: Int, in segment: Segment, most: Int = Window.size
    ) throws(DiskError) -> UnsafeRawBufferPointer {
        let place = places[index].place
        var end = place.offset + place.length
        if !holds(place.offset, place.length) {
            var next = index + 1
            while next < places.count {
                let following = places[next].place
                let reach = following.offset + following.length
                if following.offset - end > Self.gap || reach - place.offset > most { break }
                end = max(end, reach)
                next += 1
            }
        }
        return try bytes(place.offset, place.length, of: segment.file, ahead: end - place.offset)
    }

    private mutating func fill(_ offset: Int, _ wanted: Int, of file: any DiskFile) throws(DiskError) {
        forget()
        let chunk = memory(for: wanted)
        count = try file.read(into: UnsafeMutableRawBufferPointer(start: chunk.base, count: wanted), at: offset)
        start = offset
    }

    /// The same as before, if nobody keeps any of it, and it is neither too small nor far too large.
    private mutating func memory(for wanted: Int) -> Chunk {
        if isKnownUniquelyReferenced(&chunk), let chunk, chunk.capacity >= wanted,
            chunk.capacity <= 4 * Self.size || wanted > Self.size
        {
            return chunk
        }
        let fresh = Chunk(capacity: max(wanted, Self.size))
        chunk = fresh
        return fresh
    }

    /// The file may change, or another come.
    mutating func forget() {
        start = 0
        count = 0
    }

    /// Lets go of the memory if others keep some of it: they may be done with it first.
    mutating func release() {
        forget()
        if !isKnownUniquelyReferenced(&chunk) { chunk = nil }
    }
}

extension Store {
    /// Where live messages from `from` on lie: a run of them in one file or segment.
    func locate(_ id: UInt32, from: UInt64, want: Int, bytes: Int) -> PageReader.Step {
        state.withLock { state in
            guard let queue = state.ledger.queue(id) else { return .end(resumeAt: from) }
            var sequence = queue.settled.firstLive(from: from)
            if sequence >= queue.next { return .end(resumeAt: max(from, queue.next)) }
            if sequence >= queue.located {
                let slot = queue.place(sequence).slot
                guard let use = state.segments.first(where: { $0.segment.number & 63 == slot }) else {
                    return .lost(sequence)
                }
                var places: [(sequence: UInt64, place: JournalPlace)] = []
                var left = bytes
                while sequence < queue.next, places.count < want, left > 0 {
                    let place = queue.place(sequence)
                    if place.slot != slot { break }
                    places.append((sequence, place))
                    left -= place.length
                    sequence = queue.settled.firstLive(from: sequence + 1)
                }
                state.pinned.insert(use.segment.number)
                return .journal(use.segment, places)
            }
            guard let file = queue.file(holding: sequence) else { return .lost(sequence) }
            var sequences: [UInt64] = []
            // How long they are is not known.
            while sequence <= file.last, sequences.count < min(want, Self.fileStride) {
                sequences.append(sequence)
                sequence = queue.settled.firstLive(from: sequence + 1)
            }
            return .file(file, sequences)
        }
    }

    private static let fileStride = 512

    func unpin(_ segment: Segment) { state.withLock { _ = $0.pinned.remove(segment.number) } }
}
