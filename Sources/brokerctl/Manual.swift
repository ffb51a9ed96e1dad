/// docs/brokerctl.md, made from the table of verbs; a test holds it equal.
enum Manual {
    static var text: String {
        var text = """
            # brokerctl

            `brokerctl` looks after a `brokerd` through its [admin interface](admin-api.md). Through STOMP it
            publishes, consumes, asks and answers, so that every [style of talking](client.md#styles-of-talking) can
            be tried without code. This page is made from the same table as `brokerctl help`.

            **Where the broker is.** `--admin` says it (`unix:PATH` or `HOST:PORT`); else the `admin.sock` in the
            directory of `--data`; else the environment variable `BROKERD_ADMIN`; else `data/admin.sock` in the
            current directory; else `/run/brokerd/admin.sock`.

            **For people and for programs.** Without `--json` output is for people: tables with headings, sizes in
            KiB and MiB, the same on a terminal and in a pipe. It may change. With `--json` it is the value that the
            admin interface answers with, on one line, lists complete however many pages they took; `consume`,
            `subscribe`, `request` and `gather` print one line for each message. That form is stable in the way the
            admin interface is. Progress of long work is shown on a terminal only, on standard error. What clients have
            put into names, headers and bodies cannot steer the terminal: control characters are written as
            `\\u{1b}`. Bodies go into files and pipes as they are.

            ## Exit codes

            | code | meaning |
            |---|---|
            | 0 | done |

            """
        for kind in CtlFailure.Kind.allCases { text += "| \(kind.rawValue) | \(kind.meaning) |\n" }
        text += "\n## Options of every verb\n\n" + options(Verb.common) + "\n## Verbs\n"
        for verb in Verb.all { text += section(verb) }
        return text
    }

    private static func section(_ verb: Verb) -> String {
        var text = "\n### \(verb.name)\n\n\(verb.summary)"
        if !verb.detail.isEmpty { text += " \(verb.detail)" }
        text += "\n\n```console\n" + verb.examples.map { "$ \($0)\n" }.joined() + "```\n"
        if !verb.arguments.isEmpty {
            text += "\n| argument | what it is |\n|---|---|\n"
            for argument in verb.arguments {
                text += "| `\(argument.name)`\(argument.isOptional ? ", optional" : "") | \(argument.summary) |\n"
            }
        }
        if !verb.options.isEmpty { text += "\n" + options(verb.options) }
        return text
    }

    private static func options(_ options: [Verb.Option]) -> String {
        var text = "| option | what it does |\n|---|---|\n"
        for option in options { text += "| `\(Help.words(of: option))` | \(Help.explained(option)) |\n" }
        return text
    }
}
