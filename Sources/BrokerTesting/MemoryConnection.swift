import Base
import BrokerClient
import BrokerCore
import Sessions

/// One connection in memory: the client's end of it, and the broker's session.
///
///     client -> toBroker -> session -> toClient -> client
///
/// Nothing is handed on from inside a call: both sides only write, and turns (`MemoryBroker.carry`) bring it over.
final class MemoryConnection: CarriedConnection {
    let id: UInt64
    let handler: any CarriedHandler
    var session: Session
    var coreID: SessionID?
    var toBroker = Buffer()
    var toClient = Buffer()
    /// Bytes of deliveries that the core does not know to have been taken.
    var unreported = 0
    var received: UInt64 = 0
    var lastReceived: Instant
    var lastSent: Instant
    /// The core wants the client to wait.
    var heldUntil: Instant?

    enum End {
        /// What the client wrote still arrives.
        case byClient
        /// What the broker wrote still arrives.
        case byBroker
        /// Nothing arrives any more.
        case cut(code: String)
    }

    private(set) var end: End?
    /// Nothing moves, and nobody notices.
    var isFrozen = false
    /// The client has something to look at that it has not seen.
    var hasNews = false
    /// What is in `toBroker` is part of a frame.
    private var waitsForMore = false
    private var isPaused = false
    private(set) var isTickWanted = false
    /// The client was told, or told itself, to write no more.
    private var isHeldUp = false

    /// More than this many bytes that the broker has not taken are too many.
    private static let roomBytes = 256 << 10

    init(id: UInt64, to handler: any CarriedHandler, settings: SessionSettings, now: Instant) {
        self.id = id
        self.handler = handler
        session = Session(settings: settings, token: "connection-\(id)", now: now)
        lastReceived = now
        lastSent = now
    }

    // MARK: The client's end

    var isOpen: Bool { end == nil }

    var isCongested: Bool {
        if toBroker.count > Self.roomBytes { isHeldUp = true }
        return isHeldUp
    }

    func write(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard isOpen, !bytes.isEmpty else { return }
        toBroker.append(bytes)
        received += UInt64(bytes.count)
        waitsForMore = false
    }

    func pauseReading() { isPaused = true }

    func resumeReading() {
        isPaused = false
        hasNews = true
    }

    func tickSoon() { isTickWanted = true }

    func finish(code: String) {
        if isOpen { end = .byClient }
    }

    func abort(code: String) {
        if isOpen { end = .cut(code: code) }
    }

    // MARK: The broker's end

    /// Part of a frame, which waits for its rest.
    func rest(_ input: borrowing Buffer) {
        if input.isEmpty { return }
        var whole = Buffer()
        whole.append(UnsafeBufferPointer(input.readable))
        whole.append(UnsafeBufferPointer(toBroker.readable))
        toBroker = whole
        waitsForMore = true
    }

    func finishByBroker() {
        if isOpen { end = .byBroker }
    }

    func cut(code: String) { end = .cut(code: code) }

    /// The broker should look at `toBroker`.
    var mayBeRead: Bool { !isDeaf && !isFrozen && heldUntil == nil && !waitsForMore && !toBroker.isEmpty }

    /// It has ended, and nothing is left to bring over.
    var isOver: Bool {
        switch end {
        case nil: false
        case .byClient: isDeaf || waitsForMore || toBroker.isEmpty
        case .byBroker: toClient.isEmpty || !hasNews
        case .cut: true
        }
    }

    /// Nothing that comes is looked at any more.
    var isDeaf: Bool {
        if case .cut = end { return true }
        return session.isEnding
    }

    /// Hands the client what there is for it. False if there was nothing that it would take.
    func handOver() -> Bool {
        var hasDone = false
        if hasNews, !isPaused, !isFrozen, !toClient.isEmpty, isOpen || isEndedByBroker {
            hasNews = false
            hasDone = true
            let taken = handler.received(UnsafeBufferPointer(toClient.readable), on: self)
            toClient.consume(min(taken, toClient.count))
        }
        if isTickWanted, isOpen {
            isTickWanted = false
            hasDone = true
            handler.deadlineReached(on: self)
        }
        if isHeldUp, isOpen, !isFrozen, toBroker.isEmpty {
            isHeldUp = false
            hasDone = true
            handler.outboxDrained(on: self)
        }
        return hasDone
    }

    private var isEndedByBroker: Bool {
        if case .byBroker = end { return true }
        return false
    }
}
