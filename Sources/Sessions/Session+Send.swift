import Base
import BrokerCore
import Glibc
import STOMP

/// SEND frames. The usual one is stored as it came: the lines that are not the message's own are cut
/// out in place and the rest is handed on without a copy.
extension Session {
    mutating func send(_ frame: Frame, batch: inout CommandBatch) throws(SessionError) {
        guard let destination = parser.layout.first(.destination) else {
            throw SessionError(.headerMissing, "SEND needs the header destination")
        }
        let transaction = try self.transaction(frame)
        try refuseUnsupported(frame)
        let replyTo = try replyChannel(frame, batch: &batch)
        let flags: UInt8 = isFalse(.persistent, frame) ? 0 : MessageFlags.durable
        stageReceipt(frame)
        sends &+= 1
        let name = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(frame)[destination.value])
        // A blank line that is CRLF must not be stored: 1.1 and 1.0 know LF only.
        let hasPlainBlankLine = parser.layout.body.lowerBound == parser.layout.headersEnd + 1
        if version != .v10, parser.layout.isPlain, hasPlainBlankLine, parser.layout.contentLength != nil,
            replyTo == nil,
            !destination.hasEscape, !Self.isTemporary(name)
        {
            sendInPlace(frame, flags: flags, transaction: transaction, batch: &batch)
        } else {
            try sendRewritten(frame, replyTo: replyTo, flags: flags, transaction: transaction, batch: &batch)
        }
    }

    @inline(__always)
    private func isFalse(_ known: KnownHeader, _ frame: Frame) -> Bool {
        guard let value = header(known, frame), value.count == 5 else { return false }
        return value.elementsEqual("false".utf8)
    }

    /// Whether a destination is a name of this connection only. Looks at one byte of most others.
    @inline(__always)
    private static func isTemporary(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
        name.count > 2 && name[2] == UInt8(ascii: "e") && name.starts(with: temporaryPrefix.utf8)
    }

    @inline(__always)
    private func refuseUnsupported(_ frame: Frame) throws(SessionError) {
        try refuse([.amqScheduledDelay, .amqScheduledTime, .amqScheduledPeriod, .amqScheduledRepeat, .delay], frame)
    }

    /// Lines that say something about this SEND, or that only the broker may set.
    @inline(__always)
    static func isDropped(_ known: KnownHeader) -> Bool {
        switch known {
        case .receipt, .transaction, .messageID, .subscription, .ack, .redelivered, .deliveryCount: true
        default: false
        }
    }

    /// The global name for a `reply-to:/temp-queue/X`; nil if the header needs no change.
    private mutating func replyChannel(_ frame: Frame, batch: inout CommandBatch) throws(SessionError) -> [UInt8]? {
        if !parser.layout.has(.replyTo) { return nil }
        guard let name = try decoded(.replyTo, frame), name.starts(with: Self.temporaryPrefix.utf8) else { return nil }
        return try expectReplies(name, batch: &batch)
    }

    /// Moves the kept lines together, against the blank line, and hands on everything from there to NUL.
    private mutating func sendInPlace(_ frame: Frame, flags: UInt8, transaction: UInt32, batch: inout CommandBatch) {
        guard let base = frame.baseAddress else { return }
        var start = parser.layout.headersEnd
        var nameStart = 0
        var nameCount = 0
        var index = parser.layout.headers.count
        while index > 0 {
            index &-= 1
            let header = parser.layout.headers[index]
            if header.isRepeat || Self.isDropped(header.known) { continue }
            let lineStart = Int(header.nameStart)
            let count = Int(header.lineEnd) &- lineStart
            start &-= count
            if start != lineStart { memmove(base + start, base + lineStart, count) }
            if header.known == .destination {
                nameStart = start &+ Int(header.valueStart) &- lineStart
                nameCount = Int(header.valueEnd) &- Int(header.valueStart)
            }
        }
        let name = Bytes(start: base + nameStart, count: nameCount)
        let end = parser.layout.end
        batch.commands.append(
            .send(
                Send(
                    memo: memo(name), destination: name, content: Bytes(start: base + start, count: end &- start),
                    headerBytes: UInt32(truncatingIfNeeded: parser.layout.body.lowerBound &- start), flags: flags,
                    transaction: transaction)))
    }

    /// Writes the message anew as 1.2 text, with content-length.
    private mutating func sendRewritten(
        _ frame: Frame, replyTo: [UInt8]?, flags: UInt8, transaction: UInt32, batch: inout CommandBatch
    ) throws(SessionError) {
        var content = Buffer(capacity: parser.layout.end + 64)
        var name: [UInt8] = []
        let body = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(frame)[parser.layout.body])
        for header in parser.layout.headers {
            if header.isRepeat || Self.isDropped(header.known) || header.known == .contentLength { continue }
            var value = try decode(header, frame)
            if header.known == .destination { name = value }
            if header.known == .replyTo, let replyTo { value = replyTo }
            let key = try decodeName(header, frame)
            key.withUnsafeBufferPointer { key in
                value.withUnsafeBufferPointer { HeaderText.append12(name: key, value: $0, into: &content) }
            }
        }
        content.append("content-length:")
        content.append(decimal: UInt64(body.count))
        content.append("\n\n")
        let headerBytes = content.count
        content.append(body)
        content.append(0)
        var target = name
        if name.starts(with: Self.temporaryPrefix.utf8) {
            guard let global = temporaries[name] else {
                throw SessionError(
                    Refusal(
                        .noSuchTemporary,
                        "this connection has no \(Self.printable(name)); subscribe first, or answer to the reply-to"
                    ))
            }
            target = global
        }
        let held = batch.hold(UnsafeBufferPointer(content.readable))
        let destination = hold(target, batch: &batch)
        batch.commands.append(
            .send(
                Send(
                    memo: memo(destination), destination: destination, content: held, headerBytes: UInt32(headerBytes),
                    flags: flags, transaction: transaction)))
    }

    private func decodeName(_ header: Header, _ frame: Frame) throws(SessionError) -> [UInt8] {
        let name = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(frame)[header.name])
        guard header.hasEscape else { return Array(name) }
        var plain = Buffer()
        do throws(FrameError) {
            try HeaderText.unescape(name, version: version, into: &plain)
        } catch {
            throw SessionError(error)
        }
        return Array(plain.readable)
    }

    /// This session's number for a destination name; most frames repeat the last one.
    @inline(__always)
    private mutating func memo(_ name: Bytes) -> Int32 {
        let isSame = recentDestination.withUnsafeBufferPointer { recent in
            recent.count == name.count && recent.count > 0
                && memcmp(recent.baseAddress.unsafelyUnwrapped, name.baseAddress.unsafelyUnwrapped, recent.count) == 0
        }
        return isSame ? recentMemo : lookUp(name)
    }

    private mutating func lookUp(_ name: Bytes) -> Int32 {
        let key = Array(name)
        recentDestination = key
        if let known = memos[key] {
            recentMemo = known
        } else if memos.count < settings.memos {
            recentMemo = Int32(memos.count)
            memos[key] = recentMemo
        } else {
            recentMemo = -1
        }
        return recentMemo
    }
}
