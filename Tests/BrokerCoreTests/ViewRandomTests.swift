import Testing

/// Goal: nothing is lost, nothing is with two at once, each gets only what it selects, and nobody waits for
/// what is there, whatever consumers, storage and memory do. Method: random lives; the seed says all.
struct ViewRandomTests {
    @Test func everyRandomLifeKeepsThePromises() {
        var happened: [String: Int] = [:]
        for seed in UInt64(0)..<200 {
            var run = ViewRun(seed: seed)
            run.run(steps: 400)
            #expect(run.wrong == [], "seed \(seed):\n\(run.log.suffix(40).joined(separator: "\n"))")
            happened.merge(run.happened) { $0 + $1 }
            if !run.wrong.isEmpty { break }
        }
        for rare in ["evict", "purge", "restart", "failure", "page", "close", "reject"] {
            #expect(happened[rare, default: 0] > 0, "\(rare) never happened")
        }
    }
}
