import BrokerCore
import Foundation
import Testing

/// Goal: whatever clients, operators, storage and memory do, in whatever order, the core keeps what it
/// promises. Method: random lives beside a model that is obviously right; the seed says all.
/// `BROKER_SEEDS="0..<5000"` runs others.
struct RandomTests {
    private static var seeds: Range<UInt64> {
        let given = ProcessInfo.processInfo.environment["BROKER_SEEDS"] ?? ""
        let bounds = given.split(separator: "..<").compactMap { UInt64($0) }
        return bounds.count == 2 && bounds[0] < bounds[1] ? bounds[0]..<bounds[1] : 0..<150
    }

    /// Goal: the same commands have the same effects in the same order: no dictionary decides anything.
    @Test func theSameLifeHasTheSameEffectsTwice() {
        for seed in UInt64(0)..<10 {
            var (first, second) = (RandomRun(seed: seed), RandomRun(seed: seed))
            first.run(steps: 300)
            second.run(steps: 300)
            #expect(first.fingerprint != 0)
            #expect(first.fingerprint == second.fingerprint, "seed \(seed)")
        }
    }

    @Test func everyRandomLifeIsAllowedByTheModel() async {
        var happened: [String: Int] = [:]
        for seed in Self.seeds {
            var run = RandomRun(seed: seed)
            run.run(steps: 500)
            #expect(run.wrong == [], "seed \(seed):\n\(run.log.suffix(24).joined(separator: "\n"))")
            happened.merge(run.happened) { $0 + $1 }
            if !run.wrong.isEmpty { break }
        }
        for rare in [
            "eviction", "purge", "delete", "move", "crash", "clean restart", "stale page", "empty page", "page",
            "refused unknownDelivery", "refused transactionTooLarge", "refused tooManyQueues", "refused diskShort",
        ] {
            #expect(happened[rare, default: 0] > 0, "\(rare) never happened")
        }
    }
}
