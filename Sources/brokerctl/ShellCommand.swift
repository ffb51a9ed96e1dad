import Base
import Glibc
import Synchronization

/// A command of the shell that is given something to read and has its time to do it in.
struct ShellCommand: Sendable {
    enum Ending: Equatable, Sendable {
        case succeeded
        /// The exit status, or 128 and the number of the signal that ended it, as shells say it.
        case failed(Int32)
        case tookTooLong(seconds: UInt64)
        case wroteTooMuch
        case interrupted
        case notStarted(String)

        /// For people; nil if all went well.
        var complaint: String? {
            switch self {
            case .succeeded: nil
            case .failed(let status): "the command ended with \(status)"
            case .tookTooLong(let seconds): "the command took longer than \(counted(seconds, "second"))"
            case .wroteTooMuch: "the command wrote more than \(humanBytes(UInt64(ShellCommand.outputBytes)))"
            case .interrupted: "the command was interrupted"
            case .notStarted(let why): "the command cannot be started: \(why)"
            }
        }
    }

    /// More is not kept.
    static let outputBytes = 16 << 20

    let text: String
    let seconds: UInt64
    /// Else its output is ours.
    let keepsOutput: Bool

    /// Runs it to its end. Call this on a thread of its own, one for each run: it blocks, and leaves SIGPIPE blocked.
    func run(
        input: [UInt8], environment: [(name: String, value: String)] = [], started: (Watchdog) -> Void = { _ in }
    ) -> (ending: Ending, output: [UInt8]) {
        // A command that does not read what it is given is no reason to end.
        var pipeSignal = sigset_t()
        sigemptyset(&pipeSignal)
        sigaddset(&pipeSignal, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &pipeSignal, nil)

        let child: Child
        switch PipeEnds.making.withLock({ _ in start(environment) }) {
        case .success(let started): child = started
        case .failure(let error): return (.notStarted(systemError(error.number)), [])
        }
        let deadline = Instant.now.adding(milliseconds: seconds * 1000)
        let watchdog = Watchdog(of: child.id, at: deadline)
        started(watchdog)
        var pump = Pump(input, child.feed, child.source)
        pump.run(until: deadline)
        if pump.isFlooded { watchdog.bite(because: .flood) }
        let status = watchdog.awaitEnd()
        switch watchdog.reason {
        case .flood: return (.wroteTooMuch, [])
        case .interruption: return (.interrupted, [])
        case .time: return (.tookTooLong(seconds: seconds), [])
        case nil: return (status == 0 ? .succeeded : .failed(status), pump.output)
        }
    }

    private struct Child {
        let id: pid_t
        let feed: Descriptor
        let source: Descriptor?
    }

    private struct SystemError: Error {
        let number: Int32
    }

    /// With `PipeEnds.making` held. Its own ends are closed here when this returns.
    private func start(_ environment: [(name: String, value: String)]) -> Result<Child, SystemError> {
        guard let input = PipeEnds() else { return .failure(SystemError(number: errno)) }
        let output = keepsOutput ? PipeEnds() : nil
        if keepsOutput, output == nil { return .failure(SystemError(number: errno)) }
        var id: pid_t = 0
        let code = spawn(&id, reading: input.reading.number, writing: output?.writing.number, environment)
        if code != 0 { return .failure(SystemError(number: code)) }
        input.reading.close()
        output?.writing.close()
        return .success(Child(id: id, feed: input.writing, source: output?.reading))
    }

    /// In a group of its own, so that all that comes of it can be ended with it. Returns an error number, or 0.
    private func spawn(
        _ id: inout pid_t, reading: Int32, writing: Int32?, _ environment: [(name: String, value: String)]
    ) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, reading, 0)
        if let writing { posix_spawn_file_actions_adddup2(&actions, writing, 1) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
        let words: [UnsafeMutablePointer<CChar>?] = ["sh", "-c", text].map { (word: String) in strdup(word) } + [nil]
        let all: [UnsafeMutablePointer<CChar>?] =
            Self.environment(with: environment).map { (entry: String) in strdup(entry) } + [nil]
        defer { for copy in words + all { free(copy) } }
        return posix_spawn(&id, "/bin/sh", &actions, &attributes, words, all)
    }

    /// Ours, and `added` in place of what has the same names; an empty value takes a name away.
    private static func environment(with added: [(name: String, value: String)]) -> [String] {
        var all: [String] = []
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if !added.contains(where: { text.hasPrefix($0.name + "=") }) { all.append(text) }
            next += 1
        }
        return all + added.filter { !$0.value.isEmpty }.map { "\($0.name)=\($0.value)" }
    }
}
