/// A line of the table from which help, completion and docs/brokerctl.md are made.
struct Verb: Sendable {
    struct Argument: Sendable {
        var name: String
        var summary: String
        var isOptional = false
    }

    struct Option: Sendable {
        /// With its dashes.
        var name: String
        /// What stands behind it; nil for a flag.
        var value: String?
        var summary: String
        /// The words that the value may be; any if empty.
        var choices: [String] = []
        var isRepeatable = false
    }

    typealias Run = @Sendable (Invocation, Console) throws(CtlFailure) -> Void

    /// `["queue", "list"]`.
    var words: [String]
    var summary: String
    var arguments: [Argument]
    var options: [Option]
    /// What stands behind the summary: when it stops, what it guarantees.
    var detail: String
    var examples: [String]
    var run: Run

    init(
        _ words: String, _ summary: String, arguments: [Argument] = [], options: [Option] = [], detail: String = "",
        examples: [String], run: @escaping Run
    ) {
        self.words = words.split(separator: " ").map(String.init)
        self.summary = summary
        self.arguments = arguments
        self.options = options
        self.detail = detail
        self.examples = examples
        self.run = run
    }

    var name: String { words.joined(separator: " ") }

    /// `brokerctl queue move FROM TO [--count N]`
    var usage: String {
        var parts = ["brokerctl"] + words
        parts += arguments.map { $0.isOptional ? "[\($0.name)]" : $0.name }
        parts += options.map { option in
            let value = option.value.map { " \($0)" } ?? ""
            return "[\(option.name)\(value)]\(option.isRepeatable ? "..." : "")"
        }
        return parts.joined(separator: " ")
    }

    func option(_ name: String) -> Option? { (options + Verb.common).first { $0.name == name } }

    /// Understood with every verb.
    static let common = [
        Option(
            name: "--admin", value: "ADDRESS",
            summary: "where the broker's admin interface is: unix:PATH or HOST:PORT"),
        Option(name: "--data", value: "DIR", summary: "the broker's data directory, for the admin.sock in it"),
        Option(name: "--json", value: nil, summary: "answer as JSON, for programs"),
        Option(name: "--help", value: nil, summary: "explain the verb"),
    ]
}
