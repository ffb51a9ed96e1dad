/// Makes a run that fails shorter: leaves out kinds of steps, then single steps, as long as it still fails in the
/// same way. (Delta debugging, Zeller and Hildebrandt 2002; a step's dice are its own, so the others stay as they are.)
package struct Shrinker {
    private var options: World.Options
    private let kind: String
    private var runsLeft: Int

    /// `failure`: what `options` led to.
    package static func shrink(
        _ options: World.Options, _ failure: (step: Int, sentence: String), runs: Int = 400
    ) -> World.Options {
        var shrinker = Shrinker(options, failure, runs)
        shrinker.options.steps = min(options.steps, failure.step)
        for kind in StepKind.allCases where !shrinker.options.muted.contains(kind) {
            shrinker.attempt { $0.muted.insert(kind) }
        }
        shrinker.removeSteps()
        shrinker.removeSteps()
        return shrinker.options
    }

    private init(_ options: World.Options, _ failure: (step: Int, sentence: String), _ runs: Int) {
        self.options = options
        kind = Self.kind(of: failure.sentence)
        runsLeft = runs
    }

    /// What is violated, without the details.
    private static func kind(of sentence: String) -> String { sentence.filter { !$0.isNumber } }

    /// Keeps the change if the run fails with it too.
    @discardableResult private mutating func attempt(_ change: (inout World.Options) -> Void) -> Bool {
        guard runsLeft > 0 else { return false }
        runsLeft -= 1
        var changed = options
        change(&changed)
        guard let failure = World(changed).run(), Self.kind(of: failure.sentence) == kind else { return false }
        changed.steps = min(changed.steps, failure.step)
        options = changed
        return true
    }

    private mutating func removeSteps() {
        var size = max(1, options.steps / 4)
        while size >= 1, runsLeft > 0 {
            var start = 1
            while start <= options.steps {
                let range = start..<start + size
                if !range.allSatisfy(options.without.contains) { attempt { $0.without.formUnion(range) } }
                start += size
            }
            if size == 1 { return }
            size /= 4
            if size == 0 { size = 1 }
        }
    }
}
