import Base
import BrokerCore
import STOMP
import Testing

@testable import Sessions

/// A broker without sockets, disk or clock: one core, some clients, and a disk that is as slow as the test wants.
/// Each client is driven as the daemon drives it.
final class TestBroker {
    var core: Core
    var effects = Effects(loops: 1)
    var settings: SessionSettings
    var clients: [TestClient] = []
    /// The last batch that was given to storage, and the last one that is on disk.
    var appended: UInt64 = 0
    var durable: UInt64 = 0
    /// What a commit waits for: nothing, or `sync`.
    var isDiskQuick = true
    /// The time of day, in milliseconds since 1970.
    var wall: UInt64 = 1_800_000_000_000
    /// Deliveries stay here instead of reaching clients, as between two loops, until `openMailbox`.
    var isMailSlow = false
    /// Frames that were written from what several get.
    var sharedFrames = 0
    private var mail: [Delivery] = []
    private var stored: [QueueID: [UInt64: PageMessage]] = [:]

    init(core limits: CoreLimits = CoreLimits(), _ settings: SessionSettings = SessionSettings()) {
        var defaults = QueueSettings()
        defaults.redeliveryDelay = 0
        core = Core(limits: limits, defaults: defaults)
        self.settings = settings
    }

    func client(now: Instant = Instant(nanoseconds: 0)) -> TestClient {
        let client = TestClient(self, number: UInt64(clients.count), now: now)
        clients.append(client)
        return client
    }

    /// A client that has said CONNECT and read CONNECTED.
    func connected(_ version: Version) -> TestClient {
        let client = client()
        client.send("CONNECT\naccept-version:\(version.text)\nhost:here\n\n\0")
        _ = client.take()
        return client
    }

    /// All that was appended is on disk now.
    func sync() { sync(through: appended) }

    func sync(through batch: UInt64) {
        durable = batch
        core.durable(through: batch, into: &effects)
        carryOut()
        for client in clients { client.release() }
    }

    func openMailbox() {
        let arrived = mail
        mail = []
        write(arrived)
    }

    /// What the core wanted done.
    func carryOut() {
        repeat {
            keepOnDisk()
            if isMailSlow { mail += effects.deliveries[0] } else { write(effects.deliveries[0]) }
            let (kicks, pages) = (effects.kicks, effects.pages)
            effects.clear()
            for kick in kicks { clients[Int(kick.address.connection)].end(SessionError(kick.refusal)) }
            for page in pages { answer(page) }
            if isDiskQuick, durable < appended { return sync() }
        } while effects.hasDeliveries || !effects.batches.isEmpty || !effects.pages.isEmpty
    }

    private func write(_ deliveries: [Delivery]) {
        deliveries.withUnsafeBufferPointer { all in
            guard let first = all.baseAddress else { return }
            var start = 0
            while start < all.count {
                var end = start + 1
                while end < all.count, Delivery.haveSameReader(first + start, first + end) { end += 1 }
                let run = UnsafeBufferPointer(rebasing: all[start..<end])
                if let audience = all[start].audience {
                    var frames = SharedFrames()
                    for member in audience.members {
                        clients[Int(member.connection)].deliver(run, for: member.slot, sharing: &frames)
                    }
                } else {
                    for delivery in run { clients[Int(delivery.connection)].deliver(delivery) }
                }
                start = end
            }
        }
    }

    private func keepOnDisk() {
        for batch in effects.batches {
            #expect(batch.number == appended + 1)
            appended = batch.number
            let payload = batch.pieces.flatMap { Array($0.bytes) }
            for record in batch.records { keep(record, payload) }
        }
    }

    private func keep(_ record: Record, _ payload: [UInt8]) {
        switch record.kind {
        case .append:
            var arena = Arena()
            let bytes = payload[Int(record.offset)..<Int(record.offset) + Int(record.bytes)]
            let content = Array(bytes).withUnsafeBufferPointer { arena.append($0) }
            stored[record.queue, default: [:]][record.sequence] = PageMessage(
                sequence: record.sequence, headerBytes: record.headerBytes, content: content,
                flags: record.flags)
        case .settle:
            for sequence in record.sequence..<record.sequence + UInt64(record.count) {
                stored[record.queue]?[sequence] = nil
            }
        case .deleteQueue: stored[record.queue] = nil
        case .createQueue, .attempt, .note, .remember, .forget: break
        }
    }

    private func answer(_ wanted: PageWanted) {
        let all = (stored[wanted.queue] ?? [:]).values.filter { $0.sequence >= wanted.from }
        let page = all.sorted { $0.sequence < $1.sequence }.prefix(wanted.maxCount)
        let resumeAt = page.last.map { $0.sequence + 1 } ?? wanted.from
        core.page(wanted, messages: Array(page), resumeAt: resumeAt, failure: nil, into: &effects)
    }
}

/// One client of a `TestBroker`: writes bytes, reads what the session says.
final class TestClient {
    let broker: TestBroker
    let number: UInt64
    var session: Session
    var coreID: SessionID?
    /// Bytes that the session has not used yet.
    private(set) var inbox: [UInt8] = []
    private var out = Buffer()
    private var batch = CommandBatch()
    private(set) var received: UInt64 = 0
    var isGone = false

    init(_ broker: TestBroker, number: UInt64, now: Instant) {
        self.broker = broker
        self.number = number
        session = Session(settings: broker.settings, token: "token\(number)", now: now)
    }

    func send(_ text: String, at now: Instant = Instant(nanoseconds: 0)) { send(Array(text.utf8), at: now) }

    func send(_ bytes: [UInt8], at now: Instant = Instant(nanoseconds: 0)) {
        if isGone { return }
        inbox += bytes
        received += UInt64(bytes.count)
        repeat {
            if session.isEnding { return inbox.removeAll() }
            takeBatch(now)
        } while session.hasMore
    }

    /// Memory of just this size, spoilt at once afterwards: a pointer that is kept too long is seen.
    private func takeBatch(_ now: Instant) {
        let piece = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: inbox.count)
        defer { piece.deallocate() }
        _ = piece.initialize(fromContentsOf: inbox)
        let moment = Moment(now, wall: broker.wall)
        let used = session.receive(piece, received: received, now: moment, batch: &batch)
        #expect(used >= 0 && used <= inbox.count)
        var (done, refusal, required): (Int, Refusal?, UInt64) = (0, nil, 0)
        if !batch.isEmpty || (coreID == nil && session.isConnected) {
            let id = coreID ?? broker.core.open(SessionAddress(loop: 0, connection: number))
            coreID = id
            (done, refusal, required) = batch.commands.withUnsafeBufferPointer {
                broker.core.apply($0, extras: batch.extras, of: id, now: moment, into: &broker.effects)
            }
            if broker.isMailSlow { broker.openMailbox() }
        }
        session.commit(
            done: done, refusal: refusal, batch: batch, required: required, durable: broker.durable, into: &out)
        piece.update(repeating: 0xEE)
        batch.clear()
        inbox.removeFirst(used)
        broker.carryOut()
    }

    // Of the session, which #expect cannot look into itself.
    var isOver: Bool { session.isOver }
    var isEnding: Bool { session.isEnding }
    var isConnected: Bool { session.isConnected }
    var waitsForDisk: Bool { session.waitsForDisk }
    var login: String { session.login }
    var version: Version { session.version }
    var heartBeats: HeartBeat.Intervals { session.heartBeats }
    var failure: SessionError? { session.failure }
    var endCode: String? { session.endCode }

    func deliver(_ delivery: Delivery) { if !isGone { _ = session.deliver(delivery, into: &out) } }
    /// What is written for several must be what would be written for each.
    func deliver(_ run: UnsafeBufferPointer<Delivery>, for slot: UInt32, sharing frames: inout SharedFrames) {
        guard !isGone, let first = run.baseAddress else { return }
        guard let size = session.size(of: run, for: slot, in: &frames) else {
            for index in run.indices { _ = session.deliver(first + index, for: slot, into: &out) }
            return
        }
        var shared = Buffer()
        var single = Buffer()
        session.write(frames, into: &shared)
        for index in run.indices { #expect(session.deliver(first + index, for: slot, into: &single)) }
        #expect(shared.count == size)
        #expect(shared.readable.elementsEqual(single.readable))
        broker.sharedFrames += run.count
        out.append(UnsafeBufferPointer(shared.readable))
    }

    func release() { if !isGone { session.release(durable: broker.durable, into: &out) } }
    func end(_ error: SessionError) { session.end(error, durable: broker.durable, into: &out) }

    /// The connection breaks.
    func vanish() {
        isGone = true
        guard let coreID else { return }
        broker.core.close(coreID, into: &broker.effects)
        broker.carryOut()
    }

    /// What was written to this client since the last time.
    func take() -> String { String(decoding: takeBytes(), as: UTF8.self) }

    func takeBytes() -> [UInt8] {
        let bytes = Array(out.readable)
        out.clear()
        return bytes
    }

    /// The same as frames, read by the rules of the version agreed on: what is broken is not a frame.
    func frames(_ place: SourceLocation = #_sourceLocation) -> [Frame] {
        let bytes = takeBytes()
        var frames: [Frame] = []
        var parser = FrameParser(role: .client, limits: FrameLimits(headerCount: 1000, bodyBytes: 64 << 20))
        var start = 0
        bytes.withUnsafeBufferPointer { bytes in
            while start < bytes.count {
                let rest = UnsafeBufferPointer(rebasing: bytes[start...])
                do throws(FrameError) {
                    // CONNECTED and an ERROR in its place are read before a version is agreed on.
                    parser.version = rest.starts(with: "CONNECTED".utf8) ? nil : session.version
                    let step = try parser.next(in: rest)
                    if step == .incomplete {
                        Issue.record("half a frame: \(String(decoding: rest, as: UTF8.self))", sourceLocation: place)
                        return
                    }
                    start += parser.consumed
                    if step == .frame {
                        frames.append(try Frame.decode(layout: parser.layout, bytes: rest, version: session.version))
                    }
                } catch {
                    Issue.record("\(error): \(String(decoding: rest, as: UTF8.self))", sourceLocation: place)
                    return
                }
            }
        }
        return frames
    }

    /// Command, with the header that tells one of its kind from the others: `RECEIPT 1`, `MESSAGE hello`.
    func story(_ place: SourceLocation = #_sourceLocation) -> [String] {
        frames(place).map { frame in
            switch frame.command {
            case .receipt: "RECEIPT \(frame["receipt-id"] ?? "?")"
            case .message: "MESSAGE \(frame.text)"
            case .error: "ERROR \(frame["message"] ?? "?")" + (frame["receipt-id"].map { " for \($0)" } ?? "")
            default: "\(frame.command.text)"
            }
        }
    }
}

extension Version: CustomTestStringConvertible {
    public var testDescription: String { "\(text)" }
}

/// `SEND` of a text to a queue, as most clients write it.
func sendFrame(_ text: String, to destination: String = "/queue/a", headers: String = "") -> String {
    "SEND\ndestination:\(destination)\ncontent-length:\(text.utf8.count)\n\(headers)\n\(text)\0"
}

func subscribeFrame(
    _ id: String = "s", to destination: String = "/queue/a", ack: String = "auto", headers: String = ""
) -> String {
    "SUBSCRIBE\nid:\(id)\ndestination:\(destination)\nack:\(ack)\n\(headers)\n\0"
}
