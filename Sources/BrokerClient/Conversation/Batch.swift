import Base
import STOMP

/// Messages that are sent by one call, as they are written: each with a receipt of its own, numbered on from the call.
struct Batch: Sendable {
    let messages: [Outgoing]
    /// The number of the call, and the receipt of the first message.
    let first: UInt64
    /// Begins every `dedup-id`, see `ConversationSettings.identity`.
    let identity: [UInt8]

    init(_ messages: [Outgoing], from first: UInt64, identity: String) {
        self.messages = messages
        self.first = first
        self.identity = Array(identity.utf8)
    }

    var count: Int { messages.count }
    var id: RequestID { RequestID(number: first) }
    /// Those of its messages, in order.
    var receipts: Range<UInt64> { first..<first + UInt64(messages.count) }

    func weight(_ index: Int) -> Int {
        let message = messages[index]
        return message.headers.fields.reduce(message.body.count + message.destination.utf8.count + 128) {
            $0 + $1.name.utf8.count + $1.value.utf8.count + 2
        }
    }

    /// What `Frame.send` makes, `confirmable`, without making a frame of it.
    func encode(_ index: Int, version: Version, into out: inout Buffer) {
        let message = messages[index]
        out.append("SEND\ndestination:")
        Self.append(message.destination, version, into: &out)
        out.append(message.persistent ? "\npersistent:true\n" : "\npersistent:false\n")
        var isNamed = false
        for header in message.headers.fields {
            isNamed = isNamed || header.name == "dedup-id"
            header.encode(version: version, into: &out)
        }
        out.append("content-length:")
        out.append(decimal: UInt64(message.body.count))
        out.append("\nreceipt:")
        out.append(decimal: first + UInt64(index))
        if !isNamed {
            out.append("\ndedup-id:")
            out.append(identity)
            out.append(UInt8(ascii: "-"))
            out.append(decimal: first + UInt64(index))
        }
        out.append("\n\n")
        out.append(message.body)
        out.append(0)
    }

    private static func append(_ text: String, _ version: Version, into out: inout Buffer) {
        var text = text
        text.withUTF8 { HeaderText.escape($0, version: version, into: &out) }
    }

    /// By which a message is known when another call repeats it.
    func dedupID(_ index: Int) -> String {
        messages[index].headers["dedup-id"]
            ?? "\(String(decoding: identity, as: UTF8.self))-\(first + UInt64(index))"
    }
}

extension Batch: Equatable {
    static func == (a: Batch, b: Batch) -> Bool { a.first == b.first && a.count == b.count }
}

/// What the conversation knows of a batch under way.
struct BatchRecord: Sendable {
    let batch: Batch
    /// So many went out at least once.
    var written = 0
    private(set) var isConfirmed: [Bool]
    private(set) var confirmedCount = 0
    /// An ERROR named this one.
    var refused: (index: Int, error: BrokerError)?
    /// ERROR frames that named no culprit, since a message was confirmed. See `Conversation.suspicions`.
    var suspicions = 0

    init(_ batch: Batch) {
        self.batch = batch
        isConfirmed = [Bool](repeating: false, count: batch.count)
    }

    /// False: it is confirmed already, or was never written.
    mutating func confirm(_ index: Int) -> Bool {
        if index >= written || isConfirmed[index] { return false }
        isConfirmed[index] = true
        confirmedCount += 1
        // It gets on, so what it was suspected of was somebody else's.
        suspicions = 0
        return true
    }

    var isComplete: Bool { confirmedCount == batch.count }
    var isUnderWay: Bool { written > confirmedCount }

    /// Those that were written and not confirmed, in order, as few ranges as there are.
    var unconfirmed: [Range<Int>] {
        var ranges: [Range<Int>] = []
        for index in 0..<written where !isConfirmed[index] {
            if let last = ranges.last, last.upperBound == index {
                ranges[ranges.count - 1] = last.lowerBound..<index + 1
            } else {
                ranges.append(index..<index + 1)
            }
        }
        return ranges
    }

    /// What has become of each message, now.
    var outcomes: [BatchError.Outcome] {
        batch.messages.indices.map { index in
            if isConfirmed[index] { return .confirmed }
            if refused?.index == index { return .refused }
            return index < written ? .unknown : .notSent
        }
    }
}

/// The batches under way, by their numbers.
struct BatchBook: Sendable {
    private(set) var records: [BatchRecord] = []
    /// Where the last receipt belonged to. The next one mostly belongs there, too.
    private var recent = 0

    var isEmpty: Bool { records.isEmpty }

    subscript(place: Int) -> BatchRecord {
        _read { yield records[place] }
        _modify { yield &records[place] }
    }

    mutating func insert(_ batch: Batch) {
        // Numbers are given before the lock is taken, so they come almost in order.
        let place = (records.lastIndex { $0.batch.first < batch.first } ?? -1) + 1
        records.insert(BatchRecord(batch), at: place)
    }

    mutating func remove(at place: Int) -> BatchRecord { records.remove(at: place) }

    /// The one that has this receipt.
    mutating func place(of receipt: UInt64) -> Int? {
        if recent < records.count, records[recent].batch.receipts.contains(receipt) { return recent }
        // The last one that does not begin behind it.
        var (low, high) = (0, records.count)
        while low < high {
            let middle = (low + high) / 2
            if records[middle].batch.first <= receipt { low = middle + 1 } else { high = middle }
        }
        guard low > 0, records[low - 1].batch.receipts.contains(receipt) else { return nil }
        recent = low - 1
        return recent
    }

    mutating func place(of id: RequestID) -> Int? {
        place(of: id.number).flatMap { records[$0].batch.first == id.number ? $0 : nil }
    }
}
