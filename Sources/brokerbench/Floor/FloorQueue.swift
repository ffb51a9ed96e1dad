import Base
import Glibc

/// Who takes from a queue, or hears a topic; all but what changes of its MESSAGE frames is made once.
struct FloorSubscription: ~Copyable {
    let client: Int
    let queue: Int
    /// Messages that may be sent and not acknowledged; nil: no end.
    var credit: Int?
    private var head = Buffer()
    private var ackHead = Buffer()

    static let prefetch = 1000

    init(
        number: Int, client: Int, queue: Int, id: UnsafeRawBufferPointer, destination: UnsafeRawBufferPointer,
        wantsAcks: Bool
    ) {
        self.client = client
        self.queue = queue
        credit = wantsAcks ? Self.prefetch : nil
        head.append("MESSAGE\nsubscription:")
        head.append(id)
        head.append("\ndestination:")
        head.append(destination)
        head.append("\nmessage-id:")
        guard wantsAcks else { return }
        ackHead.append("\nack:")
        ackHead.append(decimal: UInt64(number))
        ackHead.append(UInt8(ascii: "-"))
    }

    var isOpen: Bool { credit != 0 }

    /// Puts a MESSAGE frame into the outbox.
    mutating func deliver(_ body: UnsafeRawBufferPointer, number: UInt64, to out: inout Buffer) {
        out.reserve(head.count + ackHead.count + body.count + 80)
        out.append(UnsafeRawBufferPointer(head.readable))
        out.append(decimal: number)
        if let credit {
            self.credit = credit - 1
            out.append(UnsafeRawBufferPointer(ackHead.readable))
            out.append(decimal: number)
        }
        out.append("\ncontent-length:")
        out.append(decimal: UInt64(body.count))
        out.append("\n\n")
        out.append(body)
        out.append(0)
    }

    /// The number of the subscription that an ACK is for; nil when it has none of our ids.
    static func number(inAck id: UnsafeRawBufferPointer) -> Int? {
        guard let dash = id.firstIndex(of: UInt8(ascii: "-")) else { return nil }
        return UnsafeRawBufferPointer(rebasing: id[..<dash]).decimal.map { Int($0) }
    }
}

/// A queue or a topic.
struct FloorQueue: ~Copyable {
    private var nameBytes = Buffer()
    let isTopic: Bool
    var subscriptions: [Int] = []
    /// Whose turn it was.
    var turn = 0
    var backlog = FloorBacklog()
    /// Another queue whose name has the same hash.
    let sameHash: Int?

    init(name: UnsafeRawBufferPointer, sameHash: Int?) {
        nameBytes.append(name)
        isTopic = name.starts(with: "/topic/".utf8)
        self.sameHash = sameHash
    }

    var name: UnsafeRawBufferPointer { UnsafeRawBufferPointer(nameBytes.readable) }

    @inline(__always)
    func isCalled(_ other: UnsafeRawBufferPointer) -> Bool {
        let name = name
        guard name.count == other.count, let ours = name.baseAddress, let theirs = other.baseAddress else {
            return false
        }
        return memcmp(ours, theirs, name.count) == 0
    }
}

/// Queues and topics by name. They are never removed.
struct FloorQueues: ~Copyable {
    private var places: [UnsafeMutablePointer<FloorQueue>] = []
    private var byHash: [UInt64: Int] = [:]

    deinit {
        for place in places {
            place.deinitialize(count: 1)
            place.deallocate()
        }
    }

    subscript(index: Int) -> UnsafeMutablePointer<FloorQueue> {
        @inline(__always) get { places[index] }
    }

    /// Makes it if there is none.
    mutating func index(of name: UnsafeRawBufferPointer) -> Int {
        let hash = Self.hash(name)
        let first = byHash[hash]
        var next = first
        while let index = next {
            if places[index].pointee.isCalled(name) { return index }
            next = places[index].pointee.sameHash
        }
        let place = UnsafeMutablePointer<FloorQueue>.allocate(capacity: 1)
        place.initialize(to: FloorQueue(name: name, sameHash: first))
        places.append(place)
        byHash[hash] = places.count - 1
        return places.count - 1
    }

    /// FNV-1a: no text is made to look a name up.
    private static func hash(_ name: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in name { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return hash
    }
}
