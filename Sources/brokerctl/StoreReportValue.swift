import DaemonKit
import LogStorage

/// What `store check`, `store repair` and `restore` print with `--json`.
struct StoreReportValue: APISchema {
    struct Queue: APISchema {
        var id: UInt32 = 0
        var name = ""
        var messages: UInt64 = 0
        var bytes: UInt64 = 0
        var files = 0

        static let summary = "A queue in a data directory."
        static let notes = [
            "id": "on disk", "name": "with its prefix", "messages": "that can be read", "bytes": "of them",
            "files": "that hold them beside the journal",
        ]
    }

    struct Damage: APISchema {
        var path = ""
        var offset: Int?
        var what = ""

        static let summary = "A place that is not as it was written."
        static let notes = [
            "path": "in the data directory", "offset": "in the file; absent for a whole file", "what": "a sentence",
        ]
    }

    struct Loss: APISchema {
        var kind = ""
        var queueID: UInt32 = 0
        var queue = ""
        var ranges: [Range] = []
        var exact = true

        static let summary = "Messages of a queue that a repair loses, or that may come again."
        static let notes = [
            "kind": "`lost`, `mayReturn`, or `unknownFrom`: what came from there on, if anything did",
            "queue_id": "on disk", "queue": "its name", "ranges": "sequences",
            "exact": "false when some in the last range do not belong to it",
        ]
    }

    struct Range: APISchema {
        var first: UInt64 = 0
        var last: UInt64 = 0

        static let summary = "Sequences, both ends included."
        static let notes = ["first": "the lowest", "last": "the highest"]
    }

    var whole = true
    var formatVersion: UInt32?
    var storeID = ""
    var queues: [Queue] = []
    var segments = 0
    var batches = 0
    var queueFiles = 0
    var queueFileBytes: UInt64 = 0
    var otherFiles: [String] = []
    var starts = true
    var start: [String] = []
    var damages: [Damage] = []
    var furtherDamages = 0
    var losses: [Loss] = []
    var consequences: [String] = []
    /// Of a repair that was carried out.
    var repaired: Bool?
    var folder: String?

    static let summary = "What is in a data directory."
    static let notes = [
        "whole": "nothing is damaged, and a start goes on", "format_version": "of the files",
        "store_id": "16 hexadecimal digits", "queues": "by id", "segments": "of the journal", "batches": "in them",
        "queue_files": "how many", "queue_file_bytes": "of all",
        "other_files": "that no store has, or that a start removes",
        "starts": "whether a start of the broker goes on", "start": "what it says",
        "damages": "places", "further_damages": "places that are not listed", "losses": "messages",
        "consequences": "what a repair changes beside messages", "repaired": "present when a repair was carried out",
        "folder": "where it keeps its report and what it replaced",
    ]

    init() {}

    init(_ report: StoreReport) {
        whole = report.isWhole
        formatVersion = report.formatVersion
        storeID = report.storeID.map(sixteenDigits) ?? ""
        queues = report.queues.map { row in
            var queue = Queue()
            (queue.id, queue.name) = (row.id, String(decoding: row.name, as: UTF8.self))
            (queue.messages, queue.bytes, queue.files) = (row.messages, row.bytes, row.files)
            return queue
        }
        segments = report.segments.count
        batches = report.segments.reduce(0) { $0 + $1.batches }
        (queueFiles, queueFileBytes) = (report.queueFiles, report.queueFileBytes)
        otherFiles = report.otherFiles
        switch report.start {
        case .goesOn(let sentences): start = sentences
        case .refuses(let sentence): (starts, start) = (false, [sentence])
        }
        damages = report.damages.map { row in
            var damage = Damage()
            (damage.path, damage.offset, damage.what) = (row.path, row.offset, row.sentence)
            return damage
        }
        furtherDamages = report.furtherDamages
        losses = report.losses.map { row in
            var loss = Loss()
            (loss.kind, loss.queueID, loss.queue) = (
                row.kind.rawValue, row.queue, String(decoding: row.name, as: UTF8.self)
            )
            loss.ranges = row.sequences.ranges.map { run in
                var range = Range()
                (range.first, range.last) = (run.lowerBound, run.upperBound)
                return range
            }
            loss.exact = !row.sequences.isCoarse
            return loss
        }
        consequences = report.consequences
    }
}

func sixteenDigits(_ number: UInt64) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
}

extension StoreReport {
    /// For people.
    func text(directory: String) -> String {
        var facts = Facts()
        facts.add("Directory", directory)
        facts.add("Store", (storeID.map(sixteenDigits) ?? "unknown") + (formatVersion.map { ", format \($0)" } ?? ""))
        let messages = queues.reduce(0) { $0 + $1.messages }
        let bytes = queues.reduce(0) { $0 + $1.bytes }
        facts.add(
            "Holds",
            "\(counted(UInt64(queues.count), "queue")), \(counted(messages, "message")), \(humanBytes(bytes))")
        let batches = segments.reduce(0) { $0 + $1.batches }
        facts.add(
            "Journal", "\(counted(UInt64(segments.count), "segment")), \(batches) batches")
        facts.add("Queue files", "\(queueFiles), \(humanBytes(queueFileBytes))")
        for (index, path) in otherFiles.prefix(20).enumerated() { facts.add(index == 0 ? "Other files" : "", path) }
        if otherFiles.count > 20 { facts.add("", "and \(otherFiles.count - 20) more") }
        switch start {
        case .goesOn(let sentences):
            facts.add("A start", "goes on")
            for sentence in sentences { facts.add("", sentence) }
        case .refuses(let sentence): facts.add("A start", "refuses: \(sentence)")
        }
        facts.add("Damage", damages.isEmpty ? "none" : counted(UInt64(damages.count + furtherDamages), "place"))
        var text = facts.text
        if !queues.isEmpty { text += "\n\n" + queueTable }
        if !damages.isEmpty { text += "\n\nDamaged:\n" + damageLines.joined(separator: "\n") }
        if !losses.isEmpty || !consequences.isEmpty { text += "\n\nA repair:\n" + lossLines.joined(separator: "\n") }
        return text
    }

    private var queueTable: String {
        var table = Table([.left("QUEUE"), .right("MESSAGES"), .right("SIZE"), .right("FILES"), .right("ID")])
        for queue in queues {
            table.add([
                String(decoding: queue.name, as: UTF8.self), "\(queue.messages)", humanBytes(queue.bytes),
                "\(queue.files)", "\(queue.id)",
            ])
        }
        return table.text
    }

    private var damageLines: [String] {
        var lines = damages.map { damage in
            harmless("  \(damage.path)\(damage.offset.map { " at offset \($0)" } ?? ""): \(damage.sentence)")
        }
        if furtherDamages > 0 { lines.append("  and \(counted(UInt64(furtherDamages), "more place"))") }
        return lines
    }

    var lossLines: [String] {
        losses.map { loss in
            let what =
                switch loss.kind {
                case .lost: "loses message \(loss.sequences.text()) of"
                case .mayReturn: "may bring acknowledged messages again: \(loss.sequences.text()) of"
                case .unknownFrom: "loses what came from message \(loss.sequences.text()) on, if anything did, of"
                }
            return harmless("  \(what) \(String(decoding: loss.name, as: UTF8.self))")
        } + consequences.map { harmless("  \($0)") }
    }
}
