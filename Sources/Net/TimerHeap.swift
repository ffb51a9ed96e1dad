import Base

/// Something that wants to be called at a time.
protocol Timed: AnyObject {
    /// When; nil for not at all. May move later freely: the heap looks again before it calls.
    var dueAt: Instant? { get }
    /// Where it is in the heap, -1 if it is not. The heap's own business.
    var heapIndex: Int { get set }
    func due(now: Instant)
}

/// A binary heap with the next thing to do on top, one entry for each target.
///
/// Deadlines of connections mostly move later (each heart-beat), so an entry keeps the time it was
/// entered with and is corrected only when it comes to the top.
struct TimerHeap {
    private struct Entry {
        var at: Instant
        let target: any Timed
    }

    private var entries: [Entry] = []

    /// When to look next.
    var next: Instant? { entries.first?.at }
    var count: Int { entries.count }

    /// The target has a new `dueAt`.
    mutating func schedule(_ target: any Timed) {
        guard let at = target.dueAt else { return }
        let index = target.heapIndex
        if index < 0 {
            target.heapIndex = entries.count
            entries.append(Entry(at: at, target: target))
            siftUp(entries.count - 1)
        } else if at < entries[index].at {
            entries[index].at = at
            siftUp(index)
        }
    }

    mutating func remove(_ target: any Timed) {
        let index = target.heapIndex
        guard index >= 0 else { return }
        target.heapIndex = -1
        let last = entries.removeLast()
        if index == entries.count { return }
        place(last, index)
        siftDown(index)
        siftUp(index)
    }

    /// The target whose time has come first, taken out; nil when there is none.
    mutating func popDue(now: Instant) -> (any Timed)? {
        while let top = entries.first, top.at <= now {
            guard let real = top.target.dueAt else {
                remove(top.target)
                continue
            }
            if real > top.at {
                entries[0].at = real
                siftDown(0)
                continue
            }
            remove(top.target)
            return top.target
        }
        return nil
    }

    private mutating func place(_ entry: Entry, _ index: Int) {
        entries[index] = entry
        entry.target.heapIndex = index
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        let entry = entries[index]
        while index > 0 {
            let parent = (index - 1) / 2
            if entries[parent].at <= entry.at { break }
            place(entries[parent], index)
            index = parent
        }
        place(entry, index)
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        let entry = entries[index]
        while true {
            var child = 2 * index + 1
            if child >= entries.count { break }
            if child + 1 < entries.count, entries[child + 1].at < entries[child].at { child += 1 }
            if entry.at <= entries[child].at { break }
            place(entries[child], index)
            index = child
        }
        place(entry, index)
    }
}

/// A piece of work that a loop does once, later. Loop-confined.
public final class LoopTimer: Timed {
    var dueAt: Instant?
    var heapIndex = -1
    private var work: (() -> Void)?

    init(at: Instant, work: @escaping () -> Void) {
        dueAt = at
        self.work = work
    }

    /// The work will not be done. Harmless after it was.
    public func cancel() {
        dueAt = nil
        work = nil
    }

    func due(now: Instant) {
        let work = work
        cancel()
        work?()
    }
}
