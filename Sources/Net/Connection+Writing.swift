import Base
import Glibc

extension Connection {
    /// Sends what the socket takes now; the rest follows when it has room again.
    public func flush() {
        loop.preconditionOnLoop()
        if isWaitingForRoom { return }
        writeOut()
    }

    func writable() {
        want(.output, false)
        writeOut()
    }

    private func writeOut() {
        if case .ended = phase { return }
        while !outbox.isEmpty, !isWriteBroken {
            switch outbox.send(to: descriptor) {
            case .sent(let count, let all):
                lastSent = loop.now
                bytesSent &+= UInt64(count)
                // The kernel took less than offered: it is full, and would only say EAGAIN now.
                if !all {
                    waitForRoom()
                    return afterWriting()
                }
            case .failed(EINTR): continue
            case .failed(EAGAIN):
                waitForRoom()
                return afterWriting()
            case .failed(let error):
                writeFailed(error)
                return
            }
        }
        afterWriting()
    }

    private func afterWriting() {
        if outbox.takeDrained() { loop.enqueueDrained(self) }
        if outbox.isEmpty { shutDownIfFinishing() }
    }

    private func waitForRoom() { want(.output, true) }

    /// The peer is gone, but what it sent before it went may still be unread: a SEND and a quick close
    /// must not lose the SEND. So the input is read to its end, unless nobody is reading.
    private func writeFailed(_ error: Int32) {
        guard error == EPIPE || error == ECONNRESET else {
            end(.writeError(error))
            return
        }
        outbox.isClosed = true
        outbox.clear()
        isWriteBroken = true
        if !isOpen || isPaused || sawEnd { return end(.peerReset) }
        loop.after(milliseconds: loop.settings.drainMilliseconds) { [weak self] in self?.end(.peerReset) }
    }

    private func shutDownIfFinishing() {
        guard case .finishing(let reason, shutDown: false) = phase else { return }
        if isWriteBroken {
            end(reason)
            return
        }
        phase = .finishing(reason, shutDown: true)
        shutdown(descriptor, Int32(SHUT_WR))
        dueAt = Instant.now.adding(milliseconds: loop.settings.drainMilliseconds)
        loop.schedule(self)
        endIfFinished()
    }
}
