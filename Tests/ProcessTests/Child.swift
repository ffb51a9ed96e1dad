import Foundation
import Glibc
import Synchronization

/// A child process with its standard error in a pipe. It is in a process group of its own, which ends
/// with it at the latest when the object goes.
final class Child {
    let id: pid_t
    private let errors: Int32
    private let output: Int32
    /// Ends when the last process that inherited its other end has ended.
    private let life: Int32
    private(set) var errorText: [UInt8] = []
    private(set) var outputText: [UInt8] = []
    private var status: Int32?

    /// Held by whoever starts a process, or makes a descriptor and has not yet said that no process gets it.
    static let starting = Mutex(())

    /// Starts `words`; the first is the path of the program.
    init(_ words: [String], environment: [String: String] = [:]) throws {
        let (errors, output, life) = try Self.starting.withLock { _ in
            (try Self.pipe(), try Self.pipe(), try Self.pipe())
        }
        defer { for end in [errors.writing, output.writing, life.writing] { close(end) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output.writing, 1)
        posix_spawn_file_actions_adddup2(&actions, errors.writing, 2)
        posix_spawn_file_actions_adddup2(&actions, life.writing, 3)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setpgroup(&attributes, 0)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
        var all = ProcessInfo.processInfo.environment
        all.merge(environment) { $1 }
        var id: pid_t = 0
        let code = Self.starting.withLock { _ in
            Self.withWords(words) { arguments in
                Self.withWords(all.map { "\($0)=\($1)" }) {
                    posix_spawn(&id, words[0], &actions, &attributes, arguments, $0)
                }
            }
        }
        (self.errors, self.output, self.life) = (errors.reading, output.reading, life.reading)
        self.id = id
        if code != 0 {
            status = 0
            throw Problem("\(words[0]) cannot be started: \(String(cString: strerror(code)))")
        }
    }

    deinit {
        end()
        for descriptor in [errors, output, life] { close(descriptor) }
    }

    /// The program with its whole output, run to its end.
    static func run(
        _ words: [String], environment: [String: String] = [:], within duration: Duration = .seconds(30)
    ) throws -> (code: Int32, output: String, errors: String) {
        let child = try Child(words, environment: environment)
        let code = try child.exitCode(within: duration)
        return (
            code, String(decoding: child.outputText, as: UTF8.self), String(decoding: child.errorText, as: UTF8.self)
        )
    }

    private static func pipe() throws -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [0, 0]
        if Glibc.pipe(&ends) != 0 { throw Problem.system("pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    private static func withWords<R>(_ words: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
        let copies = words.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        return body(copies + [nil])
    }

    func signal(_ number: Int32) {
        if status == nil { kill(id, number) }
    }

    /// Ends the whole group and waits for it.
    func end() {
        if status != nil { return }
        kill(-id, SIGKILL)
        reap()
    }

    private func reap() {
        var result: Int32 = 0
        while waitpid(id, &result, 0) < 0, errno == EINTR {}
        status = result
    }

    var isRunning: Bool { status == nil && !waitFor(life, Int32(POLLIN), until: Deadline(.zero)) }

    /// Reads what comes on standard error until `isEnough` or until the end. What was read before is
    /// shown to it first. Standard output is read along.
    @discardableResult
    func readErrors(within duration: Duration, until isEnough: ([UInt8]) -> Bool) throws -> Bool {
        let deadline = Deadline(duration)
        while !isEnough(errorText) {
            var entries = [
                pollfd(fd: errors, events: Int16(POLLIN), revents: 0),
                pollfd(fd: output, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&entries, 2, deadline.milliseconds) == 0 {
                throw Problem("nothing in time; it said: \(String(decoding: errorText.suffix(2000), as: UTF8.self))")
            }
            let hasOutput = entries[1].revents != 0 && Self.take(output, &outputText)
            let hasErrors = entries[0].revents != 0 && Self.take(errors, &errorText)
            if !hasOutput, !hasErrors, entries[0].revents != 0 {
                while Self.take(output, &outputText) {}
                return false
            }
        }
        return true
    }

    /// False at the end.
    private static func take(_ descriptor: Int32, _ text: inout [UInt8]) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = read(descriptor, &buffer, buffer.count)
        if count > 0 { text.append(contentsOf: buffer[..<count]) }
        return count > 0
    }

    /// Waits for the end. 128 and the signal's number if a signal ended it.
    @discardableResult
    func exitCode(within duration: Duration = .seconds(30)) throws -> Int32 {
        try readErrors(within: duration) { _ in false }
        return try codeUnread(within: duration)
    }

    /// The same without reading what it still says.
    func codeUnread(within duration: Duration) throws -> Int32 {
        if status == nil {
            if !waitFor(life, Int32(POLLIN), until: Deadline(duration)) {
                throw Problem("it has not ended within \(duration)")
            }
            reap()
        }
        let status = status ?? 0
        return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + (status & 0x7F)
    }
}
