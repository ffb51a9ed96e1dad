import Base
import Glibc

/// One connection, and the receipts that it is owed.
struct FloorClient: ~Copyable {
    let descriptor: Int32
    var inbox = Buffer()
    var outbox = Buffer()
    /// Receipts of the batch that is being gathered.
    var staged = Buffer()
    /// Receipts of the batch that is on its way to the disk.
    var owed = Buffer()
    /// There is something in `staged`, or to be written.
    var isStaged = false
    var isDirty = false
    /// The socket is watched for room.
    var isFull = false
    /// Of its last SEND: most producers have one.
    var lastQueue: Int?

    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// One read. False when the other side has ended.
    mutating func read() -> Bool {
        inbox.reserve(Self.readBytes / 2)
        let room = inbox.room
        let count = recv(descriptor, room.baseAddress, room.count, 0)
        if count > 0 { inbox.written(count) }
        return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR))
    }

    /// Writes what the socket takes. False when it is broken.
    mutating func write() -> Bool {
        while !outbox.isEmpty {
            let count = send(descriptor, outbox.readable.baseAddress, outbox.count, Int32(MSG_NOSIGNAL))
            if count > 0 {
                outbox.consume(count)
            } else if errno == EAGAIN {
                return true
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    mutating func stageReceipt(_ id: UnsafeRawBufferPointer) {
        staged.append("RECEIPT\nreceipt-id:")
        staged.append(id)
        staged.append("\n\n\0")
    }

    static let readBytes = 256 << 10
}
