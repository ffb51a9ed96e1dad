import Base

/// Which piece of work begins when: at most so many at once, and those of one group one after the other, in the order
/// in which they came.
struct Lanes<Item: Sendable>: Sendable {
    struct Job: Sendable {
        let item: Item
        let group: String?
    }

    let concurrency: Int
    private(set) var running = 0
    /// May begin as soon as there is a place.
    private var ready = Deque<Job>()
    /// For each group that has one ready or running: those behind it.
    private var groups: [String: Deque<Job>] = [:]
    private var behind = 0

    init(concurrency: Int) { self.concurrency = max(1, concurrency) }

    /// Everything that is here, running or not.
    var count: Int { running + ready.count + behind }

    /// Work of no group waits for nobody.
    mutating func arrived(_ item: Item, group: String?) {
        let job = Job(item: item, group: group)
        guard let group else { return ready.append(job) }
        if groups[group] == nil {
            groups[group] = Deque()
            ready.append(job)
        } else {
            groups[group]?.append(job)
            behind += 1
        }
    }

    /// What is to begin now, if anything is. `finished` has to follow.
    mutating func start() -> Job? {
        guard running < concurrency, let job = ready.popFirst() else { return nil }
        running += 1
        return job
    }

    mutating func finished(_ job: Job) {
        running -= 1
        guard let group = job.group else { return }
        if let next = groups[group]?.popFirst() {
            behind -= 1
            ready.append(next)
        } else {
            groups[group] = nil
        }
    }

    /// What has not begun never will.
    mutating func dropWaiting() {
        ready.removeAll()
        behind = 0
        // Groups of running jobs stay known until these end; nothing is behind them then.
        for group in groups.keys { groups[group] = Deque() }
    }
}
