import DaemonKit

/// Verbs about brokerctl itself.
enum HelpVerbs {
    @Sendable static func version(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        try console.print(call.wantsJSON ? "{\"version\":\"\(Product.version)\"}" : "brokerctl \(Product.version)")
    }

    @Sendable static func help(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        if call.arguments.isEmpty { return try console.print(Help.overview) }
        let found = Verb.all.filter { $0.words.starts(with: call.arguments) || call.arguments.starts(with: $0.words) }
        guard !found.isEmpty else {
            throw CtlFailure(
                .usage, "There is no verb `\(call.arguments.joined(separator: " "))`; `brokerctl help` lists them")
        }
        try console.print(found.map { Help.text(of: $0) }.joined(separator: "\n\n"))
    }

    @Sendable static func completion(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        try console.write(Array(Completion.bash.utf8))
    }
}

/// What `help` and `--help` print.
enum Help {
    static var overview: String {
        var text = "brokerctl looks after a brokerd.\n\nUsage: brokerctl VERB [ARGUMENT...] [OPTION...]\n\nVerbs:\n"
        text += columns(Verb.all.map { ($0.name, $0.summary) })
        text += "\nWith every verb:\n" + columns(Verb.common.map { (words(of: $0), $0.summary) })
        text +=
            "\nThe broker is looked for at --admin, else in --data, else at BROKERD_ADMIN, else at\n"
            + "data/admin.sock here, else at /run/brokerd/admin.sock.\n"
        text +=
            "\nExit codes:\n"
            + columns([("0", "done")] + CtlFailure.Kind.allCases.map { ("\($0.rawValue)", $0.meaning) })
        return text + "\n`brokerctl help VERB` explains a verb and shows an example."
    }

    static func text(of verb: Verb) -> String {
        var text = "\(verb.summary)\n\nUsage: \(verb.usage)\n"
        if !verb.arguments.isEmpty { text += "\nArguments:\n" + columns(verb.arguments.map { ($0.name, $0.summary) }) }
        let options = verb.options + Verb.common
        text += "\nOptions:\n" + columns(options.map { (words(of: $0), explained($0)) })
        if !verb.detail.isEmpty { text += "\n\(verb.detail)\n" }
        text += "\nExample\(verb.examples.count == 1 ? "" : "s"):\n"
        return text + verb.examples.map { "  \($0)" }.joined(separator: "\n")
    }

    static func words(of option: Verb.Option) -> String { option.name + (option.value.map { " \($0)" } ?? "") }

    static func explained(_ option: Verb.Option) -> String {
        var text = option.summary
        if !option.choices.isEmpty { text += ": \(option.choices.joined(separator: ", "))" }
        if option.isRepeatable { text += "; may be given several times" }
        return text
    }

    private static func columns(_ rows: [(String, String)]) -> String {
        let width = rows.reduce(0) { max($0, $1.0.count) }
        return rows.map { name, text in
            "  \(name)\(String(repeating: " ", count: width - name.count))  \(text)\n"
        }.joined()
    }
}
