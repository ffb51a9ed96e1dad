import Simulation

/// What the command line asks for.
struct Arguments: Sendable {
    var seed: UInt64?
    var seeds: UInt64?
    var seconds: UInt64?
    var steps = 2000
    var muted: Set<StepKind> = []
    var skipped: Set<Int> = []
    var traces = false
    var shrinks = true
    var jobs = 2
    var wantsHelp = false

    static let help = """
        Runs the broker with a simulated disk, network and clock, and holds it to its promises.

        usage: brokersim [--seed S] [--seeds N] [--seconds T] [--steps N] [--jobs N]
                         [--mute KIND,...] [--skip N-M,...] [--trace] [--no-shrink]

          --seed S      the first seed; without it one is drawn and printed. Alone: only this seed
          --seeds N     so many seeds, one after the other (1000 without --seconds)
          --seconds T   as many seeds as go into this time
          --steps N     steps of each run (2000)
          --jobs N      runs side by side (2)
          --mute, --skip
                        steps that do not happen, as a failing run that was shrunk prints them.
                        KIND: \(StepKind.allCases.map(\.rawValue).joined(separator: " "))
          --trace       print what happens
          --no-shrink   do not look for a shorter run that fails
        """

    struct Mistake: Error {
        var sentence: String
    }

    init(_ words: [String]) throws(Mistake) {
        var words = words[...]
        while let word = words.popFirst() {
            switch word {
            case "--help", "-h": wantsHelp = true
            case "--trace": traces = true
            case "--no-shrink": shrinks = false
            case "--seed": seed = try Self.number(word, &words)
            case "--seeds": seeds = try Self.number(word, &words)
            case "--seconds": seconds = try Self.number(word, &words)
            case "--steps": steps = try Self.count(word, &words, 1...1_000_000)
            case "--jobs": jobs = try Self.count(word, &words, 1...64)
            case "--mute": muted = try Self.kinds(word, &words)
            case "--skip": skipped = try Self.steps(word, &words)
            default: throw Mistake(sentence: "unknown option \(word); see --help")
            }
        }
    }

    private static func value(_ option: String, _ words: inout ArraySlice<String>) throws(Mistake) -> String {
        guard let value = words.popFirst() else { throw Mistake(sentence: "\(option) needs a value") }
        return value
    }

    private static func number(_ option: String, _ words: inout ArraySlice<String>) throws(Mistake) -> UInt64 {
        let text = try value(option, &words)
        guard let number = UInt64(text) else { throw Mistake(sentence: "\(option) \(text): not a whole number") }
        return number
    }

    private static func count(
        _ option: String, _ words: inout ArraySlice<String>, _ range: ClosedRange<Int>
    ) throws(Mistake) -> Int {
        guard let count = Int(exactly: try number(option, &words)), range.contains(count) else {
            throw Mistake(sentence: "\(option) must be \(range.lowerBound) to \(range.upperBound)")
        }
        return count
    }

    private static func kinds(_ option: String, _ words: inout ArraySlice<String>) throws(Mistake) -> Set<StepKind> {
        var kinds: Set<StepKind> = []
        for name in try value(option, &words).split(separator: ",") {
            guard let kind = StepKind(rawValue: String(name)) else {
                throw Mistake(sentence: "\(option): there is no kind of step \(name)")
            }
            kinds.insert(kind)
        }
        return kinds
    }

    private static func steps(_ option: String, _ words: inout ArraySlice<String>) throws(Mistake) -> Set<Int> {
        var steps: Set<Int> = []
        for range in try value(option, &words).split(separator: ",") {
            let ends = range.split(separator: "-").map { Int($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, first >= 0,
                last >= first, last <= 1_000_000
            else { throw Mistake(sentence: "\(option): \(range) is no range of steps") }
            steps.formUnion(first...last)
        }
        return steps
    }

    /// A set of steps as `--skip` takes it.
    static func text(of steps: Set<Int>) -> String {
        var ranges: [ClosedRange<Int>] = []
        for step in steps.sorted() {
            if let last = ranges.last, last.upperBound + 1 == step {
                ranges[ranges.count - 1] = last.lowerBound...step
            } else {
                ranges.append(step...step)
            }
        }
        return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
            .joined(separator: ",")
    }
}
