import Base

/// What is printed from the table of settings, for people and for files.
enum SettingsText {
    /// `brokerd --help`.
    static let help: String = """
        brokerd: a durable message broker that speaks STOMP 1.0, 1.1 and 1.2.

        usage: brokerd [--config FILE] [--data DIR] [--listen HOST:PORT]...
                       [--admin unix:PATH|HOST:PORT] [--set name=value]...
                       [--log-level L] [--log-format text|json]
                       [--check-config] [--print-config] [--version] [--help]

          --config FILE         read settings from this JSON5 file; without it, from no file
          --data DIR            where everything durable is kept (setting data)
          --listen HOST:PORT    where clients connect (setting listen); may be given several times
          --admin ADDRESS       where brokerctl connects (setting admin); may be given several times
          --set name=value      any setting; lists with commas; options go before the file
          --log-level L         error, warning, info or debug (setting log.level)
          --log-format F        auto, text or json (setting log.format)
          --check-config        say whether the configuration is right, and end
          --print-config        print the configuration that would count, as a file, and end
          --version             print the version, and end
          --help                print this, and end

        signals: SIGTERM and SIGINT stop, SIGHUP reads the configuration file again.
        exit codes: 0 stopped on request, 1 could not start, 2 wrong usage or configuration,
        3 the storage failed.

        settings (name, default):

        """ + settingLines + "\nwhat each is for: brokerd --print-config\n"

    private static var settingLines: String {
        let width = Settings.all.map(\.name.count).max() ?? 0
        return Settings.all.map { setting in
            "  \(setting.name.padded(to: width))  \(json5(setting.standard, setting.kind))\n"
        }.joined()
    }

    // MARK: The file

    /// A complete configuration file with the values that count; each with its reason, and with
    /// where it comes from if it is not the default.
    static func configuration(_ effective: EffectiveConfiguration) -> String {
        let opening = """
            // Configuration of brokerd \(Product.version), as JSON5. Every setting is here; a setting that is
            // left out has its default.

            """
        return opening
            + object(Settings.all, more: PolicyText.section(effective.configuration.policies)) { setting in
                let value = json5(setting.value(in: effective.configuration), setting.kind)
                let origin = effective.origin(of: setting.name)
                let suffix = origin == .standard ? "" : "  // \(Escaping.safe(origin.description))"
                return "\(lastPart(setting.name)): \(value),\(suffix)"
            }
    }

    /// Config/brokerd.json5: every setting with its default, as a comment.
    static var sample: String {
        let opening = """
            // Configuration of brokerd, as JSON5: brokerd --config FILE.
            //
            // All settings with their defaults; take away the slashes in front of what you change.
            // Sizes are numbers of bytes or texts such as "16 MiB". A name that is not known, or a value that
            // is not allowed, keeps the broker from starting: brokerd --config FILE --check-config tells.
            // After a change of a setting that needs no restart: systemctl reload brokerd, or SIGHUP.

            """
        return opening
            + object(Settings.all, more: PolicyText.example) { setting in
                "// \(lastPart(setting.name)): \(json5(setting.standard, setting.kind)),"
            }
    }

    /// Nested braces for dotted names; the settings of one section stand together in the table.
    /// `more` stands behind them.
    private static func object(_ settings: [Setting], more: String, line: (Setting) -> String) -> String {
        var text = "{\n"
        var open: [Substring] = []
        for setting in settings {
            let sections = Array(setting.name.split(separator: ".").dropLast())
            let shared = zip(open, sections).prefix { $0 == $1 }.count
            close(&open, to: shared, in: &text)
            for section in sections[shared...] {
                if !text.hasSuffix("{\n") { text += "\n" }
                text += indent(open.count) + "\(section): {\n"
                open.append(section)
            }
            if !text.hasSuffix("{\n") { text += "\n" }
            for comment in wrapped(setting.why, width: 94) + wrapped(rule(setting), width: 94) {
                text += indent(open.count) + "// \(comment)\n"
            }
            text += indent(open.count) + line(setting) + "\n"
        }
        close(&open, to: 0, in: &text)
        return text + more + "}\n"
    }

    private static func close(_ open: inout [Substring], to depth: Int, in text: inout String) {
        while open.count > depth {
            open.removeLast()
            text += indent(open.count) + "},\n"
        }
    }

    private static func indent(_ depth: Int) -> String { String(repeating: "    ", count: depth + 1) }

    private static func lastPart(_ name: String) -> Substring { name.split(separator: ".").last ?? "" }

    /// `(A list of HOST:PORT; a change counts after a restart.)`
    private static func rule(_ setting: Setting) -> String {
        let allowed = setting.allowed
        return "(\(allowed.prefix(1).uppercased())\(allowed.dropFirst()); a change counts \(setting.effect.rawValue).)"
    }

    /// A value as it may stand in the file.
    static func json5(_ value: SettingValue, _ kind: Setting.Kind) -> String {
        switch value {
        case .number(let number):
            if case .bytes = kind, number >= 1024, number % 1024 == 0 { return "\"\(ByteSize.text(number))\"" }
            return String(number)
        case .flag(let flag): return String(flag)
        case .text(let text): return quoted(text)
        case .list(let texts): return "[" + texts.map(quoted).joined(separator: ", ") + "]"
        case .other(let word): return word
        }
    }

    // MARK: The document

    /// The table of docs/configuration.md.
    static var markdownTable: String {
        let rows = Settings.all.map { setting in
            "| `\(setting.name)` | `\(json5(setting.standard, setting.kind))` | \(setting.allowed) "
                + "| \(setting.effect.rawValue) | \(setting.why) |\n"
        }
        return "| Setting | Default | Allowed | A change counts | What it is for |\n| --- | --- | --- | --- | --- |\n"
            + rows.joined()
    }

    /// `text` in lines of at most `width` characters, broken at blanks.
    static func wrapped(_ text: String, width: Int) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        return lines + [line]
    }
}
