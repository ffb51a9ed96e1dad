/// A ring of elements that grows: appends at the back, takes from the front, indexed from the front. Copies share
/// their memory until one of them changes.
@frozen
public struct Deque<Element> {
    /// Nil as long as it was never anything but empty.
    @usableFromInline var ring: DequeRing<Element>?

    @inlinable public init() { ring = nil }

    @inlinable public var count: Int { ring?.ends.pointee.count ?? 0 }
    @inlinable public var isEmpty: Bool { count == 0 }

    /// In place, both ways: most often one field of an element is wanted, and not a copy of it.
    @inlinable public subscript(index: Int) -> Element {
        _read {
            precondition(index >= 0 && index < count)
            yield ring.unsafelyUnwrapped.place(index).pointee
        }
        _modify {
            precondition(index >= 0 && index < count)
            makeUnique()
            yield &ring.unsafelyUnwrapped.place(index).pointee
        }
    }

    @inlinable public var first: Element? { isEmpty ? nil : self[0] }
    @inlinable public var last: Element? { isEmpty ? nil : self[count - 1] }

    @inlinable public mutating func append(_ element: consuming Element) {
        makeRoom()
        let ring = ring.unsafelyUnwrapped
        ring.place(ring.ends.pointee.count).initialize(to: element)
        ring.ends.pointee.count &+= 1
    }

    @inlinable public mutating func prepend(_ element: consuming Element) {
        makeRoom()
        let ring = ring.unsafelyUnwrapped
        ring.ends.pointee.head = (ring.ends.pointee.head &- 1) & (ring.ends.pointee.size &- 1)
        ring.place(0).initialize(to: element)
        ring.ends.pointee.count &+= 1
    }

    @inlinable @discardableResult public mutating func popFirst() -> Element? {
        if isEmpty { return nil }
        makeUnique()
        let ring = ring.unsafelyUnwrapped
        let element = ring.place(0).move()
        ring.ends.pointee.head = (ring.ends.pointee.head &+ 1) & (ring.ends.pointee.size &- 1)
        ring.ends.pointee.count &-= 1
        return element
    }

    @inlinable @discardableResult public mutating func popLast() -> Element? {
        if isEmpty { return nil }
        makeUnique()
        let ring = ring.unsafelyUnwrapped
        ring.ends.pointee.count &-= 1
        return ring.place(ring.ends.pointee.count).move()
    }

    /// Whether it has memory of its own, be there something in it or not.
    @inlinable public var holdsMemory: Bool { ring != nil }

    /// Forgets everything and gives the memory back.
    @inlinable public mutating func removeAll() { ring = nil }

    @inline(__always) @inlinable mutating func makeUnique() {
        if !isKnownUniquelyReferenced(&ring) { copyRing(room: 0) }
    }

    /// For one more.
    @inline(__always) @inlinable mutating func makeRoom() {
        let isFull = ring.map { $0.ends.pointee.count == $0.ends.pointee.size } ?? true
        if isFull || !isKnownUniquelyReferenced(&ring) { copyRing(room: 1) }
    }

    /// The elements move, or are copied if another has them too, into memory that has room for more.
    @usableFromInline mutating func copyRing(room: Int) {
        let count = count
        var size = 2
        while size < count + room { size *= 2 }
        let fresh = DequeRing<Element>.make(size: size)
        if isKnownUniquelyReferenced(&ring), let old = ring {
            for index in 0..<count { fresh.place(index).moveInitialize(from: old.place(index), count: 1) }
            old.ends.pointee.count = 0
        } else if let old = ring {
            for index in 0..<count { fresh.place(index).initialize(to: old.place(index).pointee) }
        }
        fresh.ends.pointee.count = count
        ring = fresh
    }
}

/// The memory that copies share is only read: whoever changes something has made it its own before, by a count of
/// references that all threads agree on.
extension Deque: @unchecked Sendable where Element: Sendable {}  // Sendable: copied before it is written, see above

@frozen @usableFromInline
struct DequeHeader {
    /// Where the first element is.
    @usableFromInline var head = 0
    @usableFromInline var count = 0
    /// Places, a power of two.
    @usableFromInline var size = 0

    @usableFromInline init(size: Int) { self.size = size }
}

/// The memory of a deque.
@usableFromInline
final class DequeRing<Element>: ManagedBuffer<DequeHeader, Element> {
    @usableFromInline static func make(size: Int) -> DequeRing<Element> {
        let ring = create(minimumCapacity: size) { _ in DequeHeader(size: size) }
        return unsafeDowncast(ring, to: DequeRing<Element>.self)
    }

    /// By address: a property of a class is watched for overlapping accesses at run time.
    @inline(__always) @inlinable var ends: UnsafeMutablePointer<DequeHeader> {
        withUnsafeMutablePointers { header, _ in header }
    }

    @inline(__always) @inlinable func place(_ index: Int) -> UnsafeMutablePointer<Element> {
        withUnsafeMutablePointers { header, places in
            places + (header.pointee.head &+ index) & (header.pointee.size &- 1)
        }
    }

    deinit {
        for index in 0..<ends.pointee.count { place(index).deinitialize(count: 1) }
    }
}
