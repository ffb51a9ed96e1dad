import BrokerCore
import Storage

/// Everything that the files of a store say, a line for each thing.
public struct StoreDump {
    public enum Value: Sendable, Equatable {
        case number(UInt64)
        case text(String)
        case flag(Bool)
        case bytes([UInt8])
    }

    /// `kind` is `store`, `checkpoint`, `queue`, `queue-file`, `segment`, `batch`, the kind of a record, `message` or
    /// `damage`. What clients gave is in it as they gave it: whoever prints it escapes it.
    public struct Line: Sendable {
        public var kind: String
        public var path: String
        public var values: [(name: String, value: Value)]
    }

    private let disk: any Disk
    /// Only what is about the queue of this name.
    private let queue: [UInt8]?
    private let withContents: Bool
    private let emit: (Line) throws(StorageFailure) -> Void
    private var names: [UInt32: [UInt8]] = [:]

    /// Errors: those of `StoreCheck`, and what `emit` throws.
    public static func run(
        directory: String, queue: String?, withContents: Bool, emit: @escaping (Line) throws(StorageFailure) -> Void
    ) throws(StorageFailure) {
        try run(on: StoreCheck.open(directory), queue: queue, withContents: withContents, emit: emit)
    }

    static func run(
        on disk: any Disk, queue: String? = nil, withContents: Bool = false,
        emit: @escaping (Line) throws(StorageFailure) -> Void
    ) throws(StorageFailure) {
        let lock = try StoreCheck.take(disk)
        defer { withExtendedLifetime(lock) {} }
        let name = queue.map { Array(($0.hasPrefix("/") ? $0 : "/queue/" + $0).utf8) }
        var dump = StoreDump(disk: disk, queue: name, withContents: withContents, emit: emit)
        try dump.run()
    }

    private init(
        disk: any Disk, queue: [UInt8]?, withContents: Bool, emit: @escaping (Line) throws(StorageFailure) -> Void
    ) {
        self.disk = disk
        self.queue = queue
        self.withContents = withContents
        self.emit = emit
    }

    private mutating func run() throws(StorageFailure) {
        var foundation = Foundation(disk)
        let salvage = try foundation.salvage()
        for damage in salvage.report.damages { try say("damage", damage.path, [("what", .text(damage.sentence))]) }
        if queue == nil {
            try say(
                "store", StorePath.store,
                [("store", .text(hexadecimal(salvage.storeID, digits: 16)))]
                    + (salvage.report.formatVersion.map { [("format", .number(UInt64($0)))] } ?? []))
            try say(
                "checkpoint", StorePath.checkpoint,
                [
                    ("number", .number(salvage.checkpointNumber)), ("applied", .number(salvage.ledger.applied)),
                    ("first-segment", .number(UInt64(foundation.firstSegment))),
                    ("next-queue", .number(UInt64(salvage.ledger.nextQueueID))),
                ])
        }
        for id in salvage.ledger.ids { names[id] = salvage.ledger.queue(id)?.name }
        do throws(DiskError) {
            for id in salvage.ledger.ids where isWanted(id) { try describe(id, salvage) }
            for number in foundation.segmentNumbers where number >= foundation.firstSegment {
                try describe(segment: number, salvage.storeID)
            }
        } catch {
            throw StorageFailure(error.code == Self.endOfOutput ? error.detail : "\(error)", .unavailable)
        }
    }

    /// The code of an error that only carries what `emit` threw.
    private static let endOfOutput: Int32 = -1

    private func isWanted(_ id: UInt32) -> Bool { queue.map { names[id] == $0 } ?? true }

    private func say(
        _ kind: String, _ path: String, _ values: [(name: String, value: Value)]
    ) throws(StorageFailure) {
        try emit(Line(kind: kind, path: path, values: values))
    }

    private func tell(_ kind: String, _ path: String, _ values: [(name: String, value: Value)]) throws(DiskError) {
        do throws(StorageFailure) { try say(kind, path, values) } catch {
            throw DiskError("printing", path, code: Self.endOfOutput, detail: error.description)
        }
    }

    private func about(_ id: UInt32) -> [(name: String, value: Value)] {
        let name = names[id].map { [("name", Value.text(String(decoding: $0, as: UTF8.self)))] } ?? []
        return [("queue", .number(UInt64(id)))] + name
    }

    // MARK: Queues and their files

    private func describe(_ id: UInt32, _ salvage: Salvage) throws(DiskError) {
        guard let queue = salvage.ledger.queue(id) else { return }
        try tell(
            "queue", StorePath.checkpoint,
            about(id) + [
                ("head", .number(queue.head)), ("next", .number(queue.next)), ("located", .number(queue.located)),
                ("messages", .number(queue.live)), ("bytes", .number(queue.liveBytes)),
                ("attempts", .number(UInt64(queue.attempts.count))), ("note-bytes", .number(UInt64(queue.note.count))),
                ("remembered", .number(UInt64(queue.remembered.count))),
            ])
        for file in queue.files { try describe(file, of: queue, salvage.storeID) }
    }

    private func describe(_ file: QueueFile, of queue: QueueLedger, _ storeID: UInt64) throws(DiskError) {
        let path = StorePath.queueFile(queue.id, first: file.first)
        try tell(
            "queue-file", path,
            about(queue.id) + [
                ("first", .number(file.first)), ("last", .number(file.last)), ("bytes", .number(UInt64(file.bytes))),
                ("messages", .number(UInt64(file.messages))), ("closed", .flag(file.kind == .closed)),
            ])
        let open: any DiskFile
        do throws(DiskError) { open = try disk.open(path, .reading) } catch {
            return try tell("damage", path, [("what", .text("\(error)"))])
        }
        let header = QueueFileHeader(storeID: storeID, queue: queue.id, first: file.first)
        var scan = try QueueFileScan(open, header, count: file.contentBytes)
        if !scan.hasHeader { try tell("damage", path, [("what", .text("the header is damaged"))]) }
        try scan.eachMessage { (message, content) throws(DiskError) in
            let head = message.head
            let contents = withContents && message.isWhole ? [("content", Value.bytes(Array(content)))] : []
            try tell(
                "message", path,
                [("offset", .number(UInt64(message.offset)))] + about(queue.id) + [
                    ("sequence", .number(head.sequence)), ("bytes", .number(UInt64(head.length))),
                    ("header-bytes", .number(UInt64(head.headerBytes))), ("flags", .number(UInt64(head.flags))),
                    ("live", .flag(!queue.settled.contains(head.sequence))), ("whole", .flag(message.isWhole)),
                ] + contents)
        }
        for gap in scan.gaps {
            try tell(
                "damage", path,
                [
                    ("offset", .number(UInt64(gap.lowerBound))), ("bytes", .number(UInt64(gap.count))),
                    ("what", .text("no message can be found")),
                ])
        }
    }

    // MARK: The journal

    private mutating func describe(segment number: UInt32, _ storeID: UInt64) throws(DiskError) {
        let path = StorePath.segment(number)
        let image = try SegmentImage(
            disk.open(path, .reading), SegmentImage.Expectation(number: number, storeID: storeID))
        if queue == nil {
            try tell(
                "segment", path,
                [
                    ("number", .number(UInt64(number))), ("bytes", .number(UInt64(image.size))),
                    ("recycled", .flag(image.header?.isRecycled ?? false)), ("whole", .flag(image.header != nil)),
                ])
        }
        var at = SegmentHeader.size
        var last: UInt64 = 0
        while at + BatchHeader.size <= image.size {
            guard let batch = image.batch(at: at), batch.sequence > last else {
                at += BatchHeader.alignment
                continue
            }
            last = batch.sequence
            try describe(batch, image)
            at += batch.diskBytes
        }
    }

    private mutating func describe(_ batch: BatchHeader, _ image: borrowing SegmentImage) throws(DiskError) {
        let records = image.hasWholeRecords(batch) ? image.records(of: batch) : []
        let payload = image.payloadOffset(of: batch)
        for found in records where found.record.kind == .createQueue && found.isWhole {
            let start = payload + Int(found.record.offset)
            names[found.record.queue.rawValue] = Array(image.bytes[start..<start + Int(found.record.bytes)])
        }
        let wanted = records.filter { isWanted($0.record.queue.rawValue) }
        if queue != nil, wanted.isEmpty { return }
        let isWhole = records.count == batch.recordCount && records.allSatisfy(\.isWhole)
        try tell(
            "batch", image.path,
            [
                ("offset", .number(UInt64(batch.offset))), ("batch", .number(batch.sequence)),
                ("durable", .number(batch.durable)), ("records", .number(UInt64(batch.recordCount))),
                ("payload-bytes", .number(UInt64(batch.payloadBytes))), ("idle", .flag(batch.isIdle)),
                ("seal", .flag(batch.isSeal)), ("whole", .flag(isWhole)),
            ])
        for found in wanted { try describe(found, batch, payload, image.path, image.bytes) }
    }

    private func describe(
        _ found: SegmentImage.Found, _ batch: BatchHeader, _ payload: Int, _ path: String,
        _ bytes: UnsafeRawBufferPointer
    ) throws(DiskError) {
        let record = found.record
        var values: [(name: String, value: Value)] = [("batch", .number(batch.sequence))]
        values += about(record.queue.rawValue)
        switch record.kind {
        case .createQueue, .deleteQueue: break
        case .append:
            values += [
                ("sequence", .number(record.sequence)), ("bytes", .number(record.bytes)),
                ("header-bytes", .number(UInt64(record.headerBytes))), ("flags", .number(UInt64(record.flags))),
            ]
        case .settle:
            values += [("sequence", .number(record.sequence)), ("count", .number(UInt64(record.count)))]
        case .attempt:
            values += [
                ("sequence", .number(record.sequence)), ("deliveries", .number(UInt64(record.count))),
                ("not-before", .number(record.bytes)), ("verdict", .number(UInt64(record.flags))),
            ]
        case .note: values += [("bytes", .number(record.bytes))]
        case .remember:
            values += [
                ("hash", .text(hexadecimal(record.sequence, digits: 16) + hexadecimal(record.bytes, digits: 16))),
                ("second", .number(UInt64(record.count))),
            ]
        case .forget: values += [("count", .number(UInt64(record.count)))]
        }
        values.append(("whole", .flag(found.isWhole)))
        if withContents, record.hasPayload, found.isWhole, record.kind != .createQueue {
            let start = payload + Int(record.offset)
            values.append(("content", .bytes(Array(bytes[start..<start + Int(record.bytes)]))))
        }
        try tell("\(record.kind)", path, values)
    }
}
