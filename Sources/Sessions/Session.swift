import Base
import BrokerCore
import Glibc
import STOMP

/// One client's conversation: frames in, commands for the core and answers out, deliveries written
/// as MESSAGE frames. No I/O and no clock; its loop feeds it.
///
///     receive(bytes) -> commands --> core --> commit(done, refusal, batch) -> answers
///                                      `----> deliver(delivery)            -> MESSAGE
///     release(durable) -> RECEIPTs that waited for the disk
///
/// A life: expecting CONNECT -> connected -> ending (what is owed still leaves) -> over.
public struct Session: ~Copyable {
    enum State { case expectingConnect, connected, ending }

    let settings: SessionSettings
    /// Random, unguessable; part of the names of this session's reply channels.
    let token: String
    var parser: FrameParser
    // Kept here since each SEND looks at them: a static one is behind a lock that has to be asked.
    let extrasOfSend = Session.sendExtras
    let droppedOfSend = Session.droppedFromMessages
    var state = State.expectingConnect

    public internal(set) var version = Version.v12
    /// The `login` of CONNECT, for operators; never the passcode.
    public internal(set) var login = ""
    /// The `client-id` of CONNECT: who its durable subscriptions belong to; empty if it gave none.
    var clientID: [UInt8] = []
    /// The broker's time when the bytes that are being read came, in milliseconds since 1970.
    var wall: UInt64 = 0
    /// Set when the conversation is to end: why, in a word for the log.
    public internal(set) var endCode: String?
    /// The session ends because of the client's mistake; the sentence for the log.
    public internal(set) var failure: SessionError?
    /// The rest of the bytes begins with a frame that must be in a batch of its own: after `commit` and
    /// the deliveries of this batch, `receive` is to be called again. So it is after CONNECT too, since only then
    /// is it known whose client this is.
    public internal(set) var hasMore = false
    /// SEND frames taken.
    public internal(set) var sends: UInt64 = 0
    /// Their bytes, from the command to NUL.
    public internal(set) var sendBytes: UInt64 = 0
    public internal(set) var heartBeats = HeartBeat.Intervals(outgoing: 0, incoming: 0)

    /// The last batch that holds anything of this session.
    var lastBatch: UInt64 = 0
    var answers = Answers()
    /// Answers of the frames being taken, until the core has had its say.
    var staged = Buffer()
    var stagedHold = false
    var stagedError: SessionError?
    var stagedErrorReceipt: [UInt8]?
    var stagedEnd: String?

    /// Subscriptions by the client's id for them.
    var slots: [[UInt8]: UInt32] = [:]
    /// All that may still be written to: those of `slots`, and until `commit` those of `ended`.
    var subscriptions: [UInt32: SessionSubscription] = [:]
    /// Ended by a frame of this batch. What the core had given them before is still to be written.
    var ended: [UInt32] = []
    /// Slots that ids stood for before UNSUBSCRIBE, for the late ACKs of 1.0 and 1.1, which name no slot.
    var retired: [[UInt8]: UInt32] = [:]
    var nextSlot: UInt32 = 1
    var head = MessageHead()

    var transactions: [[UInt8]: UInt32] = [:]
    var lastTransaction: UInt32 = 0
    var allowance = Allowance()

    var memos: [[UInt8]: Int32] = [:]
    var recentDestination: [UInt8] = []
    var recentMemo: Int32 = -1
    /// The SEND that is expected next.
    var pattern = SendPattern()
    /// See `takeUsual`.
    var takesUsual = false

    /// Global names of reply channels by the name that the client uses.
    var temporaries: [[UInt8]: [UInt8]] = [:]
    /// Slots of subscriptions made for a `reply-to` and not by a SUBSCRIBE, by that name.
    var replySlots: [[UInt8]: UInt32] = [:]
    var nextTemporary = 1

    let opened: Instant
    var partialSince: Instant?
    var partialBytes: UInt64 = 0
    /// When `due` last found that we were not reading: the client's silence before it was our doing.
    var excused = Instant(nanoseconds: 0)
    var wasReading = true

    public init(settings: SessionSettings, token: String, now: Instant) {
        self.settings = settings
        self.token = token
        opened = now
        parser = FrameParser(role: .server, limits: settings.limitsBeforeLogin)
    }

    public var isConnected: Bool { state == .connected }
    public var isEnding: Bool { state == .ending }
    /// All that was owed has been handed over: the connection can be finished.
    public var isOver: Bool { state == .ending && answers.isEmpty }
    public var subscriptionCount: Int { slots.count }
    public var transactionCount: Int { transactions.count }
    /// Bytes that wait for the disk.
    public var owedBytes: Int { answers.count }

    /// The `id` header of a subscription, for operators.
    public func subscriptionID(slot: UInt32) -> String? {
        subscriptions[slot].map { String(decoding: $0.id, as: UTF8.self) }
    }

    // MARK: In

    /// Takes all whole frames at the start of `bytes`, which may be rewritten in place. Adds what they
    /// ask to `batch` (whose commands point into `bytes`) and returns how many bytes are done with.
    /// `received` counts all bytes that ever came. `commit` must follow. Before it, deliveries that the core
    /// made before this batch must be written, since some of these frames may end their subscription.
    public mutating func receive(
        _ bytes: UnsafeMutableBufferPointer<UInt8>, received: UInt64, now: Moment, batch: inout CommandBatch
    ) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        var used = 0
        wall = now.wall
        hasMore = false
        while used < bytes.count, state != .ending, stagedError == nil, stagedEnd == nil {
            let rest = UnsafeMutableBufferPointer(start: base + used, count: bytes.count - used)
            let usual = takeUsual(rest, batch: &batch)
            if usual > 0 {
                used += usual
                continue
            }
            do throws(FrameError) {
                let step = try parser.next(in: UnsafeBufferPointer(rest))
                if step == .incomplete { break }
                if step == .frame, endsSubscriptions, !batch.isEmpty {
                    hasMore = true
                    return used
                }
                used += parser.consumed
                if step == .heartBeat { continue }
            } catch {
                stagedError = SessionError(error)
                stagedErrorReceipt = receiptOfBrokenFrame(rest)
                return bytes.count
            }
            let wasConnected = state == .connected
            take(rest, batch: &batch)
            if !wasConnected, state == .connected, used < bytes.count {
                hasMore = true
                return used
            }
        }
        if state == .ending || stagedError != nil || stagedEnd != nil {
            // What follows DISCONNECT or a fatal error is not looked at.
            return bytes.count
        }
        if used == bytes.count {
            partialSince = nil
        } else if used > 0 || partialSince == nil {
            partialSince = now.monotonic
            partialBytes = received
        }
        return used
    }

    /// What the frames before gave to an `ack:auto` subscription counts as taken, so that it must be written
    /// before a frame that ends the subscription is answered. The parser finds the frame again.
    private var endsSubscriptions: Bool {
        guard state == .connected else { return false }
        let command = parser.layout.command
        // A SUBSCRIBE may take over a reply channel from the subscription that a reply-to made.
        return command == .unsubscribe || command == .disconnect || (command == .subscribe && !replySlots.isEmpty)
    }

    /// The frames just received end the conversation.
    public var willEnd: Bool { stagedError != nil || stagedEnd != nil }

    /// So that the ERROR can name the receipt of the frame that broke a rule.
    private func receiptOfBrokenFrame(_ bytes: UnsafeMutableBufferPointer<UInt8>) -> [UInt8]? {
        guard let header = parser.layout.first(.receipt), Int(header.valueEnd) <= bytes.count else { return nil }
        let value = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(bytes)[header.value])
        return canGoBack(value, hasEscape: header.hasEscape) ? Array(value) : nil
    }

    /// What may be wrong with the frame is its receipt: then repeating it would make the ERROR broken too.
    private func canGoBack(_ value: UnsafeBufferPointer<UInt8>, hasEscape: Bool) -> Bool {
        if version > .v10, String(validating: value, as: UTF8.self) == nil { return false }
        if version == .v12, value.contains(UInt8(ascii: "\r")) { return false }
        if !hasEscape { return true }
        var plain = Buffer()
        do throws(FrameError) {
            try HeaderText.unescape(value, version: version, into: &plain)
            return true
        } catch {
            return false
        }
    }

    private mutating func take(_ frame: UnsafeMutableBufferPointer<UInt8>, batch: inout CommandBatch) {
        let stagedBefore = staged.count
        let commandsBefore = batch.commands.count
        do throws(SessionError) {
            try carryOut(frame, batch: &batch)
        } catch {
            staged.truncate(to: stagedBefore)
            batch.commands.removeSubrange(commandsBefore...)
            batch.marks.removeSubrange(min(commandsBefore, batch.marks.count)...)
            stagedError = error
            stagedErrorReceipt = header(.receipt, frame).map { Array($0) }
            return
        }
        let hasReceipt = staged.count > stagedBefore && parser.layout.has(.receipt)
        while batch.marks.count < batch.commands.count {
            batch.marks.append(CommandBatch.Mark(stagedBefore: Int32(stagedBefore), hasReceipt: hasReceipt))
        }
    }

    // MARK: Out

    /// The core has done the first `done` commands of the batch; `refusal` says why not the next. What was
    /// staged may leave when `required` is durable, and all that this session did before: a RECEIPT speaks
    /// for the frames before its own too (STOMP 1.2, RECEIPT). `durable` is now.
    public mutating func commit(
        done: Int, refusal: Refusal?, batch: borrowing CommandBatch, required: UInt64, durable: UInt64,
        into out: inout Buffer
    ) {
        if let refusal, done < batch.marks.count {
            let mark = batch.marks[done]
            stagedErrorReceipt = mark.hasReceipt ? stagedReceipt(at: Int(mark.stagedBefore)) : nil
            staged.truncate(to: Int(mark.stagedBefore))
            stagedError = SessionError(refusal)
            stagedEnd = nil
        }
        if let error = stagedError {
            if error.isWorthAFrame { writeError(error, receipt: stagedErrorReceipt) }
            failure = error
            stagedEnd = error.code
        }
        lastBatch = max(lastBatch, required)
        if !staged.isEmpty {
            answers.add(
                staged.readable, after: lastBatch, durable: durable, holdDeliveries: stagedHold, into: &out)
            staged.clear()
        }
        if let stagedEnd {
            state = .ending
            endCode = stagedEnd
        }
        for slot in ended { subscriptions[slot] = nil }
        if !ended.isEmpty {
            ended.removeAll(keepingCapacity: true)
            head.slot = 0
        }
        stagedHold = false
        stagedError = nil
        stagedErrorReceipt = nil
        stagedEnd = nil
    }

    /// The escaped receipt id of the RECEIPT frame staged at `offset`.
    private func stagedReceipt(at offset: Int) -> [UInt8]? {
        let prefix = "RECEIPT\nreceipt-id:".utf8.count
        let bytes = UnsafeBufferPointer(staged.readable)
        guard offset + prefix < bytes.count else { return nil }
        let value = UnsafeBufferPointer(rebasing: bytes[(offset + prefix)...])
        guard let end = value.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        return Array(value[..<end])
    }

    /// More has become durable: RECEIPTs that waited for it leave.
    public mutating func release(durable: UInt64, into out: inout Buffer) {
        if !answers.isEmpty { answers.release(durable: durable, into: &out) }
    }

    public var waitsForDisk: Bool { !answers.isEmpty }

    /// Ends the conversation from our side: an ERROR behind what is owed already, then nothing more.
    public mutating func end(_ error: SessionError, durable: UInt64, into out: inout Buffer) {
        guard state != .ending else { return }
        if state == .connected || parser.layout.end > 0 || error.code != "login-timeout" {
            writeError(error, receipt: nil)
        }
        failure = error
        answers.add(staged.readable, after: 0, durable: durable, holdDeliveries: false, into: &out)
        staged.clear()
        state = .ending
        endCode = error.code
    }

    private mutating func writeError(_ error: SessionError, receipt: [UInt8]?) {
        let body = Array((error.detail + "\n").utf8)
        staged.append("ERROR\nmessage:")
        staged.append(utf8: error.message)
        if let receipt {
            staged.append("\nreceipt-id:")
            staged.append(receipt)
        }
        if error.message == SessionError.Kind.unsupportedVersion.message { staged.append("\nversion:1.0,1.1,1.2") }
        staged.append("\ncontent-type:text/plain\ncontent-length:")
        staged.append(decimal: UInt64(body.count))
        staged.append("\n\n")
        staged.append(body)
        staged.append("\0\n")
    }
}

/// What a session knows of one of its subscriptions.
struct SessionSubscription {
    let id: [UInt8]
    let mode: AcknowledgeMode
    /// The start of each MESSAGE, up to the sequence of the message id, for messages of `queue`.
    var head: [UInt8] = []
    var queue: UInt32 = .max
    let slot: UInt32
    /// 1.0 without an id: no `subscription` header.
    let isNamed: Bool
    /// Of the durable subscription that it takes from, if it is one that belongs to this client.
    var durableName: [UInt8] = []
}
