import Base
import BrokerCore
import Glibc
import STOMP

/// The same messages for several subscriptions, as MESSAGE frames of STOMP 1.2. They are encoded for the first that
/// asks. Who is told the same at the start of a frame (most clients choose the same `id`) gets a copy of it all, and
/// others their own start before a copy of the rest.
public struct SharedFrames: ~Copyable {
    private var text = Buffer()
    /// What each of them begins with.
    private var head = Buffer()
    /// Where each ends in `text`.
    private var ends: [Int] = []

    /// What is kept for the next messages, at the most, in bytes.
    private static var keptBytes: Int { 256 << 10 }

    public init() {}

    /// Forgets the messages; others follow.
    public mutating func clear() {
        if text.allocated > Self.keptBytes { text.release() } else { text.clear() }
        ends.removeAll(keepingCapacity: true)
    }

    /// Bytes of `run` behind `start`, which it is encoded behind if that has not been done yet.
    mutating func size(of run: UnsafeBufferPointer<Delivery>, behind start: UnsafeBufferPointer<UInt8>) -> Int {
        if ends.isEmpty { encode(run, behind: start) }
        return text.count + ends.count * (start.count - head.count)
    }

    private mutating func encode(_ run: UnsafeBufferPointer<Delivery>, behind start: UnsafeBufferPointer<UInt8>) {
        head.clear()
        head.append(start)
        guard let first = run.baseAddress else { return }
        for index in run.indices {
            let content = (first + index).pointee.bytes
            text.reserve(start.count + content.count + 22)
            text.append(start)
            text.append(decimal: (first + index).pointee.sequence)
            text.append(UInt8(ascii: "\n"))
            text.append(content)
            text.append(0x0A)
            ends.append(text.count)
        }
    }

    /// Appends the frames, which each begin with `start`.
    func write(behind start: UnsafeBufferPointer<UInt8>, into out: inout Buffer) {
        let all = UnsafeBufferPointer(text.readable)
        if isHead(start) { return out.append(all) }
        var from = 0
        for end in ends {
            out.append(start)
            out.append(UnsafeBufferPointer(rebasing: all[(from + head.count)..<end]))
            from = end
        }
    }

    private func isHead(_ start: UnsafeBufferPointer<UInt8>) -> Bool {
        guard start.count == head.count, let a = start.baseAddress, let b = head.readable.baseAddress else {
            return false
        }
        return memcmp(a, b, start.count) == 0
    }
}

extension Session {
    /// How many bytes `run` takes for the subscription `slot` when it is written from `frames`; nil if it must be
    /// delivered one by one. `frames` are of this run, or clear. `write` is to follow.
    public mutating func size(
        of run: UnsafeBufferPointer<Delivery>, for slot: UInt32, in frames: inout SharedFrames
    ) -> Int? {
        guard state == .connected, version == .v12, !answers.holdsDeliveries,
            head.isOf(slot, queue: 0) || prepareHead(slot: slot, queue: 0), !head.hasAck
        else { return nil }
        return frames.size(of: run, behind: UnsafeBufferPointer(head.text.readable))
    }

    /// Writes what `size` was asked for last.
    public func write(_ frames: borrowing SharedFrames, into out: inout Buffer) {
        frames.write(behind: UnsafeBufferPointer(head.text.readable), into: &out)
    }
}
