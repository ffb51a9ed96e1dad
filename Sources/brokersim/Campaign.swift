import Base
import Dispatch
import Simulation
import Synchronization

/// Many seeds, some side by side, until they are done, the time is over or one fails.
final class Campaign: Sendable {
    private struct Progress: Sendable {
        var next: UInt64
        var done = 0
        var counts = World.Counts()
        var failure: (seed: UInt64, step: Int, sentence: String)?
    }

    private let arguments: Arguments
    private let first: UInt64
    private let progress: Mutex<Progress>
    private let began = Instant.now

    init(_ arguments: Arguments, first: UInt64) {
        self.arguments = arguments
        self.first = first
        progress = Mutex(Progress(next: first))
    }

    private func options(_ seed: UInt64) -> World.Options {
        var options = World.Options(seed: seed, steps: arguments.steps)
        options.muted = arguments.muted
        options.without = arguments.skipped
        return options
    }

    /// The next seed; nil when all is done.
    private func take() -> UInt64? {
        let isLate = arguments.seconds.map { Instant.now.milliseconds(since: began) >= $0 * 1000 } ?? false
        let most = arguments.seeds ?? (arguments.seconds != nil ? .max : arguments.seed != nil ? 1 : 1000)
        return progress.withLock { progress in
            if isLate || progress.failure != nil || progress.next &- first >= most { return nil }
            defer { progress.next &+= 1 }
            return progress.next
        }
    }

    private func work() {
        while let seed = take() {
            let world = World(options(seed))
            let failure = world.run()
            let counts = world.counts
            progress.withLock { progress in
                progress.done += 1
                progress.counts = progress.counts + counts
                if let failure, progress.failure.map({ seed < $0.seed }) ?? true {
                    progress.failure = (seed, failure.step, failure.sentence)
                }
            }
        }
    }

    /// True if no promise was broken.
    func run() -> Bool {
        let jobs = arguments.jobs
        DispatchQueue.concurrentPerform(iterations: jobs) { _ in work() }
        let (done, counts, failure) = progress.withLock { ($0.done, $0.counts, $0.failure) }
        let seconds = Double(Instant.now.milliseconds(since: began)) / 1000
        print(
            "\(done) seeds, \(counts.steps) steps in \(seconds) s: \(counts.messages) messages, \(counts.deliveries) "
                + "deliveries, \(counts.recoveries) starts, \(counts.powerCuts) power cuts, \(counts.kills) kills, "
                + "\(counts.stops) stops, \(counts.failures) failures of the disk, \(counts.flips) bits changed, "
                + "\(counts.scrubs) times all read again")
        if let failure { tell(failure.seed, (failure.step, failure.sentence)) }
        print("\(done - (failure == nil ? 0 : 1)) passed, \(failure == nil ? 0 : 1) failed (first seed \(first))")
        return failure == nil
    }

    private func tell(_ seed: UInt64, _ failure: (step: Int, sentence: String)) {
        print("seed \(seed), step \(failure.step): \(failure.sentence)")
        print("again: brokersim --seed \(seed) --steps \(arguments.steps)")
        var shrunk = options(seed)
        if arguments.shrinks {
            shrunk = Shrinker.shrink(shrunk, failure)
            var command = "brokersim --seed \(seed) --steps \(shrunk.steps) --no-shrink --trace"
            if !shrunk.muted.isEmpty {
                command += " --mute " + shrunk.muted.map(\.rawValue).sorted().joined(separator: ",")
            }
            if !shrunk.without.isEmpty { command += " --skip " + Arguments.text(of: shrunk.without) }
            print("shorter: \(command)")
        }
        if arguments.traces || arguments.shrinks {
            shrunk.traces = true
            let world = World(shrunk)
            let last = world.run()
            for line in world.trace { print("    \(line)") }
            if let last { print("    \(last.step): \(last.sentence)") }
        }
    }
}
