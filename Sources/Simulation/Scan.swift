import Base
import BrokerCore
import LogStorage
import Storage

/// Reads everything that a store holds.
struct Scan {
    private(set) var found: [Promises.Found] = []
    /// By family: why not all of it could be read.
    private(set) var unreadable: [Int: String] = [:]
    /// A message that nobody sent was given out.
    private(set) var changed: String?
    /// Counters that say something else.
    private(set) var miscounted: String?

    init(_ store: Store, _ promises: borrowing Promises) {
        for queue in store.queues {
            if let family = Names.family(of: queue.name) { read(queue, family, store, promises) }
        }
    }

    private mutating func read(
        _ queue: Recovery.Queue, _ family: Int, _ store: Store, _ promises: borrowing Promises
    ) {
        var (from, messages, bytes) = (UInt64(1), UInt64(0), UInt64(0))
        while true {
            let page = store.page(PageRequest(queue: queue.id, from: from, maxCount: 100, maxBytes: 20_000))
            for message in page.messages {
                messages += 1
                bytes += UInt64(message.content.count)
                guard let number = Self.number(of: message, promises) else {
                    changed = "I2: \(Names.family(family)) holds a message that nobody sent, or that was changed"
                    return
                }
                found.append(Promises.Found(family: family, message: number))
            }
            if let failure = page.failure {
                unreadable[family] = failure
                return
            }
            if page.resumeAt == from { break }
            from = page.resumeAt
        }
        if messages != queue.messages || bytes != queue.bytes {
            miscounted =
                "I7: \(Names.family(family)) says \(queue.messages) messages of \(queue.bytes) bytes, but holds "
                + "\(messages) of \(bytes)"
        }
    }

    private static func number(of message: StoredMessage, _ promises: borrowing Promises) -> Int? {
        let content = message.content.bytes
        let start = Int(message.headerBytes)
        guard start < content.count else { return nil }
        let body = UnsafeBufferPointer(rebasing: content[start..<content.count - 1])
        guard let number = Payload.message(in: body) else { return nil }
        return promises.checked(number, Array(body), nil) == nil ? nil : number
    }
}
