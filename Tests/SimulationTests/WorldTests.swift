import Testing

@testable import Simulation

/// The simulator itself. That it finds faults is shown by `scripts/mutate`.
struct WorldTests {
    private static func options(_ seed: UInt64, _ steps: Int) -> World.Options {
        var options = World.Options(seed: seed, steps: steps)
        options.traces = true
        return options
    }

    @Test(arguments: [3, 1173, 9000] as [UInt64]) func aSeedIsARun(seed: UInt64) {
        let first = World(Self.options(seed, 400))
        let second = World(Self.options(seed, 400))
        #expect(first.run()?.sentence == nil)
        #expect(second.run()?.sentence == nil)
        #expect(first.trace == second.trace)
        #expect(first.trace.count > 20)
    }

    /// The same in each run of the tests; `scripts/sim` tries new ones.
    @Test(arguments: 1...12) func promisesAreKept(seed: Int) {
        let world = World(World.Options(seed: UInt64(seed), steps: 500))
        let failure = world.run()
        #expect(failure == nil, "seed \(seed), step \(failure?.step ?? 0): \(failure?.sentence ?? "")")
    }

    /// A step that is left out takes nothing but itself away.
    @Test func stepsAreChosenOneByOne() {
        let whole = World(Self.options(5, 300))
        var without = Self.options(5, 300)
        without.without = Set(200...300)
        let part = World(without)
        #expect(whole.run()?.sentence == nil)
        #expect(part.run()?.sentence == nil)
        let beginning = { (line: String) in (Int(line.prefix { $0.isNumber }) ?? .max) < 200 }
        #expect(part.trace.filter(beginning) == whole.trace.filter(beginning))
        #expect(part.counts.steps < whole.counts.steps)
    }
}
