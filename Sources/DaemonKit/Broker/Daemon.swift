import Base
import BrokerCore
import Dispatch
import Glibc
import LogStorage
import Net
import STOMP
import Sessions
import Storage
import Synchronization

/// The whole of brokerd, from command line to exit code.
public enum Daemon {
    /// Runs the program and ends it. `words` is the command line without the program's name.
    public static func main(_ words: [String]) -> Never {
        switch Startup.prepare(words) {
        case .answer(let text):
            print(text, terminator: "")
            exit(ExitCode.stopped.rawValue)
        case .refuse(let text, let code):
            let bytes = Array(text.utf8)
            _ = write(STDERR_FILENO, bytes, bytes.count)
            exit(code.rawValue)
        case .run(let arguments, let effective):
            run(arguments, effective)
        }
    }

    private static func run(_ arguments: Arguments, _ effective: EffectiveConfiguration) -> Never {
        let configuration = effective.configuration
        let complaints = ProcessRules.apply()
        let log = Log(level: configuration.log.level, format: configuration.log.format)
        log.info(
            "starting",
            ["version": .text(Product.version), "process": .number(getpid()), "data": .text(configuration.data)])
        for complaint in complaints { log.warning(complaint) }
        if let complaint = ProcessRules.complaint(about: configuration, openFilesMax: ProcessRules.openFilesMax) {
            log.warning(complaint)
        }
        let service = orEnd(log) { () throws(StartFailure) in
            if let refusal = ProcessRules.refusal(openFilesMax: ProcessRules.openFilesMax) {
                throw StartFailure(description: refusal, code: .couldNotStart)
            }
            return try Service(arguments, effective, log: log)
        }
        // Before anybody is told that we are ready: who then says SIGTERM means it.
        let signals = Signals { event in
            switch event {
            case .stop: service.stop()
            case .reload: service.reload()
            }
        }
        if signals == nil { log.warning("signals cannot be watched: stop the broker with SIGKILL only") }
        orEnd(log) { () throws(StartFailure) in try service.open() }
        withExtendedLifetime(signals) { dispatchMain() }
    }

    /// A start that fails is the end, and why is said.
    private static func orEnd<Result>(_ log: Log, _ step: () throws(StartFailure) -> Result) -> Result {
        do throws(StartFailure) { return try step() } catch {
            log.error("cannot start", ["reason": .text(error.description)])
            log.close(within: 500)
            exit(error.code.rawValue)
        }
    }
}

/// Why the daemon did not come up.
struct StartFailure: Error, CustomStringConvertible {
    let description: String
    let code: ExitCode
}
