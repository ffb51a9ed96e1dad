import Base

/// What a session owes its client, in frame order: RECEIPTs wait here for the disk, and whatever
/// comes after them waits behind them.
struct Answers: ~Copyable {
    private struct Mark {
        var batch: UInt64
        /// Bytes up to here, counted from when `waiting` was last empty.
        var end: Int
    }

    private var waiting = Buffer()
    private var marks = Deque<Mark>()
    private var released = 0
    private var total = 0
    /// Deliveries must queue here: the RECEIPT of their SUBSCRIBE is still waiting.
    private(set) var holdsDeliveries = false

    var isEmpty: Bool { marks.isEmpty }
    var count: Int { waiting.count }

    /// `bytes` may leave when `batch` is durable. They go straight to `out` if nothing waits.
    mutating func add(
        _ bytes: UnsafeMutableBufferPointer<UInt8>, after batch: UInt64, durable: UInt64, holdDeliveries: Bool,
        into out: inout Buffer
    ) {
        if bytes.isEmpty { return }
        if marks.isEmpty, batch <= durable {
            out.append(UnsafeBufferPointer(bytes))
            return
        }
        waiting.append(UnsafeBufferPointer(bytes))
        total += bytes.count
        if holdDeliveries { holdsDeliveries = true }
        if let last = marks.last, last.batch >= batch {
            marks[marks.count - 1].end = total
        } else {
            marks.append(Mark(batch: batch, end: total))
        }
    }

    /// Appends behind what is waiting, to leave with the last of it.
    mutating func addDelivery(_ write: (inout Buffer) -> Void) {
        let before = waiting.count
        write(&waiting)
        total += waiting.count - before
        if !marks.isEmpty { marks[marks.count - 1].end = total }
    }

    /// Moves what `durable` covers to `out`.
    mutating func release(durable: UInt64, into out: inout Buffer) {
        while let first = marks.first, first.batch <= durable {
            let count = first.end - released
            out.append(UnsafeBufferPointer(rebasing: UnsafeBufferPointer(waiting.readable)[..<count]))
            waiting.consume(count)
            released = first.end
            marks.popFirst()
        }
        if marks.isEmpty {
            released = 0
            total = 0
            holdsDeliveries = false
            if waiting.allocated > 64 << 10 { waiting.release() } else { waiting.clear() }
        }
    }
}
