import Glibc
import Synchronization

/// Memory that holds the bytes of many messages, one behind the other, and is shared by all who
/// still need one of them. Bytes are written once, before the `Slice` that names them exists, and
/// never changed: that is why it may be shared between threads.
public final class Chunk: @unchecked Sendable {
    /// Usual size. Larger messages get a chunk of their own.
    public static let standardCapacity = 256 << 10

    public let base: UnsafeMutablePointer<UInt8>
    public let capacity: Int

    /// Memory of at least `capacity` bytes, used again from an earlier chunk where possible: fresh
    /// pages cost more than the copy that fills them.
    public init(capacity: Int = Chunk.standardCapacity) {
        if capacity <= Chunk.standardCapacity {
            self.capacity = Chunk.standardCapacity
            base = SpareMemory.take()
        } else {
            self.capacity = capacity
            base = SpareMemory.allocate(capacity)
        }
        SpareMemory.live.add(self.capacity, ordering: .relaxed)
    }

    deinit {
        SpareMemory.live.subtract(capacity, ordering: .relaxed)
        if capacity == Chunk.standardCapacity { SpareMemory.give(base) } else { free(base) }
    }

    /// Bytes of memory in all chunks that somebody still holds.
    public static var liveBytes: Int { SpareMemory.live.load(ordering: .relaxed) }
}

/// Memory given back by chunks, kept for the next one up to a small number. Addresses are kept as
/// integers so that the list is plainly Sendable.
private enum SpareMemory {
    static let most = 32
    static let list = Mutex<[UInt]>([])
    static let live = Atomic<Int>(0)

    static func allocate(_ capacity: Int) -> UnsafeMutablePointer<UInt8> {
        guard let memory = malloc(capacity) else { preconditionFailure("out of memory: \(capacity) bytes") }
        return memory.assumingMemoryBound(to: UInt8.self)
    }

    static func take() -> UnsafeMutablePointer<UInt8> {
        guard let spare = list.withLock({ $0.popLast() }), let memory = UnsafeMutablePointer<UInt8>(bitPattern: spare)
        else { return allocate(Chunk.standardCapacity) }
        return memory
    }

    static func give(_ memory: UnsafeMutablePointer<UInt8>) {
        let address = UInt(bitPattern: memory)
        let kept = list.withLock { list in
            guard list.count < most else { return false }
            list.append(address)
            return true
        }
        if !kept { free(memory) }
    }
}

/// Some bytes of a chunk; keeps the chunk alive.
@frozen
public struct Slice: Sendable {
    public let chunk: Chunk
    public let offset: UInt32
    public let count: UInt32

    @inlinable public init(chunk: Chunk, offset: Int, count: Int) {
        self.chunk = chunk
        self.offset = UInt32(offset)
        self.count = UInt32(count)
    }

    /// Valid while this slice, or another of the same chunk, is held.
    @inlinable public var bytes: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: UnsafePointer(chunk.base + Int(offset)), count: Int(count))
    }
}

/// Where in a chunk some bytes are, as long as somebody else keeps it alive. Becomes a slice where they stay: each
/// slice is a reference that several threads count.
@frozen
public struct Place {
    @usableFromInline let chunk: Unmanaged<Chunk>
    public let offset: UInt32
    public let count: UInt32

    @inlinable init(chunk: Chunk, offset: Int, count: Int) {
        self.chunk = Unmanaged.passUnretained(chunk)
        self.offset = UInt32(offset)
        self.count = UInt32(count)
    }

    @inlinable public var slice: Slice {
        Slice(chunk: chunk.takeUnretainedValue(), offset: Int(offset), count: Int(count))
    }
}

/// Fills chunks from the front, for one owner.
public struct Arena: Sendable {
    @usableFromInline var filling: Chunk?
    @usableFromInline var filled = 0

    public init() {}

    @inlinable public var chunk: Chunk? { filling }
    /// Where the next byte goes in `chunk`.
    @inlinable public var end: Int { filled }

    /// A copy of `bytes` that lives as long as the slice does.
    @inline(__always) @inlinable
    public mutating func append(_ bytes: UnsafeBufferPointer<UInt8>) -> Slice { place(bytes).slice }

    /// A copy of `bytes`, which the arena keeps until it begins another chunk.
    @inline(__always) @inlinable
    public mutating func place(_ bytes: UnsafeBufferPointer<UInt8>) -> Place {
        reserve(bytes.count)
        let place = Place(chunk: filling.unsafelyUnwrapped, offset: filled, count: bytes.count)
        if let source = bytes.baseAddress { memcpy(filling.unsafelyUnwrapped.base + filled, source, bytes.count) }
        filled &+= bytes.count
        return place
    }

    /// A copy of both, one behind the other.
    public mutating func append(_ first: [UInt8], _ second: UnsafeBufferPointer<UInt8>) -> Slice {
        reserve(first.count + second.count)
        let chunk = filling.unsafelyUnwrapped
        first.withUnsafeBufferPointer { bytes in
            if let source = bytes.baseAddress { memcpy(chunk.base + end, source, bytes.count) }
        }
        if let source = second.baseAddress { memcpy(chunk.base + end + first.count, source, second.count) }
        let slice = Slice(chunk: chunk, offset: end, count: first.count + second.count)
        filled += first.count + second.count
        return slice
    }

    /// Whether `count` more bytes go into the chunk.
    @inline(__always) @inlinable
    public func fits(_ count: Int) -> Bool {
        filling != nil && filling.unsafelyUnwrapped.capacity &- filled >= count
    }

    /// Makes sure that the next `count` bytes go into one chunk.
    @inline(__always) @inlinable
    public mutating func reserve(_ count: Int) {
        if !fits(count) { begin(count) }
    }

    @usableFromInline mutating func begin(_ count: Int) {
        filling = Chunk(capacity: count)
        filled = 0
    }

    /// Lets go of the chunk, so that memory with nothing alive in it can be used again.
    public mutating func drop() {
        filling = nil
        filled = 0
    }
}
