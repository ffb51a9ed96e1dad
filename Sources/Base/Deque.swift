/// A ring of elements that grows: appends at the back, takes from the front, indexed from the front.
@frozen
public struct Deque<Element> {
    @usableFromInline var slots: [Element?]
    @usableFromInline var head: Int
    @usableFromInline var stored: Int

    @inlinable public init() {
        slots = []
        head = 0
        stored = 0
    }

    @inlinable public var count: Int { stored }
    @inlinable public var isEmpty: Bool { stored == 0 }

    @inlinable func slot(_ index: Int) -> Int { (head &+ index) & (slots.count &- 1) }

    @inlinable public subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < stored)
            return slots[slot(index)].unsafelyUnwrapped
        }
        // In place: a setter would make a copy of the element first.
        _modify {
            precondition(index >= 0 && index < stored)
            yield &slots[slot(index)]!
        }
    }

    @inlinable public var first: Element? { stored == 0 ? nil : slots[head] }
    @inlinable public var last: Element? { stored == 0 ? nil : slots[slot(stored - 1)] }

    @inlinable public mutating func append(_ element: Element) {
        if stored == slots.count { grow() }
        slots[slot(stored)] = element
        stored &+= 1
    }

    @inlinable public mutating func prepend(_ element: Element) {
        if stored == slots.count { grow() }
        head = (head &- 1) & (slots.count &- 1)
        slots[head] = element
        stored &+= 1
    }

    @inlinable @discardableResult public mutating func popFirst() -> Element? {
        if stored == 0 { return nil }
        let element = slots[head].take()
        head = (head &+ 1) & (slots.count &- 1)
        stored &-= 1
        return element
    }

    @inlinable @discardableResult public mutating func popLast() -> Element? {
        if stored == 0 { return nil }
        stored &-= 1
        return slots[slot(stored)].take()
    }

    /// Forgets everything and gives the memory back.
    @inlinable public mutating func removeAll() {
        slots = []
        head = 0
        stored = 0
    }

    @usableFromInline mutating func grow() {
        var wider: [Element?] = []
        wider.reserveCapacity(max(8, slots.count * 2))
        for index in 0..<stored { wider.append(slots[slot(index)]) }
        while wider.count < max(8, slots.count * 2) { wider.append(nil) }
        slots = wider
        head = 0
    }
}

extension Deque: Sendable where Element: Sendable {}
