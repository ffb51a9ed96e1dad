import Foundation
import Synchronization
import Testing

extension ProcessTests {
    /// Goal: over a bad network and with a broker that is killed, every call ends in its time, no reply reaches the wrong
    /// asker, what was confirmed is there, effects are had once where that is promised, and in calm weather everything
    /// works again. Method: storms between the real broker and clients that use all styles of the library, each from
    /// a seed; a naive ledger tells what is allowed. `scripts/client-storm` runs many of them.
    @Suite struct StormTests {
        /// How many, which, and how strictly; as `scripts/client-storm` says it.
        private struct Campaign {
            let first: UInt64
            let count: UInt64
            let atOnce: Int
            /// Nil: only far beyond what a busy machine does.
            let limit: Duration
            /// Nil: those that the seed draws.
            let style: (any StormStyle.Type)?

            init(_ environment: [String: String]) throws {
                let wanted = environment["BROKERD_STORMS"].flatMap { UInt64($0) }
                first = environment["BROKERD_STORM_SEED"].flatMap { UInt64($0) } ?? 1
                count = wanted ?? 8
                atOnce = environment["BROKERD_STORMS_AT_ONCE"].flatMap { Int($0) } ?? 4
                limit = wanted == nil ? .seconds(10) : .milliseconds(100)
                let name = environment["BROKERD_STORM_STYLE"] ?? ""
                style = allStormStyles.first { "\($0)" == name }
                if style == nil, !name.isEmpty { throw Problem("there is no \(name), but: \(allStormStyles)") }
            }
        }

        /// What came of all storms together.
        private struct Summary {
            var calls = 0
            var late = 0
            var worst = Duration.zero
            var explained = 0
            var voids: Set<UInt64> = []
            var outcomes: [String: Int] = [:]
            var kills = 0
            var broken: [String] = []
        }

        @Test func promisesAreKeptInStorms() async throws {
            let campaign = try Campaign(ProcessInfo.processInfo.environment)
            let sleepers = Sleepers()
            sleepers.begin()
            defer { sleepers.end() }
            var summary = Summary()
            let seeds = campaign.first..<(campaign.first + campaign.count)
            await withTaskGroup(of: (StormPlan, Result<StormLedger, any Error>).self) { group in
                var rest = seeds.makeIterator()
                for _ in 0..<campaign.atOnce { Self.begin(rest.next(), campaign, in: &group) }
                for await (plan, outcome) in group {
                    await Self.add(plan, outcome, campaign, sleepers, to: &summary)
                    Self.begin(rest.next(), campaign, in: &group)
                }
            }
            for line in summary.broken { Issue.record("\(line)") }
            Self.tell(summary, campaign, sleepers)
        }

        private static func begin(
            _ seed: UInt64?, _ campaign: Campaign,
            in group: inout TaskGroup<(StormPlan, Result<StormLedger, any Error>)>
        ) {
            guard let seed else { return }
            let style = campaign.style
            group.addTask {
                let plan = StormPlan(seed: seed, only: style)
                do { return (plan, .success(try await StormRun(plan).ledger())) } catch {
                    return (plan, .failure(error))
                }
            }
        }

        private static func add(
            _ plan: StormPlan, _ outcome: Result<StormLedger, any Error>, _ campaign: Campaign, _ sleepers: Sleepers,
            to summary: inout Summary
        ) async {
            var broken: [String] = []
            switch outcome {
            case .failure(let error): broken.append("it could not be carried out: \(error)")
            case .success(let ledger):
                summary.calls += ledger.calls
                summary.kills += plan.kills.count
                summary.outcomes.merge(ledger.outcomes) { $0 + $1 }
                broken += ledger.broken
                for overrun in ledger.overruns {
                    let late = overrun.due.duration(to: overrun.ended)
                    let machine = sleepers.lateness(during: overrun)
                    let own = late - max(machine.thread, machine.task)
                    summary.worst = max(summary.worst, own)
                    if late > campaign.limit {
                        summary.late += 1
                        if own <= campaign.limit {
                            summary.explained += 1
                            summary.voids.insert(plan.seed)
                        } else {
                            broken.append("\(overrun.what) ended \(late) too late; the machine: \(machine)")
                        }
                    }
                }
            }
            if !broken.isEmpty {
                summary.broken.append("\(plan)\n    " + broken.prefix(20).joined(separator: "\n    "))
                print("FAILED \(summary.broken.last ?? "")")
                fflush(nil)
            }
        }

        private static func tell(_ summary: Summary, _ campaign: Campaign, _ sleepers: Sleepers) {
            for (what, count) in summary.outcomes.sorted(by: { $0.key < $1.key }) { print("  \(count) \(what)") }
            print(
                """
                storms: \(campaign.count) from seed \(campaign.first), \(campaign.atOnce) at once; \(summary.kills) kills; \
                \(summary.calls) calls
                late by more than \(campaign.limit): \(summary.late), of these \(summary.explained) because the machine was, in \
                \(summary.voids.count) storms, which are void: \(summary.voids.sorted()); worst without what the machine was late: \(summary.worst)
                the machine was late by at most \(sleepers.worst.thread) (a thread), \(sleepers.worst.task) (a task)
                """)
        }
    }
}
