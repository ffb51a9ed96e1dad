/// The script that `completion bash` prints, which is Config/brokerctl.bash-completion too.
enum Completion {
    static var bash: String {
        var script = """
            # bash completion for brokerctl; made by `brokerctl completion bash`.
            _brokerctl() {
                local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} verb= index
                COMPREPLY=()
                for ((index = 1; index < COMP_CWORD; index++)); do
                    case ${COMP_WORDS[index]} in
                    --admin|--data) ((index++)) ;;
                    -*) ;;
                    *) verb+="${verb:+ }${COMP_WORDS[index]}" ;;
                    esac
                done
                case $previous in
                --data) compopt -o dirnames; return ;;
                --file) compopt -o default; return ;;

            """
        for option in choices {
            script +=
                "    \(option.name)) \(reply(with: option.choices)); return ;;\n"
        }
        script += "    \(free.joined(separator: "|"))) return ;;\n    esac\n    case $verb in\n"
        script += line("''", words: firstWords + common)
        for family in families {
            script += line(
                "'\(family)'",
                words: Verb.all.filter { $0.words.first == family && $0.words.count == 2 }.map { $0.words[1] })
        }
        for verb in Verb.all {
            let pattern = verb.words.count == 2 ? "'\(verb.name)'*" : "'\(verb.name)'|'\(verb.name) '*"
            script += line(
                pattern, words: (verb.words == ["help"] ? firstWords : []) + verb.options.map(\.name) + common)
        }
        return script + "    esac\n}\ncomplete -F _brokerctl brokerctl\n"
    }

    private static func line(_ pattern: String, words: [String]) -> String {
        "    \(pattern)) \(reply(with: words)) ;;\n"
    }

    private static func reply(with words: [String]) -> String {
        "COMPREPLY=($(compgen -W '\(words.joined(separator: " "))' -- \"$word\"))"
    }

    private static var common: [String] { Verb.common.map(\.name) }

    private static var firstWords: [String] {
        Verb.all.reduce(into: []) { words, verb in
            if !words.contains(verb.words[0]) { words.append(verb.words[0]) }
        }
    }

    private static var families: [String] {
        firstWords.filter { word in Verb.all.contains { $0.words.first == word && $0.words.count == 2 } }
    }

    private static var choices: [Verb.Option] { Verb.all.flatMap(\.options).filter { !$0.choices.isEmpty } }

    /// Options whose value only the caller knows.
    private static var free: [String] {
        let options = (Verb.all.flatMap(\.options) + Verb.common).filter { $0.value != nil && $0.choices.isEmpty }
        return Set(options.map(\.name)).subtracting(["--data", "--file"]).sorted()
    }
}
