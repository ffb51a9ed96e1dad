import Base
import Glibc

/// A run of bytes on its way out: encoded here, or a slice of somebody's chunk.
@usableFromInline final class OutboxPage {
    /// Room of a fresh page. Below malloc's threshold for mmap, so that fresh pages are cheap too.
    static let standardBytes = 32 << 10

    @usableFromInline var buffer: Buffer
    /// When not nil, `buffer` is empty and these bytes are sent.
    var slice: Slice?
    var sliceSent = 0

    init() {
        buffer = Buffer(capacity: Self.standardBytes)
    }

    init(_ slice: Slice) {
        buffer = Buffer()
        self.slice = slice
    }

    var unsent: UnsafeBufferPointer<UInt8> {
        guard let slice else { return UnsafeBufferPointer(buffer.readable) }
        return UnsafeBufferPointer(rebasing: slice.bytes[sliceSent...])
    }

    func sent(_ count: Int) {
        if slice == nil { buffer.consume(count) } else { sliceSent += count }
    }
}

/// Pages that no outbox needs at the moment, for the next one. Loop-confined.
@usableFromInline final class PagePool {
    static let most = 64
    private var spare: [OutboxPage] = []

    func take() -> OutboxPage {
        spare.popLast() ?? OutboxPage()
    }

    /// A page that had to grow far is not kept: its memory would be held for ordinary use.
    func give(_ page: OutboxPage) {
        guard page.slice == nil, spare.count < Self.most, page.buffer.allocated <= 2 * OutboxPage.standardBytes
        else { return }
        page.buffer.clear()
        spare.append(page)
    }
}

/// What a connection still has to send. Loop-confined; an empty outbox holds no memory.
///
/// The owner appends and then marks the connection dirty; nothing is refused. It is the owner who
/// stops giving more while `isOverHighMark` and goes on at `outboxDrained`.
public final class Outbox {
    /// Slices below this many bytes are copied: a reference would keep a whole chunk alive for them.
    public static let sliceBytes = 64 << 10

    /// Bytes appended and not yet taken by the kernel.
    public internal(set) var unsentBytes = 0
    /// True from the moment when `highBytes` are exceeded until no more than `lowBytes` are left.
    public internal(set) var isOverHighMark = false
    public var highBytes: Int
    public var lowBytes: Int

    /// Full pages, oldest first; `tail` comes behind them.
    private var pages = Deque<OutboxPage>()
    @usableFromInline var tail: OutboxPage?
    /// Set by `finish`: nothing said after the last word is sent.
    @usableFromInline var isClosed = false
    private let pool: PagePool

    init(pool: PagePool, settings: LoopSettings) {
        self.pool = pool
        highBytes = settings.outboxHighBytes
        lowBytes = settings.outboxLowBytes
    }

    public var isEmpty: Bool { unsentBytes == 0 }

    /// Lets `body` append to the last buffer, which may grow. It must only append. With `room`, the
    /// number of bytes expected, no copy is made for growth. Not to be nested.
    @inlinable
    public func withTail<R, E: Error>(room: Int = 512, _ body: (inout Buffer) throws(E) -> R) throws(E) -> R {
        let page = tailPage(room: room)
        let before = page.buffer.count
        defer { wrote(page, before: before) }
        return try body(&page.buffer)
    }

    public func append(_ bytes: UnsafeBufferPointer<UInt8>) {
        withTail(room: bytes.count) { $0.append(bytes) }
    }

    /// Sends the bytes of `slice`. Many bytes are not copied: the slice is held until they are sent.
    public func append(_ slice: Slice) {
        guard slice.count >= Self.sliceBytes else {
            append(slice.bytes)
            return
        }
        if isClosed { return }
        if let tail { pages.append(tail) }
        tail = nil
        pages.append(OutboxPage(slice))
        grew(by: Int(slice.count))
    }

    /// The page to append to: the last one if `room` more bytes fit, or a fresh one.
    @usableFromInline func tailPage(room: Int) -> OutboxPage {
        if let tail {
            if tail.buffer.isEmpty || tail.buffer.room.count >= room {
                tail.buffer.reserve(room)
                return tail
            }
            pages.append(tail)
        }
        let page = pool.take()
        page.buffer.reserve(room)
        tail = page
        return page
    }

    @usableFromInline func wrote(_ page: OutboxPage, before: Int) {
        if isClosed {
            page.buffer.truncate(to: before)
            if unsentBytes == 0 { clear() }
        } else {
            grew(by: page.buffer.count - before)
        }
    }

    private func grew(by count: Int) {
        unsentBytes += count
        if unsentBytes > highBytes { isOverHighMark = true }
    }
}

// MARK: Sending

extension Outbox {
    enum SendResult {
        /// The kernel took so many bytes; `all` says whether it took everything offered.
        case sent(Int, all: Bool)
        case failed(Int32)
    }

    private static let most = 64

    /// One `sendmsg` of up to 64 pages. MSG_NOSIGNAL: a peer that is gone is an error, never SIGPIPE.
    func send(to descriptor: Int32) -> SendResult {
        withUnsafeTemporaryAllocation(of: iovec.self, capacity: Self.most) { vectors in
            var filled = 0
            var offered = 0
            func add(_ page: OutboxPage) {
                let bytes = page.unsent
                if bytes.isEmpty { return }
                vectors[filled] = iovec(
                    iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
                filled += 1
                offered += bytes.count
            }
            var index = 0
            while index < pages.count, filled < Self.most {
                add(pages[index])
                index += 1
            }
            if index == pages.count, filled < Self.most, let tail { add(tail) }

            var message = msghdr()
            message.msg_iov = vectors.baseAddress
            message.msg_iovlen = filled
            let sent = sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL))
            if sent < 0 { return .failed(errno) }
            took(sent)
            return .sent(sent, all: sent == offered)
        }
    }

    /// The kernel has the first `count` bytes: pages sent in full go back to the pool.
    private func took(_ count: Int) {
        unsentBytes -= count
        var left = count
        while let page = pages.first {
            let size = page.unsent.count
            if size > left {
                page.sent(left)
                return
            }
            left -= size
            page.sent(size)
            pages.popFirst()
            pool.give(page)
        }
        pages.removeAll()
        guard let tail else { return }
        tail.buffer.consume(left)
        if tail.buffer.isEmpty {
            pool.give(tail)
            self.tail = nil
        }
    }

    /// True once, when the bytes fell to the low mark after having been above the high one.
    func takeDrained() -> Bool {
        guard isOverHighMark, unsentBytes <= lowBytes else { return false }
        isOverHighMark = false
        return true
    }

    /// Forgets what was not sent.
    func clear() {
        while let page = pages.popFirst() { pool.give(page) }
        pages.removeAll()
        if let tail { pool.give(tail) }
        tail = nil
        unsentBytes = 0
        isOverHighMark = false
    }
}
