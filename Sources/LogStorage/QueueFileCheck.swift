/// Compares one queue file with what the ledger says of it, from its front to its end, a slice at a time.
struct QueueFileCheck {
    struct Damage: Equatable {
        var offset: Int
        /// What is wrong, as a part of a sentence.
        var problem: String
        /// What cannot be given out because of it; nil if all can.
        var sequences: ClosedRange<UInt64>?
    }

    let queue: UInt32
    /// As the ledger had it when this began: what is appended since does not matter.
    let file: QueueFile
    private(set) var damages: [Damage] = []
    private(set) var isDone = false

    private let storeID: UInt64
    private let seed: UInt32
    private let target: any DiskFile
    private var offset = 0
    private var checksum: UInt32 = 0
    private var messages: UInt32 = 0
    /// The last message that was found.
    private var previous: UInt64
    /// Where bytes begin that are no message.
    private var lostFrom: Int?

    /// More than so many places are told as one.
    private static let damagesMax = 64

    init(_ file: QueueFile, of queue: UInt32, storeID: UInt64, on disk: any Disk) throws(DiskError) {
        self.queue = queue
        self.file = file
        self.storeID = storeID
        seed = QueueFileHeader(storeID: storeID, queue: queue, first: file.first).seed
        previous = file.first - 1
        target = try disk.open(StorePath.queueFile(queue, first: file.first), .existing)
    }

    /// Goes on for about `budget` bytes; returns how many they were.
    mutating func slice(_ budget: Int, _ window: inout Window) throws(DiskError) -> Int {
        let start = offset
        window.forget()
        // What is in memory is not what is asked about.
        target.dropCache(start..<start + budget + Window.size)
        while !isDone, offset - start < budget { try step(&window) }
        target.dropCache(start..<offset)
        window.forget()
        return offset - start
    }

    private mutating func step(_ window: inout Window) throws(DiskError) {
        if offset == 0 {
            try checkHeader(&window)
        } else if offset < file.contentBytes {
            try checkMessage(&window)
        } else {
            try checkEnd(&window)
        }
    }

    private mutating func checkHeader(_ window: inout Window) throws(DiskError) {
        let bytes = try look(QueueFileHeader.size, &window)
        if QueueFileHeader(bytes) != QueueFileHeader(storeID: storeID, queue: queue, first: file.first) {
            note(0, "the header is damaged", file.first...file.last)
        }
        _ = try pass(QueueFileHeader.size, &window)
    }

    private mutating func checkMessage(_ window: inout Window) throws(DiskError) {
        let left = file.contentBytes - offset
        guard left >= StoredHead.size, let base = try look(StoredHead.size, &window).baseAddress,
            let head = StoredHead(base, seed: seed), head.diskBytes <= left, head.sequence > previous,
            head.sequence <= file.last
        else {
            lostFrom = lostFrom ?? offset
            _ = try pass(min(left, StoredHead.alignment), &window)
            return
        }
        noteLost(before: head.sequence)
        let start = offset
        _ = try pass(StoredHead.size, &window)
        if try pass(head.length, &window) != head.checksum {
            note(start, "message \(head.sequence) is damaged", head.sequence...head.sequence)
        }
        _ = try pass(start + head.diskBytes - offset, &window)
        previous = head.sequence
        messages &+= 1
    }

    /// The bytes from `lostFrom` on were the messages behind `previous` and before `sequence`.
    private mutating func noteLost(before sequence: UInt64) {
        guard let start = lostFrom else { return }
        lostFrom = nil
        let range = previous + 1 < sequence ? previous + 1...sequence - 1 : nil
        note(start, "bytes here are no message", range)
    }

    private mutating func checkEnd(_ window: inout Window) throws(DiskError) {
        isDone = true
        noteLost(before: file.last + 1)
        if file.kind != .unsummed, damages.isEmpty, messages != file.messages || checksum != file.checksum {
            let range = previous < file.last ? previous + 1...file.last : nil
            note(0, "bytes between the messages are others than were written", range)
        }
        if file.kind != .closed { return }
        var content = file
        content.bytes = file.contentBytes
        content.kind = .open
        let footer = QueueFileFooter(try look(QueueFileFooter.size, &window))
        if footer != QueueFileFooter(storeID: storeID, queue: queue, file: content) {
            note(file.contentBytes, "the footer is damaged", nil)
        }
        offset = file.bytes
    }

    private mutating func note(_ offset: Int, _ problem: String, _ sequences: ClosedRange<UInt64>?) {
        if damages.count < Self.damagesMax {
            damages.append(Damage(offset: offset, problem: problem, sequences: sequences))
            return
        }
        let last = damages[Self.damagesMax - 1]
        damages[Self.damagesMax - 1].problem = "so are more messages behind it"
        if let sequences {
            damages[Self.damagesMax - 1].sequences = (last.sequences ?? sequences).lowerBound...file.last
        }
    }

    // MARK: Bytes

    /// The next `count` bytes, which stay the next ones.
    private func look(_ count: Int, _ window: inout Window) throws(DiskError) -> UnsafeRawBufferPointer {
        try window.bytes(offset, count, of: target, ahead: file.bytes - offset)
    }

    /// Goes over `count` bytes and returns their checksum.
    private mutating func pass(_ count: Int, _ window: inout Window) throws(DiskError) -> UInt32 {
        var sum: UInt32 = 0
        let end = offset + count
        while offset < end {
            let bytes = try look(min(end - offset, Window.size), &window)
            sum = Checksum.of(bytes, seed: sum)
            checksum = Checksum.of(bytes, seed: checksum)
            offset += bytes.count
        }
        return sum
    }
}
