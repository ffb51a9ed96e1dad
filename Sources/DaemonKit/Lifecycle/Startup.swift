import Glibc

/// What the command line comes to, before anything is touched.
public enum Startup: Equatable, Sendable {
    /// Run the broker with this configuration. On SIGHUP, `arguments.load()` reads it again.
    case run(Arguments, EffectiveConfiguration)
    /// Print this to standard output and end with code 0.
    case answer(String)
    /// Print this to standard error and end with this code.
    case refuse(String, ExitCode)

    /// `words` without the name of the program.
    public static func prepare(_ words: [String]) -> Startup {
        let arguments: Arguments
        do { arguments = try Arguments(words) } catch {
            return .refuse("\(Product.name): \(error)\n", .badConfiguration)
        }
        switch arguments.action {
        case .help: return .answer(SettingsText.help)
        case .version: return .answer("\(Product.name) \(Product.version)\n")
        case .run, .checkConfig, .printConfig: break
        }
        do {
            let effective = try arguments.load()
            switch arguments.action {
            case .checkConfig: return .answer("the configuration is right\n")
            case .printConfig: return .answer(SettingsText.configuration(effective))
            default: return .run(arguments, effective)
            }
        } catch {
            let lines = error.problems.map { "\(Product.name): \($0)\n" }
            return .refuse(lines.joined(), .badConfiguration)
        }
    }

    /// Prints what an answer or a refusal says, all of it, before there is a log. What nobody takes
    /// is lost.
    public static func say(_ text: String, to descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if written > 0 { rest = rest.dropFirst(written) } else if errno != EINTR { return }
        }
    }
}
