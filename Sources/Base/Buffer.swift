import Glibc

/// A growing run of bytes with a read end and a write end, owned by one holder.
///
///     base        start            end             capacity
///      | consumed   |  readable     |  room          |
///
/// Inboxes, outboxes and everything that is encoded. Memory comes from malloc and is never filled
/// with zeros first; `release()` gives it back when a connection falls idle.
@frozen
public struct Buffer: ~Copyable, @unchecked Sendable {  // Sendable: the only owner of its memory
    @usableFromInline var base: UnsafeMutablePointer<UInt8>?
    @usableFromInline var start: Int
    @usableFromInline var end: Int
    @usableFromInline var capacity: Int

    @inlinable public init() {
        base = nil
        start = 0
        end = 0
        capacity = 0
    }

    @inlinable public init(capacity: Int) {
        self.init()
        reserve(capacity)
    }

    @inlinable deinit { free(base) }

    /// Bytes that can be read.
    @inlinable public var count: Int { end - start }
    @inlinable public var isEmpty: Bool { end == start }
    /// Bytes of memory held, used or not.
    @inlinable public var allocated: Int { capacity }

    /// The readable bytes. Valid until the next mutating call.
    @inlinable public var readable: UnsafeMutableBufferPointer<UInt8> {
        guard let base else { return UnsafeMutableBufferPointer(start: nil, count: 0) }
        return UnsafeMutableBufferPointer(start: base + start, count: end - start)
    }

    /// The room behind the readable bytes. Write there, then call `written`.
    @inlinable public var room: UnsafeMutableBufferPointer<UInt8> {
        guard let base else { return UnsafeMutableBufferPointer(start: nil, count: 0) }
        return UnsafeMutableBufferPointer(start: base + end, count: capacity - end)
    }

    /// Makes sure that at least `more` bytes fit behind the readable ones.
    @inlinable public mutating func reserve(_ more: Int) {
        if capacity - end < more { makeRoom(more) }
    }

    @usableFromInline mutating func makeRoom(_ more: Int) {
        precondition(more >= 0)
        let kept = end - start
        if start > 0, capacity - kept >= more, start >= kept {
            memcpy(base!, base! + start, kept)
        } else {
            var size = max(capacity &* 2, 256)
            while size < kept + more { size &*= 2 }
            guard let fresh = malloc(size)?.assumingMemoryBound(to: UInt8.self) else {
                preconditionFailure("out of memory: \(size) bytes")
            }
            if kept > 0 { memcpy(fresh, base! + start, kept) }
            free(base)
            base = fresh
            capacity = size
        }
        start = 0
        end = kept
    }

    /// `count` bytes of the room now hold data.
    @inlinable public mutating func written(_ count: Int) {
        precondition(count >= 0 && count <= capacity - end)
        end += count
    }

    /// The first `count` readable bytes are done with.
    @inlinable public mutating func consume(_ count: Int) {
        precondition(count >= 0 && count <= end - start)
        start += count
        if start == end {
            start = 0
            end = 0
        }
    }

    /// Takes back what was written behind the first `count` readable bytes.
    @inlinable public mutating func truncate(to count: Int) {
        precondition(count >= 0 && count <= end - start)
        end = start + count
    }

    /// Forgets the contents, keeps the memory.
    @inlinable public mutating func clear() {
        start = 0
        end = 0
    }

    /// Forgets the contents and gives the memory back.
    public mutating func release() {
        free(base)
        base = nil
        start = 0
        end = 0
        capacity = 0
    }

    // MARK: Appending

    @inlinable public mutating func append(_ byte: UInt8) {
        reserve(1)
        base.unsafelyUnwrapped[end] = byte
        end &+= 1
    }

    @inlinable public mutating func append(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count)
        memcpy(base.unsafelyUnwrapped + end, source, bytes.count)
        end &+= bytes.count
    }

    @inlinable public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count)
        memcpy(base.unsafelyUnwrapped + end, source, bytes.count)
        end &+= bytes.count
    }

    @inlinable public mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBufferPointer { append($0) }
    }

    /// A literal; no `String` is made.
    @inlinable public mutating func append(_ text: StaticString) {
        append(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// All three, one behind the other.
    @inline(__always) @inlinable
    public mutating func append(_ first: StaticString, _ second: UnsafeBufferPointer<UInt8>, _ third: StaticString) {
        let (before, behind) = (first.utf8CodeUnitCount, third.utf8CodeUnitCount)
        reserve(before &+ second.count &+ behind)
        let out = base.unsafelyUnwrapped + end
        memcpy(out, first.utf8Start, before)
        if let source = second.baseAddress { memcpy(out + before, source, second.count) }
        memcpy(out + before + second.count, third.utf8Start, behind)
        end &+= before &+ second.count &+ behind
    }

    /// The UTF-8 of `text`. For cold paths.
    public mutating func append(utf8 text: String) {
        var text = text
        text.withUTF8 { append($0) }
    }

    /// `value` in decimal digits.
    @inlinable public mutating func append(decimal value: UInt64) {
        reserve(20)
        let out = base.unsafelyUnwrapped + end
        if value < 10 {
            out[0] = UInt8(truncatingIfNeeded: 48 &+ value)
            end &+= 1
            return
        }
        var digits = 2
        var limit: UInt64 = 100
        while value >= limit {
            digits &+= 1
            // 20 digits are the most; 10 to the 20th would not fit.
            if digits == 20 { break }
            limit &*= 10
        }
        var rest = value
        var at = digits
        while rest >= 10 {
            at &-= 2
            let quotient = rest / 100
            let pair = Int(truncatingIfNeeded: rest &- quotient &* 100) &* 2
            memcpy(out + at, Self.pairs.utf8Start + pair, 2)
            rest = quotient
        }
        if at > 0 { out[0] = UInt8(truncatingIfNeeded: 48 &+ rest) }
        end &+= digits
    }

    /// 00 to 99.
    @inlinable static var pairs: StaticString {
        """
        0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
        5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899
        """
    }
}
