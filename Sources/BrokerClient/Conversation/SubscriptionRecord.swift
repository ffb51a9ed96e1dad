import Base
import STOMP

/// What the conversation knows of one subscription.
///
///     requested --RECEIPT--> active --cancel, close, ERROR--> ended
///                              |
///                              `-- reconnect: SUBSCRIBE again, still active
struct SubscriptionRecord {
    enum Phase: Sendable {
        case requested
        case active
        /// nil: by `cancel()` or `close()`, so the sequence ends without an error.
        case ended(ClientError?)
    }

    /// SUBSCRIBE as it is sent, but for its `receipt`.
    let frame: Frame
    let destination: String
    let acknowledgement: Acknowledgement
    /// The broker may have so many messages unacknowledged here, and the buffer holds no more.
    let prefetch: Int

    var phase = Phase.requested
    /// Received, and not yet asked for.
    var buffer = Deque<Delivery>()
    /// Calls that wait for a message. Some may be gone by now.
    var consumers = Deque<RequestID>()
    /// Serials handed over and neither acknowledged nor rejected; in individual mode.
    private var unsettled = Serials()
    /// All serials up to this one are settled; in cumulative mode.
    private var settledThrough: UInt64 = 0

    init(frame: Frame, destination: String, acknowledgement: Acknowledgement, prefetch: Int) {
        self.frame = frame
        self.destination = destination
        self.acknowledgement = acknowledgement
        self.prefetch = prefetch
    }

    var isOpen: Bool {
        if case .ended = phase { return false }
        return true
    }

    var isFull: Bool { buffer.count >= prefetch }
    var isHalfEmpty: Bool { buffer.count <= prefetch / 2 }

    /// The program has it now.
    mutating func handedOver(_ serial: UInt64) {
        if acknowledgement == .individual { unsettled.append(serial) }
    }

    func isUnsettled(_ serial: UInt64) -> Bool {
        switch acknowledgement {
        case .automatic: false
        case .individual: unsettled.contains(serial)
        case .cumulative: serial > settledThrough
        }
    }

    /// What must be known to take a settlement back.
    struct Undo: Sendable {
        fileprivate let serial: UInt64
        fileprivate let settledThrough: UInt64
    }

    /// Nil if it is settled already.
    mutating func settle(serial: UInt64) -> Undo? {
        let undo = Undo(serial: serial, settledThrough: settledThrough)
        switch acknowledgement {
        case .automatic:
            return nil
        case .individual:
            return unsettled.remove(serial) ? undo : nil
        case .cumulative:
            if serial <= settledThrough { return nil }
            settledThrough = serial
            return undo
        }
    }

    /// The transaction it was part of was aborted: it can be settled again.
    mutating func unsettle(_ undo: Undo) {
        switch acknowledgement {
        case .automatic: break
        case .individual: unsettled.insert(undo.serial)
        case .cumulative: if settledThrough == undo.serial { settledThrough = undo.settledThrough }
        }
    }

    /// The connection is gone: the broker will deliver all of these again.
    mutating func loseDeliveries() {
        buffer.removeAll()
        unsettled.removeAll()
    }
}

/// Serials, in rising order. Mostly they go in the order in which they came.
private struct Serials {
    private var serials: [UInt64] = []
    /// Those in front of it are gone.
    private var first = 0

    mutating func append(_ serial: UInt64) { serials.append(serial) }

    mutating func insert(_ serial: UInt64) { serials.insert(serial, at: place(of: serial)) }

    func contains(_ serial: UInt64) -> Bool {
        let place = place(of: serial)
        return place < serials.count && serials[place] == serial
    }

    /// False: it is not among them.
    mutating func remove(_ serial: UInt64) -> Bool {
        let place = place(of: serial)
        guard place < serials.count, serials[place] == serial else { return false }
        if place > first {
            serials.remove(at: place)
            return true
        }
        first += 1
        if first == serials.count {
            serials.removeAll(keepingCapacity: true)
            first = 0
        } else if first >= 64, first * 2 > serials.count {
            serials.removeFirst(first)
            first = 0
        }
        return true
    }

    mutating func removeAll() {
        serials.removeAll()
        first = 0
    }

    /// Of the first one that is not smaller.
    private func place(of serial: UInt64) -> Int {
        if first < serials.count, serials[first] >= serial { return first }
        var (low, high) = (first, serials.count)
        while low < high {
            let middle = (low + high) / 2
            if serials[middle] < serial { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// What the conversation knows of one transaction.
struct TransactionRecord: Sendable {
    /// The connection it was begun on. It has no meaning on any other.
    let link: LinkNumber
    var isCommitting = false
    /// Acknowledged or rejected in it; free again when it is aborted.
    var settled: [(subscription: SubscriptionID, undo: SubscriptionRecord.Undo)] = []
}
