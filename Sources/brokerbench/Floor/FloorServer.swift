import Base
import CSystem
import Glibc

/// The least that any process could do that stores messages before it confirms them: one thread reads, finds
/// the frames, hands messages to subscribers from memory and gathers SEND and ACK as they came; a batch is
/// appended to one file and synced once, and only then its receipts are sent. It recovers nothing, delivers
/// nothing a second time and checks nothing: a floor to compare with, no broker.
struct FloorServer: ~Copyable {
    private let epoll: Int32
    private let listener: FloorListener
    /// By descriptor.
    private var clients: [UnsafeMutablePointer<FloorClient>?] = []
    private var subscriptions: [UnsafeMutablePointer<FloorSubscription>] = []
    private var queues = FloorQueues()
    private var lastNumber: UInt64 = 0
    /// What the next batch will hold.
    private var batch = Buffer()
    private let file: FloorFile?
    private let disk: FloorDisk?
    private var diskIsBusy = false
    /// Clients with receipts in the next batch, and in the one on its way.
    private var staged: [Int] = []
    private var owed: [Int] = []
    /// Clients to be written to.
    private var dirty: [Int] = []
    /// Subscriptions that may take more, after what one client said.
    private var fed: [Int] = []
    /// Lent to a client that has nothing unfinished.
    private var spareInbox = Buffer()

    init(_ options: FloorOptions) throws {
        let epoll = csystem_epoll_create()
        guard epoll >= 0 else { throw Failure.system("epoll") }
        let disk = options.storing == .beside ? try FloorDisk(options, ringing: epoll) : nil
        let file = options.storing == .beside ? nil : try FloorFile(options)
        let listener = try FloorListener(port: options.port)
        try Self.add(listener.descriptor, to: epoll)
        self.epoll = epoll
        self.disk = disk
        self.file = file
        self.listener = listener
    }

    /// Serves until the process is ended.
    mutating func serve() throws -> Never {
        let most = 128
        let events = UnsafeMutablePointer<csystem_event>.allocate(capacity: most)
        while true {
            let count = csystem_epoll_wait(epoll, events, Int32(most), -1)
            guard count >= 0 || errno == EINTR else { throw Failure.system("epoll") }
            for index in 0..<Int(max(count, 0)) { try handle(events[index]) }
            try commit()
            while let index = dirty.popLast() { write(to: index) }
        }
    }

    private mutating func handle(_ event: csystem_event) throws {
        switch event.descriptor {
        case listener.descriptor: try accept()
        case disk?.done: settle()
        default:
            let index = Int(event.descriptor)
            if event.ready & UInt32(CSYSTEM_IN) != 0 { try read(from: index) }
            markDirty(index)
        }
    }

    // MARK: Connections

    private static func add(_ descriptor: Int32, to epoll: Int32) throws {
        guard csystem_epoll_set(epoll, descriptor, 0, UInt32(CSYSTEM_IN)) == 0 else { throw Failure.system("epoll") }
    }

    private mutating func accept() throws {
        while let descriptor = listener.accept() {
            let place = UnsafeMutablePointer<FloorClient>.allocate(capacity: 1)
            place.initialize(to: FloorClient(descriptor: descriptor))
            let index = Int(descriptor)
            while clients.count <= index { clients.append(nil) }
            clients[index] = place
            try Self.add(descriptor, to: epoll)
        }
    }

    private mutating func drop(_ index: Int) {
        guard let client = clients[index] else { return }
        for (number, subscription) in subscriptions.enumerated() where subscription.pointee.client == index {
            queues[subscription.pointee.queue].pointee.subscriptions.removeAll { $0 == number }
        }
        clients[index] = nil
        client.deinitialize(count: 1)
        client.deallocate()
    }

    private mutating func markDirty(_ index: Int) {
        guard let client = clients[index], !client.pointee.isDirty else { return }
        client.pointee.isDirty = true
        dirty.append(index)
    }

    private mutating func write(to index: Int) {
        guard let client = clients[index] else { return }
        client.pointee.isDirty = false
        guard client.pointee.write() else { return drop(index) }
        let isFull = !client.pointee.outbox.isEmpty
        guard isFull != client.pointee.isFull else { return }
        client.pointee.isFull = isFull
        let wants = UInt32(isFull ? CSYSTEM_IN | CSYSTEM_OUT : CSYSTEM_IN)
        if csystem_epoll_set(epoll, client.pointee.descriptor, UInt32(CSYSTEM_IN), wants) != 0 { drop(index) }
    }

    // MARK: Frames

    private mutating func read(from index: Int) throws {
        guard let client = clients[index] else { return }
        if client.pointee.inbox.allocated == 0 { swap(&client.pointee.inbox, &spareInbox) }
        guard client.pointee.read() else { return drop(index) }
        try takeFrames(of: client, index)
        if client.pointee.inbox.isEmpty, spareInbox.allocated == 0 { swap(&client.pointee.inbox, &spareInbox) }
        while let number = fed.popLast() { pump(subscriptions[number].pointee.queue) }
    }

    private mutating func takeFrames(of client: UnsafeMutablePointer<FloorClient>, _ index: Int) throws {
        let bytes = UnsafeRawBufferPointer(client.pointee.inbox.readable)
        var at = 0
        while true {
            while at < bytes.count, bytes[at] == 0x0A { at += 1 }
            let rest = UnsafeRawBufferPointer(rebasing: bytes[at...])
            guard let frame = ClientFrame.scan(rest) else { break }
            try take(frame, UnsafeRawBufferPointer(rebasing: rest[..<frame.count]), client, index)
            at += frame.count
        }
        client.pointee.inbox.consume(at)
    }

    @inline(__always)
    private mutating func take(
        _ frame: ClientFrame, _ raw: UnsafeRawBufferPointer, _ client: UnsafeMutablePointer<FloorClient>, _ index: Int
    ) throws {
        switch frame.kind {
        case .send: try send(frame, raw, client, index)
        case .ack:
            batch.append(raw)
            feed(frame.id)
        case .connect:
            client.pointee.outbox.append("CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0")
        case .subscribe:
            confirm(frame, client, index)
            subscribe(frame, index)
        case .disconnect: confirm(frame, client, index)
        case .unknown: client.pointee.outbox.append("ERROR\nmessage:unknown command\n\n\0")
        }
    }

    /// The receipt goes out with those of the batch, so that none overtakes another.
    @inline(__always)
    private mutating func confirm(_ frame: ClientFrame, _ client: UnsafeMutablePointer<FloorClient>, _ index: Int) {
        guard frame.receipt.count > 0 else { return }
        client.pointee.stageReceipt(frame.receipt)
        guard !client.pointee.isStaged else { return }
        client.pointee.isStaged = true
        staged.append(index)
    }

    private mutating func subscribe(_ frame: ClientFrame, _ index: Int) {
        let queue = queues.index(of: frame.destination)
        let place = UnsafeMutablePointer<FloorSubscription>.allocate(capacity: 1)
        place.initialize(
            to: FloorSubscription(
                number: subscriptions.count, client: index, queue: queue, id: frame.id,
                destination: frame.destination, wantsAcks: frame.wantsAcks))
        queues[queue].pointee.subscriptions.append(subscriptions.count)
        fed.append(subscriptions.count)
        subscriptions.append(place)
    }

    private mutating func feed(_ id: UnsafeRawBufferPointer) {
        guard let number = FloorSubscription.number(inAck: id), number < subscriptions.count else { return }
        guard let credit = subscriptions[number].pointee.credit else { return }
        subscriptions[number].pointee.credit = credit + 1
        if fed.last != number { fed.append(number) }
    }

    // MARK: Messages

    @inline(__always)
    private mutating func send(
        _ frame: ClientFrame, _ raw: UnsafeRawBufferPointer, _ client: UnsafeMutablePointer<FloorClient>, _ index: Int
    ) throws {
        var found = client.pointee.lastQueue
        if let last = found, !queues[last].pointee.isCalled(frame.destination) { found = nil }
        let number = found ?? queues.index(of: frame.destination)
        client.pointee.lastQueue = number
        if frame.isPersistent { batch.append(raw) }
        confirm(frame, client, index)
        let queue = queues[number]
        if queue.pointee.isTopic {
            for place in queue.pointee.subscriptions.indices {
                deliver(frame.body, to: queue.pointee.subscriptions[place])
            }
        } else if queue.pointee.backlog.count == 0, let taker = nextTaker(of: queue) {
            deliver(frame.body, to: taker)
        } else {
            try queue.pointee.backlog.append(frame.body)
        }
    }

    /// The next in turn that may take one more message.
    @inline(__always)
    private func nextTaker(of queue: UnsafeMutablePointer<FloorQueue>) -> Int? {
        let count = queue.pointee.subscriptions.count
        for _ in 0..<count {
            let turn = queue.pointee.turn + 1 < count ? queue.pointee.turn + 1 : 0
            queue.pointee.turn = turn
            let number = queue.pointee.subscriptions[turn]
            if subscriptions[number].pointee.isOpen { return number }
        }
        return nil
    }

    private mutating func pump(_ index: Int) {
        let queue = queues[index]
        while let body = queue.pointee.backlog.first, let taker = nextTaker(of: queue) {
            deliver(body, to: taker)
            queue.pointee.backlog.dropFirst()
        }
    }

    @inline(__always)
    private mutating func deliver(_ body: UnsafeRawBufferPointer, to number: Int) {
        let index = subscriptions[number].pointee.client
        guard let client = clients[index] else { return }
        lastNumber += 1
        subscriptions[number].pointee.deliver(body, number: lastNumber, to: &client.pointee.outbox)
        markDirty(index)
    }

    // MARK: The disk

    /// Stores what was gathered: here, or on the disk's thread when that is free.
    private mutating func commit() throws {
        if let file {
            if !batch.isEmpty { try file.append(UnsafeRawBufferPointer(batch.readable)) }
            batch.clear()
            release()
        } else if let disk, !diskIsBusy {
            guard !batch.isEmpty else { return release() }
            while let index = staged.popLast() {
                guard let client = clients[index] else { continue }
                client.pointee.isStaged = false
                swap(&client.pointee.staged, &client.pointee.owed)
                owed.append(index)
            }
            diskIsBusy = true
            disk.hand(&batch)
        }
    }

    /// The receipts that wait for no disk.
    private mutating func release() {
        while let index = staged.popLast() {
            guard let client = clients[index] else { continue }
            client.pointee.isStaged = false
            client.pointee.outbox.append(UnsafeRawBufferPointer(client.pointee.staged.readable))
            client.pointee.staged.clear()
            markDirty(index)
        }
    }

    /// A batch is on the disk.
    private mutating func settle() {
        diskIsBusy = false
        while let index = owed.popLast() {
            guard let client = clients[index] else { continue }
            client.pointee.outbox.append(UnsafeRawBufferPointer(client.pointee.owed.readable))
            client.pointee.owed.clear()
            markDirty(index)
        }
    }
}
