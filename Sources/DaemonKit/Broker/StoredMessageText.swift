import Base
import BrokerCore
import STOMP
import Storage

/// A stored message as people read it.
struct StoredMessageText {
    private let stored: StoredMessage

    init(_ stored: StoredMessage) { self.stored = stored }

    func message(bodyBytes: Int) -> API.Message {
        var message = API.Message()
        message.sequence = stored.sequence
        message.persistent = stored.flags & MessageFlags.durable != 0
        let content = stored.content.bytes
        let head = UnsafeBufferPointer(rebasing: content.prefix(Int(stored.headerBytes)))
        message.headers = headers(head)
        if stored.flags & MessageFlags.stamped != 0 {
            let (due, end) = MessageFlags.times(of: content)
            message.notBeforeUnixMilliseconds = due > 0 ? due : nil
            message.expiresUnixMilliseconds = end > 0 ? end : nil
        }
        // The NUL behind the body is the frame's, not the body's.
        let body = UnsafeBufferPointer(rebasing: content.dropFirst(Int(stored.headerBytes)).dropLast())
        message.show(body: body, limit: bodyBytes)
        return message
    }

    private func headers(_ head: UnsafeBufferPointer<UInt8>) -> [API.Header] {
        var headers: [API.Header] = []
        for line in head.split(separator: UInt8(ascii: "\n")) {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { continue }
            let name = plain(UnsafeBufferPointer(rebasing: line[..<colon]))
            headers.append(API.Header(name: name, value: plain(UnsafeBufferPointer(rebasing: line[(colon + 1)...]))))
        }
        return headers
    }

    /// Messages are stored as 1.2 text.
    private func plain(_ text: UnsafeBufferPointer<UInt8>) -> String {
        var buffer = Buffer()
        do throws(FrameError) {
            try HeaderText.unescape(text, version: .v12, into: &buffer)
        } catch {
            return String(decoding: text, as: UTF8.self)
        }
        return String(decoding: buffer.readable, as: UTF8.self)
    }
}
