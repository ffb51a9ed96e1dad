import Base
import Testing

@testable import BrokerClient

@Suite(.serialized) struct LanesTests {
    private func started(_ lanes: inout Lanes<Int>) -> [Lanes<Int>.Job] {
        var jobs: [Lanes<Int>.Job] = []
        while let job = lanes.start() { jobs.append(job) }
        return jobs
    }

    @Test func soManyAtOnceAndNoMore() {
        var lanes = Lanes<Int>(concurrency: 2)
        for item in 0..<4 { lanes.arrived(item, group: nil) }
        let jobs = started(&lanes)
        #expect(jobs.map(\.item) == [0, 1] && lanes.count == 4)
        lanes.finished(jobs[1])
        let begun1 = started(&lanes)
        #expect(begun1.map(\.item) == [2] && lanes.count == 3)
    }

    @Test func aGroupKeepsItsOrderAndHoldsUpNobodyElse() {
        var lanes = Lanes<Int>(concurrency: 3)
        for (item, group) in [(0, "a"), (1, "a"), (2, "b"), (3, "a"), (4, "b")] {
            lanes.arrived(item, group: group)
        }
        let first = started(&lanes)
        #expect(first.map(\.item) == [0, 2])
        lanes.finished(first[0])
        let second = started(&lanes)
        #expect(second.map(\.item) == [1])
        lanes.finished(second[0])
        let begun2 = started(&lanes)
        #expect(begun2.map(\.item) == [3])
        lanes.finished(first[1])
        let begun3 = started(&lanes)
        #expect(begun3.map(\.item) == [4])
    }

    @Test func whatWaitsCanBeDropped() {
        var lanes = Lanes<Int>(concurrency: 1)
        for item in 0..<3 { lanes.arrived(item, group: "a") }
        lanes.arrived(3, group: nil)
        let running = started(&lanes)
        lanes.dropWaiting()
        #expect(lanes.count == 1)
        lanes.finished(running[0])
        let begun4 = started(&lanes)
        #expect(lanes.count == 0 && begun4.isEmpty)
        lanes.arrived(4, group: "a")
        let begun5 = started(&lanes)
        #expect(begun5.map(\.item) == [4])
    }

    /// Whatever comes and ends in whatever order: limits hold, groups keep their order, and everything has its turn.
    @Test(arguments: 0..<50) func anyOrder(seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        let limit = random.below(5) + 1
        var lanes = Lanes<Int>(concurrency: limit)
        var running: [Lanes<Int>.Job] = []
        var begun: [String: [Int]] = [:]
        var last = 0
        func finishOne() {
            guard !running.isEmpty else { return }
            lanes.finished(running.remove(at: random.below(running.count)))
        }
        for _ in 0..<300 {
            if random.below(2) == 0 {
                let group = random.below(4)
                lanes.arrived(last, group: group == 0 ? nil : "\(group)")
                last += 1
            } else {
                finishOne()
            }
            for job in started(&lanes) {
                let isAlone = job.group == nil || !running.contains { $0.group == job.group }
                if !isAlone { Issue.record("two of one group at once") }
                running.append(job)
                begun[job.group ?? "none", default: []].append(job.item)
            }
            if running.count > limit || lanes.running != running.count { Issue.record("too many at once") }
        }
        while lanes.count > 0 {
            finishOne()
            for job in started(&lanes) {
                running.append(job)
                begun[job.group ?? "none", default: []].append(job.item)
            }
        }
        #expect(begun.values.reduce(0) { $0 + $1.count } == last)
        for items in begun.values { #expect(items == items.sorted()) }
    }
}
