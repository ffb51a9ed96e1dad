/// The words of a command line, understood: a verb, its arguments and its options.
///
/// Options may stand anywhere, as `--name value` or `--name=value`; behind `--` everything is an argument.
struct Invocation {
    let verb: Verb
    private(set) var arguments: [String] = []
    private var options: [(name: String, value: String)] = []

    /// `words` without the name of the program.
    init(parsing words: [String]) throws(CtlFailure) {
        var (plain, given) = try Invocation.separate(words)
        // `--help` and `--version` are understood without a verb.
        if plain.isEmpty, given.contains(where: { $0.name == "--version" }) {
            plain = ["version"]
            given.removeAll { $0.name == "--version" }
        }
        if plain.isEmpty { plain = ["help"] }
        let found = try Invocation.verb(of: plain)
        verb = found
        arguments = Array(plain.dropFirst(found.words.count))
        for (name, value) in given { try add(name, value) }
        if !wantsHelp { try checkArguments() }
    }

    var wantsHelp: Bool { isGiven("--help") }
    var wantsJSON: Bool { isGiven("--json") }

    func isGiven(_ name: String) -> Bool { options.contains { $0.name == name } }

    /// The last one given counts.
    func value(_ name: String) -> String? { options.last { $0.name == name }?.value }

    func values(_ name: String) -> [String] { options.filter { $0.name == name }.map(\.value) }

    /// Errors: `usage` for what is no whole number in the range.
    func number(_ name: String, in range: ClosedRange<UInt64>) throws(CtlFailure) -> UInt64? {
        guard let text = value(name) else { return nil }
        guard let number = UInt64(text), range.contains(number) else {
            let most =
                range.upperBound == .max ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)"
            throw usage("\(name) must be a whole number, \(most)")
        }
        return number
    }

    /// The n-th argument, which must be there: the table says so and `init` has checked it.
    func argument(_ index: Int) -> String { index < arguments.count ? arguments[index] : "" }

    func usage(_ sentence: String) -> CtlFailure {
        CtlFailure(.usage, "\(sentence); `brokerctl \(verb.name) --help` shows how")
    }

    // MARK: Parsing

    private typealias Given = (name: String, value: String?)

    /// Splits words into plain ones and options. An option takes the next word if any verb's option of
    /// that name does: the verb itself is not known yet.
    private static func separate(_ words: [String]) throws(CtlFailure) -> (plain: [String], given: [Given]) {
        let taking = Set((Verb.all.flatMap(\.options) + Verb.common).filter { $0.value != nil }.map(\.name))
        var plain: [String] = []
        var given: [Given] = []
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--" {
                plain += rest
                break
            }
            guard word.hasPrefix("-"), word != "-" else {
                plain.append(word)
                continue
            }
            if word == "-h" {
                given.append(("--help", nil))
            } else if let equals = word.firstIndex(of: "=") {
                given.append((String(word[..<equals]), String(word[word.index(after: equals)...])))
            } else if taking.contains(word) {
                guard let value = rest.popFirst() else { throw CtlFailure(.usage, "\(word) needs a value behind it") }
                given.append((word, value))
            } else {
                given.append((word, nil))
            }
        }
        return (plain, given)
    }

    private static func verb(of plain: [String]) throws(CtlFailure) -> Verb {
        if let verb = Verb.all.first(where: { plain.starts(with: $0.words) }) { return verb }
        let family = Verb.all.filter { $0.words.first == plain.first }
        if !family.isEmpty {
            let words = family.map { $0.words[1] }.joined(separator: ", ")
            throw CtlFailure(.usage, "`\(plain[0])` wants one of \(words) behind it; see `brokerctl help`")
        }
        let near = nearest(to: plain[0], in: Verb.all.map { $0.words[0] })
        let hint = near.map { "did you mean `\($0)`? " } ?? ""
        throw CtlFailure(.usage, "There is no verb `\(plain[0])`; \(hint)`brokerctl help` lists them")
    }

    private mutating func add(_ name: String, _ value: String?) throws(CtlFailure) {
        guard let option = verb.option(name) else {
            let near = Invocation.nearest(to: name, in: (verb.options + Verb.common).map(\.name))
            throw usage("`\(verb.name)` has no option \(name)" + (near.map { ", but \($0)" } ?? ""))
        }
        switch (option.value, value) {
        case (nil, nil): options.append((name, ""))
        case (nil, _?): throw usage("\(name) takes no value")
        case (_?, nil): throw usage("\(name) needs a value")
        case (_?, let value?):
            guard option.choices.isEmpty || option.choices.contains(value) else {
                throw usage("\(name) must be one of \(option.choices.joined(separator: ", "))")
            }
            guard option.isRepeatable || !isGiven(name) else { throw usage("Give \(name) once") }
            options.append((name, value))
        }
    }

    private func checkArguments() throws(CtlFailure) {
        let needed = verb.arguments.filter { !$0.isOptional }
        if arguments.count < needed.count { throw usage("\(needed[arguments.count].name) is missing") }
        if arguments.count > verb.arguments.count, verb.words != ["help"] {
            throw usage("`\(arguments[verb.arguments.count])` is one word too many")
        }
    }

    /// The candidate with the fewest changed letters, if they are few.
    static func nearest(to word: String, in candidates: [String]) -> String? {
        let best = candidates.map { ($0, distance(Array(word), Array($0))) }.min { $0.1 < $1.1 }
        guard let (candidate, changes) = best, changes <= max(1, candidate.count / 3) else { return nil }
        return candidate
    }

    /// Levenshtein's.
    private static func distance(_ a: [Character], _ b: [Character]) -> Int {
        var row = Array(0...b.count)
        for (i, letter) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in b.enumerated() {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, diagonal + (letter == other ? 0 : 1))
                diagonal = above
            }
        }
        return row[b.count]
    }
}
