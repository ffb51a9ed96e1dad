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
        let asksForMore = !parser.layout.present.isDisjoint(with: extrasOfSend)
        let extras: Int32 = asksForMore ? try sendExtras(frame, batch: &batch) : -1
        let replyTo = try replyChannel(frame, batch: &batch)
        let flags: UInt8 = isFalse(.persistent, frame) ? 0 : MessageFlags.durable
        stageReceipt(frame)
        sends &+= 1
        sendBytes &+= UInt64(truncatingIfNeeded: parser.layout.end)
        let name = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(frame)[destination.value])
        let isRecent = isRecent(name)
        // A blank line that is CRLF must not be stored: 1.1 and 1.0 know LF only.
        let hasPlainBlankLine = parser.layout.body.lowerBound == parser.layout.headersEnd + 1
        if version != .v10, parser.layout.isPlain, hasPlainBlankLine, parser.layout.contentLength != nil,
            replyTo == nil, !destination.hasEscape, isRecent || !Self.mustBeLookedAt(name)
        {
            let memo = isRecent ? recentMemo : lookUp(name)
            sendInPlace(
                frame, memo: memo, flags: flags, transaction: transaction, extras: extras, batch: &batch)
        } else {
            try sendRewritten(
                frame, replyTo: replyTo, flags: flags, transaction: transaction, extras: extras, batch: &batch)
        }
    }

    @inline(__always)
    private func isFalse(_ known: KnownHeader, _ frame: Frame) -> Bool {
        guard let value = header(known, frame), value.count == 5 else { return false }
        return value.elementsEqual("false".utf8)
    }

    /// Whether a destination is a name of this connection only, or several.
    private static func mustBeLookedAt(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
        name.starts(with: temporaryPrefix.utf8) || isComposite(name)
    }

    /// The global name for a `reply-to:/temp-queue/X`; nil if the header needs no change.
    private mutating func replyChannel(_ frame: Frame, batch: inout CommandBatch) throws(SessionError) -> [UInt8]? {
        if !parser.layout.has(.replyTo) { return nil }
        guard let name = try decoded(.replyTo, frame), name.starts(with: Self.temporaryPrefix.utf8) else { return nil }
        return try expectReplies(name, batch: &batch)
    }

    /// Moves the kept lines together, against the blank line, and hands on everything from there to NUL.
    private mutating func sendInPlace(
        _ frame: Frame, memo: Int32, flags: UInt8, transaction: UInt32, extras: Int32, batch: inout CommandBatch
    ) {
        guard let base = frame.baseAddress else { return }
        let dropped = droppedOfSend
        rememberSend(frame, memo: memo, flags: flags, transaction: transaction, extras: extras)
        var start = parser.layout.headersEnd
        var nameStart = 0
        var nameCount = 0
        var index = parser.layout.headers.count
        while index > 0 {
            index &-= 1
            let header = parser.layout.headers[index]
            if header.isRepeat || dropped.contains(header.known) { continue }
            let lineStart = Int(header.nameStart)
            let count = Int(header.lineEnd) &- lineStart
            start &-= count
            if start != lineStart { memmove(base + start, base + lineStart, count) }
            if header.known == .destination {
                nameStart = start &+ Int(header.valueStart) &- lineStart
                nameCount = Int(header.valueEnd) &- Int(header.valueStart)
            }
        }
        let end = parser.layout.end
        batch.commands.append(
            .send(
                Send(
                    memo: memo, destination: Bytes(start: base + nameStart, count: nameCount),
                    content: Bytes(start: base + start, count: end &- start),
                    headerBytes: UInt32(truncatingIfNeeded: parser.layout.body.lowerBound &- start), flags: flags,
                    transaction: transaction, extras: extras)))
    }

    /// Writes the message anew as 1.2 text, once for each destination. Several are one transaction.
    private mutating func sendRewritten(
        _ frame: Frame, replyTo: [UInt8]?, flags: UInt8, transaction: UInt32, extras: Int32, batch: inout CommandBatch
    ) throws(SessionError) {
        let name = try required(.destination, frame)
        let parts = Self.parts(of: name)
        try checkCount(of: parts)
        let isOwn = parts.count > 1 && transaction == 0
        let transaction = isOwn ? freshTransaction() : transaction
        if isOwn { batch.commands.append(.begin(transaction: transaction)) }
        for part in parts {
            let (content, headerBytes) = try rewritten(frame, destination: part, replyTo: replyTo, batch: &batch)
            let destination = hold(try global(part), batch: &batch)
            batch.commands.append(
                .send(
                    Send(
                        memo: memo(destination), destination: destination, content: content, headerBytes: headerBytes,
                        flags: flags, transaction: transaction, extras: extras)))
        }
        if isOwn { batch.commands.append(.commit(transaction: transaction)) }
    }

    /// What is stored for one destination, with content-length, and how much of it is the head.
    private func rewritten(
        _ frame: Frame, destination: [UInt8], replyTo: [UInt8]?, batch: inout CommandBatch
    ) throws(SessionError) -> (content: Bytes, headerBytes: UInt32) {
        let dropped = droppedOfSend
        var content = Buffer(capacity: parser.layout.end + 64)
        let body = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(frame)[parser.layout.body])
        for header in parser.layout.headers {
            if header.isRepeat || dropped.contains(header.known) || header.known == .contentLength { continue }
            var value = try decode(header, frame)
            if header.known == .destination { value = destination }
            if header.known == .replyTo, let replyTo { value = replyTo }
            let key = try decodeName(header, frame)
            key.withUnsafeBufferPointer { key in
                value.withUnsafeBufferPointer { HeaderText.append12(name: key, value: $0, into: &content) }
            }
        }
        content.append("content-length:")
        content.append(decimal: UInt64(body.count))
        content.append("\n\n")
        let headerBytes = UInt32(content.count)
        content.append(body)
        content.append(0)
        return (batch.hold(UnsafeBufferPointer(content.readable)), headerBytes)
    }

    /// What the broker calls a destination of this connection.
    private func global(_ name: [UInt8]) throws(SessionError) -> [UInt8] {
        guard name.starts(with: Self.temporaryPrefix.utf8) else { return name }
        if let global = temporaries[name] { return global }
        throw SessionError(
            Refusal(
                .noSuchTemporary,
                "this connection has no \(Self.printable(name)); subscribe first, or answer to the reply-to"))
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
    private mutating func memo(_ name: Bytes) -> Int32 { isRecent(name) ? recentMemo : lookUp(name) }

    @inline(__always)
    private func isRecent(_ name: Bytes) -> Bool {
        recentDestination.withUnsafeBufferPointer { recent in
            recent.count == name.count && recent.count > 0
                && memcmp(recent.baseAddress.unsafelyUnwrapped, name.baseAddress.unsafelyUnwrapped, recent.count) == 0
        }
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
