/// A binary heap: the least element is first, and only that comes out. Putting in and taking out take time with
/// the logarithm of the number.
public struct Heap<Element: Comparable & Sendable>: Sendable {
    @usableFromInline var elements: [Element] = []

    @inlinable public init() {}

    /// Of any elements, in any order.
    @inlinable public init(_ elements: [Element]) {
        // What is sorted is a heap.
        self.elements = elements.sorted()
    }

    /// In no order that means anything, but the first is the least.
    @inlinable public var all: [Element] { elements }

    @inlinable public var first: Element? { elements.first }
    @inlinable public var count: Int { elements.count }
    @inlinable public var isEmpty: Bool { elements.isEmpty }

    @inlinable public mutating func insert(_ element: Element) {
        var at = elements.count
        elements.append(element)
        while at > 0 {
            let parent = (at - 1) / 2
            if elements[parent] <= elements[at] { return }
            elements.swapAt(parent, at)
            at = parent
        }
    }

    /// Takes the least out.
    @discardableResult
    @inlinable public mutating func popFirst() -> Element? {
        guard elements.count > 1 else { return elements.popLast() }
        elements.swapAt(0, elements.count - 1)
        let least = elements.popLast()
        var at = 0
        while true {
            let (left, right) = (2 * at + 1, 2 * at + 2)
            var child = at
            if left < elements.count, elements[left] < elements[child] { child = left }
            if right < elements.count, elements[right] < elements[child] { child = right }
            if child == at { return least }
            elements.swapAt(at, child)
            at = child
        }
    }
}
