import Base
import Glibc

extension Connection {
    /// A leftover of this size or more is not copied in front of the next read: it stays in the inbox.
    static let largeLeftover = 32 << 10
    /// Reads in one turn. A read costs a tenth of a wake-up, so a few more are worth trying; the other
    /// connections wait meanwhile.
    private static let mostReads = 4
    /// Bytes read into the inbox at once.
    private static let inboxRead = 256 << 10

    func readable() {
        switch phase {
        case .open: readOpen()
        case .finishing: discardInput()
        case .ended: return
        }
    }

    private func readOpen() {
        var reads = 0
        while reads < Self.mostReads, isOpen, !isPaused, !sawEnd {
            reads += 1
            let (count, all) = inbox.count >= Self.largeLeftover ? readIntoInbox() : readIntoScratch()
            // A read that did not fill its room has taken all there was: the next would only say EAGAIN.
            if count > 0, all { return }
            if count > 0 { continue }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { return }
            if count == 0 { inputEnded() } else { readFailed(errno) }
        }
    }

    /// The usual read: leftover and new bytes stand together in the loop's scratch buffer. Returns what
    /// `recv` did, and whether it took all there was.
    private func readIntoScratch() -> (count: Int, all: Bool) {
        let scratch = loop.borrowScratch()
        let kept = inbox.count
        guard let base = scratch.baseAddress else { return (0, true) }
        let count = recv(descriptor, base + kept, scratch.count - kept, 0)
        guard count > 0 else { return (count, false) }
        let all = count < scratch.count - kept
        if let leftover = inbox.readable.baseAddress { memcpy(base, leftover, kept) }
        arrived(count)
        let total = kept + count
        let used = offer(UnsafeMutableBufferPointer(start: base, count: total))
        guard isOpen else { return (count, all) }
        keep(UnsafeBufferPointer(start: base + used, count: total - used))
        return (count, all)
    }

    /// The read for long frames: straight behind what is already there.
    private func readIntoInbox() -> (count: Int, all: Bool) {
        inbox.reserve(Self.inboxRead)
        let room = min(inbox.room.count, 2 * Self.inboxRead)
        let count = recv(descriptor, inbox.room.baseAddress, room, 0)
        guard count > 0 else { return (count, false) }
        inbox.written(count)
        arrived(count)
        offerInbox()
        return (count, count < room)
    }

    /// Offers what the inbox holds.
    func offerInbox() {
        guard isOpen, !isPaused, !inbox.isEmpty else { return }
        let used = offer(inbox.readable)
        guard isOpen else { return }
        inbox.consume(used)
        if inbox.count < Self.largeLeftover { shrinkInbox() }
    }

    private func offer(_ bytes: UnsafeMutableBufferPointer<UInt8>) -> Int {
        guard let handler else { return bytes.count }
        let used = handler.received(bytes, on: self)
        precondition(used >= 0 && used <= bytes.count, "a handler used \(used) of \(bytes.count) bytes")
        return used
    }

    private func arrived(_ count: Int) {
        lastReceived = loop.now
        bytesReceived &+= UInt64(count)
        loop.noteRead(count)
    }

    /// Replaces the inbox by `leftover`, in memory just large enough.
    private func keep(_ leftover: UnsafeBufferPointer<UInt8>) {
        if leftover.isEmpty {
            inbox.release()
            return
        }
        if inbox.allocated < leftover.count { inbox = Buffer(capacity: leftover.count) } else { inbox.clear() }
        inbox.append(leftover)
    }

    /// Gives the memory of a long frame back once the frame is done with.
    private func shrinkInbox() {
        if inbox.isEmpty {
            inbox.release()
        } else if inbox.allocated > 2 * Self.largeLeftover {
            var small = Buffer(capacity: inbox.count)
            small.append(UnsafeBufferPointer(inbox.readable))
            inbox = small
        }
    }

    private func inputEnded() {
        sawEnd = true
        want(.input, false)
        if isWriteBroken {
            end(.peerReset)
        } else {
            handler?.receivedEnd(on: self)
        }
    }

    private func readFailed(_ error: Int32) {
        switch error {
        case ECONNRESET, EPIPE: end(.peerReset)
        case ETIMEDOUT, EHOSTUNREACH: end(.timedOut("keep-alive"))
        default: end(.readError(error))
        }
    }

    /// While finishing: input is read only so that it is not unread when the socket is closed.
    private func discardInput() {
        let scratch = loop.borrowScratch()
        for _ in 0..<Self.mostReads {
            let count = recv(descriptor, scratch.baseAddress, scratch.count, 0)
            if count > 0 { continue }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { return }
            if count < 0 {
                end(.peerReset)
                return
            }
            sawEnd = true
            want(.input, false)
            endIfFinished()
            return
        }
    }

    /// Both sides said their last word.
    func endIfFinished() {
        if case .finishing(let reason, shutDown: true) = phase, sawEnd { end(reason) }
    }
}
