/// From words to an exit code.
enum Brokerctl {
    /// `words` begins with the name of the program.
    static func run(_ words: [String], _ console: Console) -> Int32 {
        do throws(CtlFailure) {
            let invocation = try Invocation(parsing: Array(words.dropFirst()))
            if invocation.wantsHelp {
                try console.print(Help.text(of: invocation.verb))
            } else {
                try invocation.verb.run(invocation, console)
            }
            return 0
        } catch {
            console.endProgress()
            console.complain("brokerctl: \(harmless(error.message))")
            return error.kind.rawValue
        }
    }
}

/// Why brokerctl did not do what was asked.
struct CtlFailure: Error, Equatable {
    /// The raw value is the exit code.
    enum Kind: Int32, CaseIterable {
        case failed = 1
        case usage = 2
        case unreachable = 3
        case notFound = 4
        case timedOut = 5
        case damaged = 6
        case unavailable = 7

        var meaning: String {
            switch self {
            case .failed: "the broker refused, or something went wrong"
            case .usage: "wrong usage: nothing was asked of the broker"
            case .unreachable: "the broker cannot be reached"
            case .notFound: "what was named does not exist"
            case .timedOut: "what was waited for did not come in time"
            case .damaged: "the data directory was looked at, and something in it is damaged"
            case .unavailable: "the data directory is in use, or cannot be read"
            }
        }
    }

    var kind: Kind
    /// One sentence that says what to do.
    var message: String

    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }
}
